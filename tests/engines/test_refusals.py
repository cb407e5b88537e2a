"""What an engine that is there says no to: one line, its words, the remedy; nothing lost."""

from __future__ import annotations

import json
import pickle
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from stair_search.engines import Document, RequestError, connect
from stair_search.engines.lucene.engine import LuceneEngine
from stair_search.errors import DestinationError, ModelError, StairError, UsageError
from stair_search.mappings import differences, index_body
from stair_search.queries import All, Term, question
from tests.engines import fake
from tests.engines.fake import Answer, Request, served

PHOTO = Document("a", {"stair": [{"dog": 1.0}], "stair_model": "m"})


@pytest.fixture(
    params=[
        pytest.param("opensearch", marks=pytest.mark.engines),
        pytest.param("elasticsearch7", marks=pytest.mark.engines),
    ]
)
def node_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


def http(method: str, url: str, body: Any = None) -> None:
    data = json.dumps(body).encode() if body is not None else None
    headers = {"content-type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method)).close()


@pytest.mark.parametrize("block", ["write", "read_only", "read_only_allow_delete"])
def test_a_read_only_index(node_url: str, index_name: str, block: str) -> None:
    engine = connect(node_url)
    engine.create(index_name, index_body(engine.info.product, replicas=0))
    assert engine.bulk(index_name, [PHOTO])[0].ok
    engine.refresh(index_name)
    http("PUT", f"{node_url}/{index_name}/_settings", {f"index.blocks.{block}": True})
    try:
        (outcome,) = engine.bulk(index_name, [PHOTO])
        assert outcome.status in {403, 429}
        assert "cluster_block_exception" in str(outcome.error)
        assert engine.search(index_name, question({"dog": 1.0}, model="m")).total == 1
    finally:
        http("PUT", f"{node_url}/{index_name}/_settings", {f"index.blocks.{block}": None})


def test_a_token_field_of_another_type(node_url: str, index_name: str) -> None:
    engine = connect(node_url)
    http("PUT", f"{node_url}/{index_name}", {"mappings": {"properties": {
        "stair": {"type": "keyword"}, "title": {"type": "text"}
    }}})  # fmt: skip
    amiss = differences(engine.mapping(index_name), index_body(engine.info.product))
    assert any("'stair' is 'keyword', not 'rank_features'" in line for line in amiss)
    with pytest.raises(ModelError, match="'stair' is keyword"):
        engine.search(index_name, question({"dog": 1.0}, model="m"))
    (outcome,) = engine.bulk(index_name, [PHOTO])
    assert outcome.status == 400
    assert "mapper_parsing_exception" in str(outcome.error)
    assert engine.count(index_name) == 0


def test_fields_are_added_beside_those_that_are_there(node_url: str, index_name: str) -> None:
    """The remedy that `differences` names works when it is pasted."""
    engine = connect(node_url)
    http("PUT", f"{node_url}/{index_name}", {"mappings": {"properties": {
        "title": {"type": "text"}
    }}})  # fmt: skip
    body = index_body(engine.info.product)
    missing = differences(engine.mapping(index_name), body)
    line = next(line for line in missing if "'stair' is missing" in line)
    http("PUT", f"{node_url}/{index_name}/_mapping", json.loads(line[line.index("{") :]))
    assert differences(engine.mapping(index_name), body) == []
    assert engine.bulk(index_name, [PHOTO])[0].ok
    engine.refresh(index_name)
    assert engine.search(index_name, question({"dog": 1.0}, model="m")).total == 1


def test_a_bad_name_of_an_index(node_url: str) -> None:
    engine = connect(node_url)
    with pytest.raises(RequestError, match=r"invalid_index_name_exception.*lowercase") as raised:
        engine.create("Photos", index_body(engine.info.product))
    assert "\n" not in str(raised.value)


def test_an_unfindable_field_of_a_mapping(node_url: str, index_name: str) -> None:
    engine = connect(node_url)
    with pytest.raises(RequestError, match="no_such_type"):
        engine.create(index_name, {"mappings": {"properties": {"a": {"type": "no_such_type"}}}})


# --- answers that a healthy node does not give ----------------------------------------------------

BLOCK = {"type": "cluster_block_exception", "reason": "index [p] blocked by: [FORBIDDEN/8]"}


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (413, "<html>Too Large</html>", "too large.*413.*fewer documents"),
        (429, {"error": {"type": "rejected", "reason": "queue full"}}, "429.*queue full.*later"),
        (429, {"message": "slow down"}, "429.*slow down"),
        (502, "<html><body>Bad\nGateway</body></html>", "502.*Gateway"),
        (503, {"error": "no master"}, "503.*no master"),
        (403, {"error": BLOCK}, "may not be written to.*FORBIDDEN/8.*index.blocks"),
        (403, {"error": {"type": "security_exception", "reason": "no"}}, "not allowed.*403.*role"),
        (401, {"error": "expired"}, "401.*ES_API_KEY"),
        (400, {"error": {"type": "x", "reason": "y" * 5_000}}, "refused .400.: x: yyy"),
    ],
)
@pytest.mark.parametrize("product", [fake.opensearch(), fake.elasticsearch()])
def test_an_answer_that_is_an_error(product: Answer, status: int, body: Any, message: str) -> None:
    def script(request: Request) -> Answer:
        if request.path == "/":
            return product
        if request.path.endswith("_bulk"):
            return Answer(status, body, {"x-elastic-product": "Elasticsearch"})
        return Answer(200, {}, product.headers)

    with served(script) as url, pytest.raises(RequestError, match=message) as raised:
        connect(url).bulk("photos", [PHOTO])
    assert raised.value.status == status
    assert raised.value.exit_code == 3
    line = str(raised.value)
    assert url in line
    assert "\n" not in line
    assert len(line) < 700
    copied = pickle.loads(pickle.dumps(raised.value))  # Ray carries it between processes
    assert (str(copied), copied.status) == (line, status)


