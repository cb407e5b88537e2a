"""Where a command works, and with whose credentials."""

from __future__ import annotations

import functools

import click
import pytest
from click.testing import CliRunner

from stair_search.cli.destination import Credentials, Destination, destination_options
from stair_search.errors import UsageError


def given(*args: str, **environment: str) -> Destination:
    """The destination that these arguments and variables make."""
    seen: list[Destination] = []

    @click.command()
    @destination_options
    def command(destination: Destination) -> None:
        seen.append(destination)

    CliRunner().invoke(command, args, env=environment, catch_exceptions=False)
    assert seen, "click refused the arguments"
    return seen[0]


def test_no_option_is_needed() -> None:
    destination = given()
    assert (destination.url, destination.index) == ("sqlite:stair.db", "photos")
    assert destination.credentials == Credentials()
    assert destination.verify_certs


def test_a_flag_wins_over_the_environment_and_the_first_variable_over_the_next() -> None:
    urls = {"STAIR_SEARCH_URL": "http://a", "ELASTICSEARCH_URL": "http://b"}
    assert given("--url", "http://c", **urls).url == "http://c"
    assert given(**urls).url == "http://a"
    assert given(ELASTICSEARCH_URL="http://b", OPENSEARCH_URL="http://d").url == "http://b"
    assert given(OPENSEARCH_URL="http://d").url == "http://d"


def test_a_user_and_password_in_a_url_of_the_environment_leave_it() -> None:
    destination = given(OPENSEARCH_URL="https://me:p%40ss@host:9200/path")
    assert destination.url == "https://host:9200/path"
    assert destination.credentials == Credentials(username="me", password="p@ss")
    assert "ss" not in repr(destination).replace("class", "")


@pytest.mark.parametrize("end", ["", "#", "/", "?", "#x@"])
def test_a_password_on_the_command_line_is_refused_and_not_repeated(end: str) -> None:
    with pytest.raises(UsageError, match="STAIR_SEARCH_URL") as refusal:
        given("--url", f"https://me:hunter2{end}@host:9200")
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1",
        "https://me:hunter2",
        "https://me:hunter2#@host:9200",
        "https://me:1/hunter2@host",
        "https://x@me:1#hunter2@host",
    ],
)
def test_a_url_that_cannot_be_read_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UsageError, match="cannot be read") as refusal:
        given(STAIR_SEARCH_URL=url)
    assert url not in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


def test_a_file_may_be_called_anything() -> None:
    assert given("--url", "sqlite:me@home#1.db").url == "sqlite:me@home#1.db"


def test_each_engine_gets_its_own_credentials() -> None:
    both = {
        "ES_USERNAME": "elastic",
        "ES_PASSWORD": "e",
        "OPENSEARCH_USERNAME": "admin",
        "OPENSEARCH_PASSWORD": "o",
    }
    assert given(ELASTICSEARCH_URL="http://b", **both).credentials.username == "elastic"
    assert given(OPENSEARCH_URL="http://d", **both).credentials.username == "admin"
    assert given("--url", "http://d", OPENSEARCH_URL="http://d", **both).credentials.password == "o"
    assert given(CLOUD_ID="c:x", **both).credentials.username == "elastic"
    assert given(**both).credentials == Credentials()
    with pytest.raises(Exception, match="both set"):
        given("--url", "http://else", **both)


def test_a_key_wins_over_a_user() -> None:
    destination = given("--url", "http://b", ES_API_KEY="k", ES_USERNAME="u", ES_PASSWORD="p")
    assert destination.credentials == Credentials(api_key="k")


def test_cloud_id_stands_in_for_a_url_that_is_not_given() -> None:
    assert given(CLOUD_ID="name:abc").cloud_id == "name:abc"
    assert given("--url", "http://a", CLOUD_ID="name:abc").cloud_id is None


def test_cloud_id_wins_over_a_url_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Destination] = []

    @click.command()
    @destination_options
    def command(destination: Destination) -> None:
        seen.append(destination)

    of_file = {"url": "https://elsewhere"}
    CliRunner().invoke(command, default_map=of_file, catch_exceptions=False)
    monkeypatch.setenv("CLOUD_ID", "name:abc")
    CliRunner().invoke(command, default_map=of_file, catch_exceptions=False)
    assert [(one.url, one.cloud_id) for one in seen] == [
        ("https://elsewhere", None),
        ("", "name:abc"),
    ]


def region(*args: str, **environment: str) -> str | None:
    """The region for which requests are signed."""
    with CliRunner().isolation(env=environment):
        connect = given(*args, **environment).connect()
    assert isinstance(connect, functools.partial)
    found: str | None = connect.keywords["aws_region"]
    return found


def test_requests_are_signed_for_hosts_of_amazon_only_or_when_asked() -> None:
    amazon = "https://search-x.eu-west-1.es.amazonaws.com"
    assert region("--url", amazon, AWS_REGION="eu-west-1") == "eu-west-1"
    assert region("--url", "https://host:9200", AWS_REGION="eu-west-1") is None
    assert region("--url", "https://ec2.amazonaws.com:9200", AWS_REGION="eu-west-1") is None
    assert region("--url", "https://host:9200", "--aws-region", "r") == "r"


def test_a_user_at_a_host_of_amazon_signs_nothing_unless_asked() -> None:
    user = {
        "OPENSEARCH_URL": "https://search-x.eu-west-1.es.amazonaws.com",
        "OPENSEARCH_USERNAME": "me",
        "OPENSEARCH_PASSWORD": "p",
        "AWS_REGION": "eu-west-1",
    }
    assert region(**user) is None
    assert region("--aws-region", "r", **user) == "r"


def test_another_place_gets_the_credentials_that_belong_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As for a past job, whose URL is known only when its folder was read."""
    monkeypatch.setenv("ES_API_KEY", "k")
    here = given()
    assert here.credentials == Credentials()
    there = here.at("https://host:9200", "photos")
    assert (there.url, there.credentials.api_key) == ("https://host:9200", "k")
    assert there.at("sqlite:x.db", "photos").credentials == Credentials()
    monkeypatch.setenv("ELASTICSEARCH_URL", "https://me:pw@host:9200")
    assert given().at("https://host:9200", "other").credentials.username == "me"
