"""Where a command works, and with whose credentials."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from stair_search.cli.destination import Credentials, Destination, destination_options


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


def test_a_password_on_the_command_line_is_refused_and_not_repeated() -> None:
    with pytest.raises(Exception, match="STAIR_SEARCH_URL") as refusal:
        given("--url", "https://me:hunter2@host:9200")
    assert "hunter2" not in str(refusal.value)


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


def test_requests_are_signed_for_hosts_of_amazon_only_or_when_asked() -> None:
    amazon = "https://search-x.eu-west-1.es.amazonaws.com"
    assert given("--url", amazon, AWS_REGION="eu-west-1").aws_region == "eu-west-1"
    assert given("--url", "https://host:9200", AWS_REGION="eu-west-1").aws_region is None
    assert given("--url", "https://host:9200", "--aws-region", "r").aws_region == "r"


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
