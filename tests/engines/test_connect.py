"""From a URL to an engine: which product, which version, with which credentials."""

from __future__ import annotations

import base64
import logging
import socket
import ssl
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trustme

from stair_search import __version__
from stair_search.engines import Document, Engine, RequestError, connect
from stair_search.engines.base import EngineInfo
from stair_search.engines.connect import sqlite_path
from stair_search.engines.lucene.target import hides_vectors
from stair_search.errors import DestinationError, UsageError
from stair_search.mappings import index_body
from stair_search.queries import All, Ids, Match, Term, question
from tests.conftest import Engines
from tests.engines import fake
from tests.engines.fake import Answer, Request, served

SECRET = "hush-hush"


def test_real_nodes_are_recognised(opensearch_url: str, elasticsearch7_url: str) -> None:
    one, other = connect(opensearch_url), connect(elasticsearch7_url)
    assert (one.info.product, one.info.version.split(".")[0]) == ("opensearch", "3")
    assert (other.info.product, other.info.version.split(".")[0]) == ("elasticsearch", "7")


@pytest.mark.engines
@pytest.mark.parametrize("name", ["opensearch", "elasticsearch7"])
def test_the_tasks_of_a_node_tell_who_asks(name: str, engines: Engines) -> None:
    engine = connect(engines.url(name))
    told = engine._send("GET", "/_tasks", params={"actions": "cluster:monitor/tasks/lists*"})  # type: ignore[attr-defined]
    asked = [task["headers"] for node in told["nodes"].values() for task in node["tasks"].values()]
    assert {"X-Opaque-Id": f"stair-search/{__version__}"} in asked


@pytest.fixture(params=["8", "9"])
def modern(request: pytest.FixtureRequest) -> str:
    """A node of today's Elasticsearch; ours lacks `GET /` and rank_features."""
    url: str = request.getfixturevalue(f"elasticsearch{request.param}_url")
    return url


@pytest.mark.engines
def test_todays_elasticsearch(modern: str, index_name: str) -> None:
    engine = connect(modern)
    assert engine.info.product == "elasticsearch"
    body = index_body("elasticsearch", replicas=0)
    with suppress(RequestError):
        engine.create(index_name, body)
    if not engine.exists(index_name):  # a node without mapper-extras says what is missing
        with pytest.raises(RequestError, match=r"no rank_features.*mapper-extras"):
            engine.create(index_name, body)
        del body["mappings"]["properties"]["stair"]
        engine.create(index_name, body)
    documents = [
        Document(str(i), {"caption": "a dog", "split": "ab"[i % 2], "image": f"{i}.jpg"})
        for i in range(1_500)
    ]
    assert all(outcome.ok for outcome in engine.bulk(index_name, documents))
    engine.refresh(index_name)
    assert engine.count(index_name) == 1_500
    assert dict(engine.scan(index_name, ["image"])) == {
        str(i): {"image": f"{i}.jpg"} for i in range(1_500)
    }
    query = question(model="m", match=[Match("caption", "dog", 0.5)], filters=[("split", "a")])
    hits = engine.search(index_name, query, 5)
    assert hits.total == 750
    assert sum(r.score for r in hits.hits[0].why) == pytest.approx(hits.hits[0].score, rel=1e-6)
    assert engine.matches(index_name, "2", [Term("split", "a"), Ids(("3",))]) == [True, False]
    assert engine.models(index_name) == {}
    assert engine.get(index_name, "7") == documents[7].fields


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (fake.elasticsearch("7.10.2"), "elasticsearch 7.10.2.*7.12 or newer"),
        (fake.elasticsearch("6.8.0"), "elasticsearch 6.8.0.*7.12 or newer"),
        (fake.opensearch("1.0.1"), "opensearch 1.0.1.*1.1 or newer"),
        (Answer(200, "<html>It works!</html>"), "neither OpenSearch nor Elasticsearch"),
        (Answer(200, {"hello": "world"}), "neither OpenSearch nor Elasticsearch"),
        (Answer(404, "nothing here"), "neither OpenSearch nor Elasticsearch.*404"),
        (Answer(403, {"error": "no"}), "not allowed.*403.*ES_API_KEY"),
        (Answer(503, {"error": "not yet"}), "the engine failed.*503.*not yet"),
    ],
)
def test_what_we_cannot_use_is_refused(answer: Answer, message: str) -> None:
    with served(lambda request: answer) as url, pytest.raises(DestinationError, match=message) as e:
        connect(url)
    assert url in str(e.value)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("status", [403, 405])