@pytest.mark.parametrize("product", [fake.opensearch(), fake.elasticsearch()])
def test_a_role_that_may_search_but_not_look_at_the_index(product: Answer) -> None:
    """Without the mapping there are no checks, but there is an answer."""
    asked: list[dict[str, Any]] = []

    def script(request: Request) -> Answer:
        if request.path == "/":
            return product
        if request.path.startswith("/photos/_search"):
            asked.append(json.loads(request.body))
            hits = {"total": {"value": 0, "relation": "eq"}, "hits": []}
            buckets: dict[str, Any] = {"buckets": []}
            found = {"took": 1, "hits": hits, "aggregations": {"models": buckets}}
            return Answer(200, found, product.headers)
        error = {"type": "security_exception", "reason": "no permissions"}
        return Answer(403, {"error": error}, product.headers)

    with served(script) as url:
        engine = connect(url)
        assert engine.search("photos", question({"dog": 1.0}, model="m"), why=False).total == 0
        assert asked[-1]["_source"] == {"excludes": ["stair"]}
        with pytest.raises(RequestError, match=r"not allowed.*no permissions"):
            engine.mapping("photos")


@pytest.mark.parametrize("product", [fake.opensearch(), fake.elasticsearch()])
def test_half_an_answer_is_none(product: Answer) -> None:
    """A search that lost shards must not pass for an answer."""
    seen: list[str] = []

    def script(request: Request) -> Answer:
        if request.path.startswith("/photos/_search"):
            seen.append(request.path)
            return Answer(503, {"error": {
                "type": "search_phase_execution_exception", "reason": "Partial shards failure",
                "failed_shards": [{"reason": {"type": "x", "reason": "disk gone"}}],
            }}, product.headers)  # fmt: skip
        if request.path == "/photos":
            inside = {"mappings": {}, "settings": {"index": {"uuid": "u"}}}
            return Answer(200, {"photos": inside}, product.headers)
        return product

    with served(script) as url, pytest.raises(RequestError, match=r"503.*disk gone"):
        connect(url).search("photos", All())
    assert "allow_partial_search_results=false" in seen[0]


@pytest.mark.parametrize("scrolls", [True, False])
@pytest.mark.parametrize("lost", [{"timed_out": True}, {"_shards": {"failed": 1, "failures": [
    {"reason": {"type": "x", "reason": "disk gone"}}
]}}])  # fmt: skip
@pytest.mark.parametrize("product", [fake.opensearch(), fake.elasticsearch()])
def test_a_page_without_all_shards_is_refused(
    product: Answer, lost: dict[str, Any], scrolls: bool
) -> None:
    hit = {"_id": "a", "_source": {}, "sort": [1]}
    pages = 0

    def script(request: Request) -> Answer:
        nonlocal pages
        if request.path == "/":
            return product
        if request.method == "DELETE" or request.path.startswith("/photos/_pit"):
            return Answer(200, {"id": "p"}, product.headers)
        if "point_in_time" in request.path:
            return Answer(200, {"pit_id": "p"}, product.headers)
        if not request.path.startswith("/_search/scroll"):
            assert "allow_partial_search_results=false" in request.path
        pages += 1
        page = {"_scroll_id": "s", "hits": {"hits": [hit]}, **(lost if pages > 1 else {})}
        return Answer(200, page, product.headers)

    with served(script) as url:
        engine = connect(url)
        assert isinstance(engine, LuceneEngine)
        if scrolls:
            engine._dialect = engine._dialect._replace(pit=None)
        message = "disk gone" if "_shards" in lost else "partial answer"
        with pytest.raises(RequestError, match=f"503.*{message}"):
            list(engine.scan("photos", []))
    assert pages == 2


