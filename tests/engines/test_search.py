"""What comes back of a search beside its best ten hits, the same on every engine."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from stair_search.engines import Bucket, Document, Engine, connect
from stair_search.engines.lucene.engine import LuceneEngine
from stair_search.errors import DestinationError, UsageError
from stair_search.mappings import index_body
from stair_search.queries import (
    All,
    Boosted,
    Facet,
    HasToken,
    Hybrid,
    Ids,
    Match,
    Query,
    Raw,
    Search,
    Term,
    Tokens,
    When,
    filtered,
)
from tests.conftest import EVERYWHERE, Engines, token_type

pytestmark = pytest.mark.engines
DOG = Tokens.of({"dog": 1.0}, "m")
COLUMNS = {"likes": "integer", "price": "float", "taken": "date", "free": "boolean"}


@pytest.fixture(params=EVERYWHERE, scope="module")
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def engine(
    name: str, engines: Engines, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    file = tmp_path_factory.mktemp("search") / "stair.db"
    url = f"sqlite:{file}" if name == "sqlite" else engines.url(name)
    found = connect(url)
    yield found
    found.close()


@pytest.fixture(scope="module")
def index(name: str, engine: Engine, engines: Engines) -> Iterator[str]:
    """250 documents; of number n the dog weighs n, so that the last is the best."""
    index = "stair-test-search"
    if name != "sqlite":
        engines.wipe(index)
    kept = token_type(name)
    body = index_body(engine.info.product, columns=COLUMNS, shards=1, replicas=0, token_type=kept)
    engine.create(index, body)
    documents = [
        Document(
            f"d{n:03}",
            {
                "stair": [{"dog": float(n)}],
                "stair_model": "m",
                "stair_tokens": ["dog", f"t{n % 7}"],
                "caption": f"A Dog & a <b>dog's</b> bone number {n}",
                "likes": n % 4,
                "price": 0.1 + n % 3,
                "taken": f"2020-0{1 + n % 5}-01",
                "free": n % 3 == 0,
            },
        )
        for n in range(1, 251)
    ]
    assert all(outcome.ok for outcome in engine.bulk(index, documents))
    engine.refresh(index)
    yield index
    if name != "sqlite":
        engines.wipe(index)


def test_from_a_place_on(engine: Engine, index: str) -> None:
    found = engine.search(index, Search(DOG, size=3, start=10))
    assert [hit.id for hit in found.hits] == ["d240", "d239", "d238"]
    assert found.total == 250
    assert found.hits[0].why[0].token == "dog"
    assert not engine.search(index, Search(DOG, size=3, start=250)).hits
    with pytest.raises(UsageError, match="`pages`"):
        Search(DOG, size=10, start=9_991)


def test_only_what_scores_enough(engine: Engine, index: str) -> None:
    found = engine.search(index, Search(DOG, min_score=249, facets=(Facet("free"),)))
    assert [hit.id for hit in found.hits] == ["d250", "d249"]
    assert found.total == 2
    assert found.facets == {"free": [Bucket("false", 1), Bucket("true", 1)]}


def test_hits_are_counted_as_far_as_wanted(engine: Engine, index: str) -> None:
    assert engine.search(index, Search(DOG, count=True))[:2] == (250, "eq")
    assert engine.search(index, Search(DOG, count=100))[:2] == (100, "gte")
    assert engine.search(index, Search(DOG, count=251))[:2] == (250, "eq")
    assert engine.search(index, Search(DOG, count=0))[:2] == (0, "gte")
    none = engine.search(index, Search(DOG, count=False))
    assert none[:2] == (10, "gte")
    assert none.hits[0].id == "d250"


def test_facets(engine: Engine, index: str) -> None:
    wanted = ("stair_tokens", "likes", "price", "taken", "free")
    facets = (*map(Facet, wanted[1:]), Facet("stair_tokens", 3))
    found = engine.search(index, Search(All(), size=0, facets=facets)).facets
    assert found is not None
    assert found["stair_tokens"] == [Bucket("dog", 250), Bucket("t1", 36), Bucket("t2", 36)]
    assert found["likes"] == [Bucket(1, 63), Bucket(2, 63), Bucket(0, 62), Bucket(3, 62)]
    assert [one.value for one in found["price"]] == [
        pytest.approx(1.1), pytest.approx(0.1), pytest.approx(2.1)
    ]  # fmt: skip
    assert [one.count for one in found["price"]] == [84, 83, 83]
    assert found["taken"][0] == Bucket("2020-01-01T00:00:00.000Z", 50)
    assert found["free"] == [Bucket("false", 167), Bucket("true", 83)]
    one = engine.search(index, Search(Ids(("d001",)), facets=(Facet("stair_tokens"),)))
    assert one.facets == {"stair_tokens": [Bucket("dog", 1), Bucket("t1", 1)]}
    for field, why in [
        ("stair", "cannot be counted"),
        ("caption", "text"),
        ("nothing", "no field"),
    ]:
        with pytest.raises(UsageError, match=why):
            engine.search(index, Search(DOG, facets=(Facet(field),)))


def test_words_that_were_found_are_marked(engine: Engine, index: str) -> None:
    query = Match("caption", "dog bone") & Term("likes", "1")
    rule = When(Match("caption", "number"), 2.0)
    found = engine.search(index, Search(Boosted(query, rule), size=1, highlight=("caption",)))
    number = int(found.hits[0].id[1:])
    text = f"A <em>Dog</em> &amp; a &lt;b&gt;dog&#x27;s&lt;/b&gt; <em>bone</em> number {number}"
    assert found.hits[0].highlights is not None
    assert [one.replace("/b", "&#x2F;b") for one in found.hits[0].highlights["caption"]] in (
        [text.replace("/b", "&#x2F;b")],
        [text],
    )
    assert engine.search(index, Search(DOG, highlight=("caption",))).hits[0].highlights == {}
    assert engine.search(index, DOG).hits[0].highlights is None
    with pytest.raises(UsageError, match="is keyword"):
        engine.search(index, Search(DOG, highlight=("image",)))


def test_pages_through_all(engine: Engine, index: str) -> None:
    pages = list(engine.pages(index, DOG, 100))
    assert [len(page.hits) for page in pages] == [100, 100, 50]
    ids = [hit.id for page in pages for hit in page.hits]
    assert ids == [f"d{n:03}" for n in range(250, 0, -1)]
    assert {page.total for page in pages} == {250}
    assert pages[2].hits[-1].why[0].score == pages[2].hits[-1].score == 1
    assert not list(engine.pages(index, Term("likes", "9")))
    equal = [hit.id for page in engine.pages(index, All(), 60) for hit in page.hits]
    assert sorted(equal) == sorted(ids)
    assert len(list(engine.pages(index, Search(DOG, size=1, min_score=249)))) == 2


def test_pages_without_points_in_time(engine: Engine, index: str) -> None:
    """As OpenSearch before 3.3 is asked."""
    if engine.info.product != "opensearch":
        return
    old = connect(engine.info.url)
    assert isinstance(old, LuceneEngine)
    old._dialect = old._dialect._replace(pit=None)
    search = Search(DOG, size=100, start=3, count=False, facets=(Facet("free"),), min_score=2)
    pages = list(old.pages(index, search))
    ids = [hit.id for page in pages for hit in page.hits]
    assert ids == [f"d{n:03}" for n in range(250, 1, -1)]
    assert pages[0].facets is None
    old.close()


def test_a_server_that_keeps_its_version_to_itself(engine: Engine, index: str) -> None:
    if not isinstance(engine, LuceneEngine):
        return
    silent = connect(engine.info.url)
    assert isinstance(silent, LuceneEngine)
    silent.info = silent.info._replace(version="")
    assert silent.search(index, DOG, 3).hits == engine.search(index, DOG, 3).hits
    assert silent.get(index, "d007") == engine.get(index, "d007")
    assert len(list(silent.scan(index, ["stair"]))) == 250
    assert len(next(silent.pages(index, DOG, 100)).hits) == 100
    silent.close()


def test_an_alias_of_an_index_that_hides_vectors_and_one_that_does_not(
    name: str, engine: Engine, engines: Engines
) -> None:
    if name != "elasticsearch9":
        return
    indices = ("stair-test-search-hides-a", "stair-test-search-hides-b")
    engines.wipe("stair-test-search-hides")
    try:
        for index, hides in zip(indices, (False, True), strict=True):
            body = index_body("elasticsearch", shards=1, replicas=0, token_type="sparse_vector")
            body["settings"]["index"]["mapping"] = {"exclude_source_vectors": hides}
            body["aliases"] = {"stair-test-search-hides": {}}
            engine.create(index, body)
            fields = {"stair": [{"dog": 1.0}], "stair_model": "m"}
            assert engine.bulk(index, [Document(index, fields)])[0].ok
            engine.refresh(index)
        found = engine.search("stair-test-search-hides", DOG)
        assert [[reason.token for reason in hit.why] for hit in found.hits] == [["dog"]] * 2
    finally:
        engines.wipe("stair-test-search-hides")


def test_facets_of_dates_at_the_ends_of_the_calendar(engine: Engine, index: str) -> None:
    far = [Document("far", {"taken": 10**15}), Document("early", {"taken": "0001-01-01"})]
    assert all(outcome.ok for outcome in engine.bulk(index, far))
    engine.refresh(index)
    try:
        query = Search(Ids(("far", "early")), facets=(Facet("taken"),))
        found = engine.search(index, query).facets
        assert found is not None
        assert {str(one.value) for one in found["taken"]} == {
            "+33658-09-27T01:46:40.000Z",
            "0001-01-01T00:00:00.000Z",
        }
    finally:
        engine.delete(index, ["far", "early"])
        engine.refresh(index)


def test_facets_are_right_on_several_shards(name: str, engine: Engine, engines: Engines) -> None:
    if name == "sqlite":
        return
    index = "stair-test-search-shards"
    kept = token_type(name)
    body = index_body(
        engine.info.product,
        columns={"licence": "keyword"},
        shards=5,
        replicas=0,
        token_type=kept,
    )
    engines.wipe(index)
    engine.create(index, body)
    try:
        values = [f"v{(n * n) % 397}" for n in range(2_000)]
        documents = [Document(f"d{n}", {"licence": value}) for n, value in enumerate(values)]
        engine.bulk(index, documents)
        engine.refresh(index)
        found = engine.search(index, Search(All(), size=0, facets=(Facet("licence", 5),))).facets
        counted = Counter(values)
        wanted = sorted(counted, key=lambda value: (-counted[value], value))[:5]
        assert found == {"licence": [Bucket(value, counted[value]) for value in wanted]}
    finally:
        engines.wipe(index)


def test_what_is_no_search() -> None:
    things: list[Any] = [Hybrid.of({"a": DOG}), {"match_all": {}}, None]
    for thing in things:
        with pytest.raises(UsageError, match="search_hybrid"):
            Search(thing)
    wrong: list[dict[str, Any]] = [
        {"facets": (Facet("a"), Facet("a", 3))},
        {"facets": ("a",)},
        {"highlight": "caption"},
        {"size": -1},
        {"count": -1},
    ]
    for one in wrong:
        with pytest.raises(UsageError):
            Search(DOG, **one)
    assert Search(DOG, highlight=["caption"]).highlight == ("caption",)  # type: ignore[arg-type]


def test_a_partial_answer_is_refused(engine: Engine, index: str) -> None:
    if not isinstance(engine, LuceneEngine):
        return
    prepared = engine.prepare(index, DOG)
    part = {"took": 1, "timed_out": False, "_shards": {"failed": 1}, "hits": {"hits": []}}
    with pytest.raises(DestinationError, match="not all shards"):
        prepared.hits(part)


def test_pages_are_of_the_moment_of_the_call(engine: Engine, index: str) -> None:
    pages = engine.pages(index, DOG, 249)
    late = Document("late", {"stair": [{"dog": 300.0}], "stair_model": "m"})
    assert engine.bulk(index, [late])[0].ok
    engine.refresh(index)
    try:
        assert [len(page.hits) for page in pages] == [249, 1]
    finally:
        engine.delete(index, ["late"])
        engine.refresh(index)


def test_many_at_once(engine: Engine, index: str) -> None:
    searches: list[Query | Search] = [DOG, Search(All(), size=2), Term("likes", "9")]
    found = engine.search_many(index, searches)
    assert [len(hits.hits) for hits in found] == [10, 2, 0]
    assert found[0].hits == engine.search(index, DOG).hits
    assert engine.search_many(index, []) == []
    with pytest.raises(UsageError, match="no field"):
        engine.search_many(index, [DOG, Term("nothing", "1")])


def test_with_an_asynchronous_client_of_ones_own(engine: Engine, index: str) -> None:
    from elasticsearch import AsyncElasticsearch
    from opensearchpy import AsyncOpenSearch

    if not isinstance(engine, LuceneEngine):
        return
    prepared = engine.prepare(index, Search(DOG, size=3))
    client = AsyncOpenSearch if engine.info.product == "opensearch" else AsyncElasticsearch

    async def asked() -> list[str]:
        async with client(engine.info.url) as own:
            answer = await own.search(
                index=index, body=prepared.body, allow_partial_search_results=False
            )
            return [hit.id for hit in prepared.hits(answer).hits]

    assert asyncio.run(asked()) == ["d250", "d249", "d248"]


def test_tokens_as_they_are_by_neural_sparse(engine: Engine, index: str) -> None:
    query = Tokens.of({"dog": 1.3, ".": 0.2, "cat": 2.0}, "m") | Match("caption", "bone", 0.1)
    search = Search(query & ~HasToken("dog", "m", 249.5), neural_sparse=True)
    if engine.info.product != "opensearch":
        with pytest.raises(UsageError, match="OpenSearch's query"):
            engine.search(index, search)
        return
    assert '"neural_sparse"' in json.dumps(engine.body(search, index=index))
    found = engine.search(index, search)
    assert found.hits == engine.search(index, search.query).hits
    assert found.hits[0].id == "d249"
    with pytest.raises(UsageError, match="weight 65"):
        engine.search(index, Search(Tokens.of({"dog": 65.0}, "m"), neural_sparse=True))


def test_objects_of_the_clients_dsl(engine: Engine, index: str) -> None:
    import elasticsearch.dsl
    import opensearchpy

    for dsl in (elasticsearch.dsl, opensearchpy):
        theirs = dsl.Q("terms", likes=[1, 2]) & ~dsl.Q("term", free=True)
        query = filtered(DOG, Raw.of(theirs))
        body = engine.body(Search(query, size=5), index=index)
        if dsl is elasticsearch.dsl or engine.info.product != "elasticsearch":
            assert dsl.Search.from_dict(body).to_dict() == body
            assert dsl.Q(body["query"]).to_dict() == body["query"]
        if engine.info.product == "sqlite":
            continue
        found = engine.search(index, Search(query, size=5, count=True))
        assert found.total == len([n for n in range(1, 251) if n % 4 in (1, 2) and n % 3])