def test_a_server_that_may_not_be_asked_tells_by_its_header(status: int) -> None:
    answer = Answer(status, {"error": "no"}, {"x-elastic-product": "Elasticsearch"})
    with served(lambda request: answer) as url:
        assert connect(url).info == ("elasticsearch", "", url)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("localhost:9200", "sqlite:PATH or http"),
        ("ftp://localhost", "sqlite:PATH or http"),
        ("sqlite:", "names no file"),
        ("sqlite://", "names no file"),
        ("hush-hush@localhost:9200", "sqlite:PATH or http"),
        ("http://", "cannot be read"),
        ("http://host:port", "cannot be read"),
        ("https://host/?q=hush-hush", "cannot be read"),
        ("https://me:hush-hush@host/?q=1", "cannot be read"),
        ("https://me:hush-hush@", "cannot be read"),
        ("https://me:hush-hush/x@host:9200", "cannot be read"),
        ("https://me:hush-hush#x@host:9200", "cannot be read"),
        ("https://me:hush-hush?x@host:9200", "cannot be read"),
        ("https://me:9200/hush-hush@host:9200", "cannot be read"),
        ("https://me:[hush-hush@host:9200", "cannot be read"),
        ("https://:hush-hush@host:9200", "cannot be read"),
        ("https://me:hush-hush@host:99999", "cannot be read"),
        ("https:/me:hush-hush@host:9200", "cannot be read"),
        ("https:me:hush-hush@host:9200", "cannot be read"),
    ],
)
def test_a_url_that_is_none(url: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        connect(url)
    assert SECRET not in str(raised.value)


def test_the_file_of_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for url in ("sqlite:a.db", "sqlite://a.db", f"sqlite:{tmp_path}/a.db"):
        assert sqlite_path(url) == str(tmp_path / "a.db")
        assert connect(url).info.url == f"sqlite:{tmp_path}/a.db"
    assert sqlite_path("sqlite:~/a.db") == f"{tmp_path}/~/a.db"


def test_a_cloud_id_that_is_none() -> None:
    with pytest.raises(UsageError, match="no Cloud ID"):
        connect(cloud_id="my deployment")


def test_a_cloud_id_is_an_address() -> None:
    inside = base64.b64encode(b"nowhere.invalid:9243$abc$def").decode()
    with pytest.raises(DestinationError, match=r"https://abc\.nowhere\.invalid:9243.*no such host"):
        connect(cloud_id=f"photos:{inside}", timeout=5)


# --- no answer ----------------------------------------------------------------------------------


def test_a_dead_cluster() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        with pytest.raises(RequestError, match=f"{url}: connection refused.*--url") as raised:
            connect(url)
    assert raised.value.status == 0


def test_a_host_that_is_not() -> None:
    with pytest.raises(RequestError, match="no such host"):
        connect("http://nowhere.invalid:9200", timeout=5)


def test_a_server_that_never_answers() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        with pytest.raises(RequestError, match="no answer in time"):
            connect(f"http://127.0.0.1:{deaf.getsockname()[1]}", timeout=0.2)


@pytest.mark.parametrize("product", [fake.opensearch(), fake.elasticsearch()])
def test_a_cluster_that_dies_later(product: Answer, caplog: pytest.LogCaptureFixture) -> None:
    with served(lambda request: product) as url:
        engine = connect(url)
    with pytest.raises(RequestError, match="connection refused") as raised:
        engine.count("photos")
    assert raised.value.status == 0


def test_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    trusted = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(trusted))
    for product in (fake.opensearch(), fake.elasticsearch()):
        with served(lambda request, product=product: product, context) as url:  # type: ignore[misc]
            with pytest.raises(RequestError, match=r"not trusted.*--ca-certs"):
                connect(url)
            for engine in (connect(url, ca_certs=str(trusted)), connect(url, verify_certs=False)):
                engine.refresh("photos")  # the client gets through too
            with pytest.raises(RequestError, match="https://"):
                connect(url.replace("https", "http"))
    with pytest.raises(UsageError, match="no file"):
        connect(url, ca_certs=str(tmp_path / "missing.pem"))
    refusal = pytest.raises(RequestError, match="does not speak TLS")
    with served(lambda request: fake.opensearch()) as plain, refusal:
        connect(plain.replace("http", "https"))


# --- credentials --------------------------------------------------------------------------------


def guarded(product: Answer, wanted: str) -> fake.Script:
    def script(request: Request) -> Answer:
        if request.headers.get("authorization") != wanted:
            return Answer(401, {"error": {"type": "security_exception", "reason": "who are you?"}})
        if request.path == "/photos/_count":
            return Answer(200, {"count": 3}, product.headers)
        return product

    return script