@pytest.mark.parametrize("product", [fake.opensearch(), fake.elasticsearch()])
def test_parts_of_an_answer_are_refused(product: Answer) -> None:
    def script(request: Request) -> Answer:
        if request.path == "/":
            return product
        if request.method == "GET" and request.path == "/photos":
            about = {"mappings": {}, "settings": {"index": {"uuid": "u"}}}
            return Answer(200, {"photos": about}, product.headers)
        assert "_count" in request.path or "allow_partial_search_results=false" in request.path
        shards = {"failed": 1, "failures": [{"reason": {"type": "x", "reason": "disk gone"}}]}
        body = {
            "_shards": shards, "count": 1, "hits": {"hits": []},
            "aggregations": {"models": {"buckets": []}}, "pit_id": "p", "id": "p",
        }  # fmt: skip
        return Answer(200, body, product.headers)

    with served(script) as url:
        engine = connect(url)
        asks: list[Callable[[], object]] = [
            lambda: engine.matches("photos", "a", [All()]),
            lambda: engine.models("photos"),
            lambda: engine.count("photos"),
        ]
        for ask in asks:
            with pytest.raises(RequestError, match=r"503.*disk gone"):
                ask()


@pytest.mark.parametrize("kind", ["text/html", "text/plain", "application/json"])
@pytest.mark.parametrize("headers", [{}, {"x-elastic-product": "Elasticsearch"}])
@pytest.mark.parametrize("product", [fake.opensearch(), fake.elasticsearch()])
def test_a_page_of_a_proxy_is_no_answer(
    product: Answer, headers: dict[str, str], kind: str
) -> None:
    page = Answer(200, "<html>Log\nin</html>", {**headers, "content-type": kind})

    def script(request: Request) -> Answer:
        return product if request.path == "/" else page

    with served(script) as url:
        engine = connect(url)
        with pytest.raises(RequestError, match=f"{url}.*502") as raised:
            engine.count("photos")
    assert raised.value.status == 502
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("product", [fake.opensearch(), fake.elasticsearch()])
def test_a_bulk_does_not_fetch_the_mapping(product: Answer) -> None:
    asked: list[str] = []

    def script(request: Request) -> Answer:
        if request.path == "/":
            return product
        asked.append(f"{request.method} {unquote(request.path)}")
        done = {"items": [{"update": {"_id": "a", "status": 200}}]}
        return Answer(200, done, product.headers)

    with served(script) as url:
        engine = connect(url)
        for _ in range(2):
            assert engine.bulk("photos", [PHOTO])[0].ok
    assert asked == [
        "GET /photos?filter_path=*.settings.index.uuid,error", "POST /photos/_bulk"
    ] * 2  # fmt: skip


@pytest.mark.parametrize("product", [fake.opensearch(), fake.elasticsearch()])
def test_threads_forget_an_index_at_once(product: Answer) -> None:
    """Each finds that the field is unknown, and looks again."""
    found = Answer(200, {"photos": {
        "mappings": {"properties": {}}, "settings": {"index": {"uuid": "u"}}
    }}, product.headers)  # fmt: skip
    engine: Any = None

    def script(request: Request) -> Answer:
        return product if request.path == "/" else found

    class Forgetful(dict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            value = super().__getitem__(name)
            self.clear()  # another thread
            return value

    with served(script) as url:
        engine = connect(url)
        engine._abouts = Forgetful()
        engine._about("photos")
        with pytest.raises(UsageError, match="none"):
            engine.search("photos", Term("none", "x"))


def test_every_error_has_its_exit_code() -> None:
    assert issubclass(RequestError, DestinationError)
    assert [c.exit_code for c in (StairError, DestinationError, ModelError)] == [1, 3, 4]


@pytest.mark.parametrize("name", ["a*", "a,b", "Photos", "_all", "-x", "..", "", "a b", "é" * 128])
def test_what_names_no_single_index_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a name is in lower case"):
        connect(f"sqlite:{tmp_path / 'x.db'}").create(name, {})