@pytest.mark.parametrize("product", [fake.opensearch(), fake.elasticsearch()])
def test_passwords_and_keys(
    product: Answer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    basic = "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()
    key = "ApiKey " + base64.b64encode(f"id:{SECRET}".encode()).decode()
    with served(guarded(product, basic)) as url:
        with pytest.raises(RequestError, match=r"ES_API_KEY.*OPENSEARCH_USERNAME") as raised:
            connect(url)
        assert raised.value.status == 401
        with_user = url.replace("//", f"//me:{SECRET}@")
        for engine in (connect(url, username="me", password=SECRET), connect(with_user)):
            assert engine.info.url == url
            assert engine.count("photos") == 3
            assert SECRET not in repr(engine.info)
        with pytest.raises(RequestError) as raised:
            connect(url, username="me", password=SECRET + "?")
        assert SECRET not in str(raised.value)
    with served(guarded(product, key)) as url:
        for given in (f"id:{SECRET}", key.removeprefix("ApiKey ")):
            assert connect(url, api_key=given).count("photos") == 3
    with pytest.raises(RequestError) as raised:  # nothing runs there any more
        connect(with_user)
    written = caplog.text + "".join(capfd.readouterr())
    for secret in (SECRET, basic, key, str(raised.value)):
        assert secret not in written or secret == str(raised.value)
    assert SECRET not in str(raised.value)


def test_amazon_signs_with_sigv4(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("boto3")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    seen: list[str] = []

    def script(request: Request) -> Answer:
        seen.append(request.headers.get("authorization", ""))
        return fake.opensearch() if request.path == "/" else Answer(200, {"count": 3})

    with served(script) as url:
        engine = connect(url, aws_region="eu-central-1")
        assert engine.info.product == "opensearch"
        assert engine.count("photos") == 3
    assert len(seen) == 2
    for header in seen:
        assert header.startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
        assert "/eu-central-1/es/aws4_request" in header


def test_amazon_without_boto3_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(UsageError, match=r"stair-search\[aws\]"):
        connect("https://search.invalid", aws_region="eu-central-1")


# --- lightness ----------------------------------------------------------------------------------


def test_the_embedded_engine_imports_no_client(tmp_path: Path) -> None:
    code = (
        "import sys; from stair_search.engines import connect\n"
        f"connect('sqlite:{tmp_path}/none.db').exists('photos')\n"
        "print([m for m in ('elasticsearch', 'opensearchpy', 'urllib3', 'regex', 'http')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.slow
def test_a_failure_prints_nothing_by_itself() -> None:
    code = (
        "from stair_search.engines import connect\n"
        "from stair_search.engines.base import EngineInfo\n"
        "from stair_search.engines.lucene.address import address\n"
        "from stair_search.engines.opensearch import opensearch\n"
        "from stair_search.engines.elasticsearch import elasticsearch\n"
        "for make, name in ((opensearch, 'opensearch'), (elasticsearch, 'elasticsearch')):\n"
        "    info = EngineInfo(name, '8.0.0', 'http://127.0.0.1:9')\n"
        "    try: make(address(info.url), info).count('photos')\n"
        "    except Exception as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.count("connection refused") == 2


def test_an_engine_is_what_the_protocol_says(tmp_path: Path) -> None:
    engine: Engine = connect(f"sqlite:{tmp_path}/stair.db")
    with pytest.raises(DestinationError, match="ingest"):
        engine.search("photos", All())
    assert list(tmp_path.iterdir()) == []  # a question makes no file


@pytest.mark.parametrize(
    ("product", "version", "settings", "hides"),
    [
        ("elasticsearch", "9.5.3", {"version": {"created": "9111000"}}, True),
        ("elasticsearch", "", {"version": {"created": "9111000"}}, True),
        ("elasticsearch", "9.5.3", {"version": {"created": "8537000"}}, False),
        ("elasticsearch", "", {"version": {"created": "7172999"}}, False),
        ("elasticsearch", "9.5.3", {"mapping": {"exclude_source_vectors": "false"}}, False),
        ("elasticsearch", "9.2.0", {}, True),
        ("elasticsearch", "", {}, False),
        ("opensearch", "3.6.0", {"version": {"created": "137277827"}}, False),
    ],
)
def test_an_index_tells_whether_it_hides_vectors(
    product: str, version: str, settings: dict[str, Any], hides: bool
) -> None:
    """What an older server would refuse is not sent to one whose version nobody may see."""
    assert hides_vectors(EngineInfo(product, version, ""), settings) is hides
