"""What `engines.base.Engine` promises, on each of the three engines."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stair_search.engines import Document, Engine, Hits, connect
from stair_search.engines.lucene.engine import LuceneEngine
from stair_search.errors import DestinationError, ModelError, UsageError
from stair_search.fields import Fields
from stair_search.mappings import fields_of, index_body
from stair_search.queries import (
    All,
    Bool,
    Constant,
    Exists,
    HasToken,
    Ids,
    Match,
    Query,
    QueryPolicy,
    Reason,
    Term,
    TokenField,
    Tokens,
    question,
)
from stair_search.tokens import truncate
from tests.conftest import Engines

DOG = {"stair": [{"dog": 1.2, "beach": 0.7}], "stair_model": "m", "caption": "a dog on the beach"}
CAT = {"stair": [{"cat": 2.0}], "stair_model": "m", "caption": "a cat, a cat!", "width": 300}


def put(engine: Engine, index: str, **documents: dict[str, Any]) -> None:
    outcomes = engine.bulk(index, [Document(*item) for item in documents.items()])
    assert all(outcome.ok for outcome in outcomes), outcomes
    engine.refresh(index)


def ids(hits: Hits) -> list[str]:
    return [hit.id for hit in hits.hits]


def found(engine: Engine, index: str, query: Query) -> set[str]:
    return set(ids(engine.search(index, query, 100)))


# --- indices ------------------------------------------------------------------------------------


def test_an_index_is_made_once(engine: Engine, index_name: str) -> None:
    body = index_body(engine.info.product, Fields(token="look"), {"price": "float"}, replicas=0)
    assert not engine.exists(index_name)
    engine.create(index_name, body)
    assert engine.exists(index_name)
    with pytest.raises(DestinationError, match="already"):
        engine.create(index_name, body)
    mapping = engine.mapping(index_name)
    assert mapping["properties"]["look"] == {"type": "rank_features"}
    assert mapping["properties"]["price"] == {"type": "float"}
    assert fields_of(mapping) == Fields(token="look")
    assert engine.count(index_name) == 0


def test_an_index_has_an_identity(engine: Engine, index: str) -> None:
    other = f"{index}-b"
    engine.create(other, index_body(engine.info.product, replicas=0))
    assert engine.uuid(index) == engine.uuid(index) != engine.uuid(other)


def test_a_missing_index_is_named_with_the_remedy(engine: Engine, index_name: str) -> None:
    asks: list[Callable[[], object]] = [
        lambda: engine.search(index_name, All()),
        lambda: engine.search(index_name, question({"dog": 1.0}, model="m")),
        lambda: engine.bulk(index_name, [Document("1", DOG)]),
        lambda: engine.mapping(index_name),
        lambda: engine.uuid(index_name),
        lambda: engine.get(index_name, "1"),
        lambda: engine.matches(index_name, "1", [All()]),
        lambda: engine.models(index_name),
        lambda: engine.count(index_name),
        lambda: list(engine.scan(index_name, ["image"])),
        lambda: engine.refresh(index_name),
    ]
    for ask in asks:
        with pytest.raises(DestinationError, match=f"no index '{index_name}'.*ingest"):
            ask()
    assert not engine.exists(index_name)  # nothing made it by the way


# --- documents ----------------------------------------------------------------------------------


def test_bulk_tells_each_outcome_in_order(engine: Engine, index: str) -> None:
    outcomes = engine.bulk(
        index,
        [
            Document("good", DOG),
            Document("", CAT),
            Document("x" * 513, CAT),
            Document("zero", {**CAT, "stair": [{"cat": 0.0}]}),
            Document("negative", {**CAT, "stair": [{"cat": -1.0}]}),
            Document("not a number", {**CAT, "stair": [{"cat": float("nan")}]}),
            Document("words", {**CAT, "stair": "cat"}),
            Document("twice", {**CAT, "stair": [{"cat": 1.0}, {"cat": 2.0}]}),
            Document("wide", {**CAT, "width": "very"}),
            Document("odd \udcff bytes", CAT),
            Document("odd", {**CAT, "image": "odd \udcff bytes"}),
            Document("also good", CAT),
        ],
    )
    good = [outcome.id for outcome in outcomes if outcome.ok]
    assert good == ["good", "also good"]
    assert [o.status for o in outcomes if o.ok] == [201, 201]
    for outcome in outcomes:
        assert outcome.ok or (outcome.status == 400 and outcome.error), outcome
    engine.refresh(index)
    assert engine.count(index) == 2
    assert [o.status for o in engine.bulk(index, [Document("good", CAT)])] == [200]


def test_a_refused_document_teaches_no_fields(engine: Engine, index: str) -> None:
    first, second = engine.bulk(
        index,
        [Document("a", {"year": 5, "stair": "bad"}), Document("b", {**DOG, "year": "about 1900"})],
    )
    assert (first.status, second.status) == (400, 201)
    assert engine.mapping(index)["properties"]["year"]["type"] in {"keyword", "text"}
    assert engine.bulk(index, [Document("c", {"era": 5, "stair": "bad"})])[0].status == 400
    assert "era" not in engine.mapping(index)["properties"]


def test_whole_numbers_have_their_range(engine: Engine, index: str) -> None:
    fits = {"width": 2**31 - 1, "far": -(2**63)}
    assert engine.bulk(index, [Document("a", {**DOG, **fits})])[0].ok
    for wrong in ({"width": 2**31}, {"far": 2**63}, {"far": 2**70}, {"far": str(2**63)}):
        (outcome,) = engine.bulk(index, [Document("b", {**DOG, **wrong})])
        assert outcome.status == 400, wrong
    assert engine.bulk(index, [Document("c", {**DOG, "new": 2**70})])[0].status == 400


def test_an_update_keeps_what_it_does_not_name(engine: Engine, index: str) -> None:
    put(engine, index, a={**DOG, "split": "test"})
    put(engine, index, a={"stair": [{"bird": 0.5}], "width": 3})
    assert engine.get(index, "a") == {
        **DOG, "split": "test", "stair": [{"bird": 0.5}], "width": 3
    }  # fmt: skip
    # the old tokens are gone from the postings too
    assert found(engine, index, HasToken("bird", "m")) == {"a"}
    assert found(engine, index, HasToken("dog", "m")) == set()
    assert found(engine, index, Match("caption", "dog")) == {"a"}
    assert found(engine, index, Term("split", "test")) == {"a"}


def test_an_object_replaces_as_a_list_of_one_does(engine: Engine, index: str) -> None:
    put(engine, index, a={**DOG, "stair": {"dog": 1.0}})
    put(engine, index, a={"stair": {"bird": 0.5}})
    assert found(engine, index, HasToken("dog", "m")) == set()


def test_a_text_that_changes_is_found_by_its_new_words_alone(engine: Engine, index: str) -> None:
    put(engine, index, a=DOG, b=CAT)
    put(engine, index, a={"caption": "two birds and a cat"})
    assert found(engine, index, Match("caption", "dog")) == set()
    assert found(engine, index, Match("caption", "birds")) == {"a"}
    put(engine, index, a={"caption": None})
    assert found(engine, index, Match("caption", "cat")) == {"b"}


def test_the_same_id_twice_in_one_request(engine: Engine, index: str) -> None:
    outcomes = engine.bulk(
        index, [Document("a", DOG), Document("a", {"stair": [{"bird": 1.0}], "split": "x"})]
    )
    assert [o.status for o in outcomes] == [201, 200]
    engine.refresh(index)
    assert engine.count(index) == 1
    assert engine.get(index, "a") == {**DOG, "stair": [{"bird": 1.0}], "split": "x"}
    assert found(engine, index, HasToken("dog", "m")) == set()


def test_a_huge_value_of_a_column_fails_nothing(engine: Engine, index: str) -> None:
    long = "x" * 40_000
    put(engine, index, a={**DOG, "note": long, "image": long})
    assert (engine.get(index, "a") or {})["note"] == long
    # kept, not findable; Elasticsearch 8 would answer the question with 400
    with pytest.raises(UsageError, match="has 40,000 bytes, and engines take 32,766"):
        engine.search(index, Term("note", long))


def test_deleted_documents_are_found_by_nothing(engine: Engine, index: str) -> None:
    put(engine, index, **{f"d{n}": DOG for n in range(5)}, cat=CAT)
    gone = ["d1", "never", "d4", "d1", "x" * 513, ""]
    outcomes = engine.delete(index, gone)
    assert [(o.id, o.status) for o in outcomes] == list(
        zip(gone, [200, 404, 200, 404, 404, 404], strict=True)
    )
    assert all(o.gone for o in outcomes)
    engine.refresh(index)
    left = {"d0", "d2", "d3"}
    assert found(engine, index, question({"dog": 1.0}, model="m")) == left
    assert found(engine, index, Match("caption", "beach")) == left
    assert found(engine, index, All()) == {*left, "cat"}
    assert {name for name, _ in engine.scan(index, [])} == {*left, "cat"}
    assert engine.models(index) == {"m": 4}
    assert engine.count(index) == 4
    assert engine.get(index, "d1") is None
    put(engine, index, d1=DOG)
    assert found(engine, index, question({"dog": 1.0}, model="m")) == {*left, "d1"}
    engine.delete(index, [*left, "d1", "cat"])
    engine.refresh(index)
    assert engine.models(index) == {}
    assert engine.count(index) == engine.search(index, All()).total == 0


@pytest.mark.engines
@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize("product", ["opensearch", "elasticsearch7"])
def test_what_was_written_with_a_routing_is_deleted(
    engines: Engines, index_name: str, product: str, required: bool
) -> None:
    url = engines.url(product)
    engine = connect(url)
    body = index_body(engine.info.product, shards=5, replicas=0)
    body["mappings"]["_routing"] = {"required": required}
    engine.create(index_name, body)
    for n in range(8):
        path = f"{url}/{index_name}/_doc/d{n}?routing=r{n}&refresh=true"
        told = json.dumps({"caption": "a dog"}).encode()
        kind = {"Content-Type": "application/json"}
        urllib.request.urlopen(urllib.request.Request(path, told, kind, method="PUT")).close()
    gone = [f"d{n}" for n in range(6)]
    assert [outcome.gone for outcome in engine.delete(index_name, gone)] == [True] * 6
    engine.refresh(index_name)
    assert {name for name, _ in engine.scan(index_name, [])} == {"d6", "d7"}
    engine.close()


def test_nothing_is_deleted_from_an_index_that_is_not_there(
    engine: Engine, index_name: str
) -> None:
    with pytest.raises(DestinationError, match=f"no index '{index_name}'"):
        engine.delete(index_name, ["a"])
    assert not engine.exists(index_name)


def test_get(engine: Engine, index: str) -> None:
    name = "a/b c?ü#%"
    put(engine, index, **{name: DOG})
    assert engine.get(index, name) == DOG
    assert engine.get(index, "none") is None


def test_scan_gives_every_document_as_of_the_call(engine: Engine, index: str) -> None:
    many = [Document(f"d{i}", {**CAT, "image": f"{i}.jpg"}) for i in range(2_500)]
    assert all(o.ok for o in engine.bulk(index, many))
    engine.refresh(index)
    scan = engine.scan(index, ["image", "nothing"])
    put(engine, index, late=DOG)
    rows = list(scan)
    assert len(rows) == 2_500
    assert dict(rows) == {f"d{i}": {"image": f"{i}.jpg"} for i in range(2_500)}
    assert dict(engine.scan(index, []))["late"] == {}
    assert next(iter(engine.scan(index, ["image"])))  # left half read: nothing breaks
    if isinstance(engine, LuceneEngine):  # as servers do that cannot page a point in time
        engine._dialect = engine._dialect._replace(pit=None)
        assert dict(engine.scan(index, ["image"])) == {**dict(rows), "late": {}}


@pytest.mark.engines
@pytest.mark.parametrize("product", ["opensearch", "elasticsearch7"])
@pytest.mark.parametrize("pit", [True, False])
def test_a_scan_reads_a_page_when_it_is_come_to(
    engines: Engines, index_name: str, product: str, pit: bool
) -> None:
    engine = connect(engines.url(product))
    assert isinstance(engine, LuceneEngine)
    if not pit:  # as for an OpenSearch that has none
        engine._dialect = engine._dialect._replace(pit=None)
    engine.create(index_name, index_body(engine.info.product, shards=2, replicas=0))
    put(engine, index_name, **{f"d{n}": {"width": n} for n in range(2_500)})
    asked: list[str] = []
    send = engine._send

    def counted(method: str, path: str, **rest: Any) -> Any:
        asked.append(path)
        return send(method, path, **rest)

    engine._send = counted
    found = engine.scan(index_name, ["width"])
    for _ in range(1_000):
        next(found)
    pages = sum("_search" in path and "point_in_time" not in path for path in asked)
    assert pages == 1
    assert len(list(found)) == 1_500
    engine.close()


def test_models_are_counted(engine: Engine, index: str) -> None:
    assert engine.models(index) == {}
    put(engine, index, a=DOG, b=CAT, c={**DOG, "stair_model": "other"})
    assert engine.models(index) == {"m": 2, "other": 1}


# --- what matches -------------------------------------------------------------------------------


def test_scores_and_reasons(engine: Engine, index: str) -> None:
    put(engine, index, a=DOG, b=CAT)
    hits = engine.search(index, question({"dog": 2.5, "beach": 0.5, "cat": 0.1}, model="m"))
    assert (hits.total, hits.total_relation) == (2, "eq")
    best = hits.hits[0]
    assert best.id == "a"
    # 3.35 if weights were kept in full
    assert best.score == pytest.approx(3.3476562, abs=1e-7)
    dog, beach = best.why
    assert dog == Reason("question", "dog", 2.5, 1.19921875, 2.998046875)
    assert (beach.token, beach.query, beach.image) == ("beach", 0.5, float(truncate(0.7)))
    assert sum(reason.score for reason in best.why) == pytest.approx(best.score, abs=1e-6)


def test_the_token_field_is_not_in_the_hits(engine: Engine, index: str) -> None:
    put(engine, index, a={**DOG, "image": "a.jpg", "stair_tokens": ["dog"]})
    rest = {k: v for k, v in DOG.items() if k != "stair"}
    for query in (question({"dog": 1.0}, model="m"), Match("caption", "dog"), All()):
        for why in (True, False):
            (hit,) = engine.search(index, query, why=why).hits
            assert hit.source == {**rest, "image": "a.jpg", "stair_tokens": ["dog"]}
            assert bool(hit.why) == (why and query != All())


def test_a_document_of_another_model_is_never_scored(engine: Engine, index: str) -> None:
    put(engine, index, a=DOG, b={**DOG, "stair_model": "other"})
    query = question({"dog": 1.0}, model="m")
    assert found(engine, index, query) == {"a"}
    # beside another clause too
    both = question({"dog": 1.0}, model="m", match=[Match("caption", "dog")])
    hits = {hit.id: hit for hit in engine.search(index, both).hits}
    assert [reason.part for reason in hits["b"].why] == ["caption"]
    assert found(engine, index, HasToken("dog", "other")) == {"b"}


def test_a_model_that_the_index_does_not_know_is_refused(engine: Engine, index: str) -> None:
    query = question({"dog": 1.0}, model="m")
    assert engine.search(index, query).total == 0  # an empty index refuses nobody
    put(engine, index, a=DOG)
    for wrong in (
        question({"dog": 1.0}, model="new"),
        question(None, model="new", require=["dog"]),
        Bool(should=(Tokens.of({"dog": 1.0}, "m"),), must_not=(HasToken("cat", "new"),)),
    ):
        with pytest.raises(ModelError, match=r"'m'.*'new'"):
            engine.search(index, wrong)
    assert engine.search(index, query).total == 1


def test_a_policy_may_know_of_a_model_that_the_index_does_not(engine: Engine, index: str) -> None:
    armed, bloody = (CAT | {"stair": [{token: 1.0}]} for token in ("gun", "blood"))
    put(engine, index, a=DOG, b=armed, c=bloody)
    held = TokenField("m"), TokenField("new")
    kids = QueryPolicy("kids", forbid={"gun": None, "blood": 0.3}, held_in=held)
    assert found(engine, index, kids.apply(All())) == {"a"}
    with pytest.raises(ModelError, match=r"'m'.*'new'"):
        engine.search(index, kids.apply(Tokens.of({"dog": 1.0}, "new")))


@pytest.mark.parametrize("weight", [1.2, 0.3, 1.0, 1e-30, 3.0e38])
def test_a_threshold_holds_to_the_last_bit(engine: Engine, index: str, weight: float) -> None:
    put(engine, index, a={**DOG, "stair": [{"dog": weight}]})
    held = truncate(weight)
    above = float(np.nextafter(held, np.float32(np.inf)))
    below = float(np.nextafter(held, np.float32(0)))
    for minimum, expected in ((float(held), {"a"}), (below, {"a"}), (above, set())):
        rule = HasToken("dog", "m", minimum)
        assert found(engine, index, rule) == expected, minimum
        assert found(engine, index, Bool(must_not=(rule,))) == {"a"} - expected, minimum
        assert engine.matches(index, "a", [rule]) == [bool(expected)]
    assert found(engine, index, HasToken("dog", "m")) == {"a"}


def test_rules(engine: Engine, index: str) -> None:
    put(engine, index, a={**DOG, "split": "test"}, b=CAT, c={**DOG, "split": ["train", "val"]})
    ask = {"dog": 1.0, "cat": 1.0}
    assert found(engine, index, question(ask, model="m", require=["dog"])) == {"a", "c"}
    assert found(engine, index, question(ask, model="m", without={"dog": None})) == {"b"}
    assert found(engine, index, question(ask, model="m", without={"dog": 1.3})) == {"a", "b", "c"}
    assert found(engine, index, question(ask, model="m", filters=[("split", "test")])) == {"a"}
    assert found(engine, index, question(ask, model="m", filters=[("split", "val")])) == {"c"}
    assert found(engine, index, question(ask, model="m", filters=[("width", "300")])) == {"b"}
    assert found(engine, index, question(ask, model="m", filters=[("width", "3")])) == set()
    # a filter alone: all that pass, at score 0
    hits = engine.search(index, question(None, model="m", filters=[("split", "test")]))
    assert [(hit.id, hit.score, hit.why) for hit in hits.hits] == [("a", 0, [])]
    # beside a filter a hit must still match something that scores
    assert found(engine, index, question({"bird": 1.0}, model="m", require=["dog"])) == set()


def test_nodes_that_are_not_scored_score_nothing(engine: Engine, index: str) -> None:
    put(engine, index, a=DOG, b=CAT)
    everything: tuple[Query, ...] = (
        All(),
        Bool(),
        Ids(("a", "b")),
        Bool(must_not=(Ids(("c",)),)),
        Bool(must=(All(),), should=(Ids(("a", "b")),)),
        Bool(should=(HasToken("dog", "m"), HasToken("cat", "m", 0.5))),
    )
    for query in everything:
        hits = engine.search(index, query)
        assert {hit.id: hit.score for hit in hits.hits} == {"a": 0, "b": 0}, query


def test_constants_and_nesting(engine: Engine, index: str) -> None:
    put(engine, index, a=DOG, b=CAT)
    dogs = Bool(
        must=(Tokens.of({"dog": 1.0}, "m"),), should=(Constant(All(), 2.0, "all"),),
        filter=(HasToken("beach", "m"),),
    )  # fmt: skip
    cats = Bool(should=(Constant(HasToken("cat", "m"), 0.5, "cats"),), filter=(Ids(("b",)),))
    never = Bool(must=(Constant(All(), 9.0, "never"),), filter=(Ids(("c",)),))
    hits = engine.search(index, Bool(should=(dogs, cats, never, Constant(All(), 0.25, "each"))))
    assert [(hit.id, hit.score) for hit in hits.hits] == [("a", 3.44921875), ("b", 0.75)]
    assert [(r.part, r.score) for r in hits.hits[0].why] == [
        ("all", 2.0), ("question", 1.19921875), ("each", 0.25)
    ]  # fmt: skip
    assert [(r.part, r.score) for r in hits.hits[1].why] == [("cats", 0.5), ("each", 0.25)]


def test_text(engine: Engine, index: str) -> None:
    put(engine, index, a=DOG, b=CAT, c={"caption": "Don't, CAFÉ 3.5 foo_bar 日本"})
    for text, expected in {
        "dog": {"a"},
        "DOG, cat?": {"a", "b"},
        "dogs": set(),
        "don't": {"c"},
        "café": {"c"},
        "cafe": set(),
        "3.5": {"c"},
        "foo": set(),
        "日": {"c"},
        "…!": set(),
        "": set(),
    }.items():
        assert found(engine, index, Match("caption", text)) == expected, text


def test_text_that_filters_is_no_reason(engine: Engine, index: str) -> None:
    put(engine, index, a=DOG, b=CAT)
    text = Match("caption", "dog cat")
    query = Bool(should=(Match("caption", "a beach"),), filter=(Bool(should=(text,)), text))
    hits = engine.search(index, query).hits
    assert [[reason.token for reason in hit.why] for hit in hits] == [["beach", "a"], ["a"]]
    for hit in hits:
        assert sum(reason.score for reason in hit.why) == pytest.approx(hit.score, rel=1e-6)


def test_the_best_come_first_and_the_rest_is_counted(engine: Engine, index: str) -> None:
    put(engine, index, **{f"d{i}": {**DOG, "stair": [{"dog": 1.0 + i / 8}]} for i in range(30)})
    hits = engine.search(index, question({"dog": 1.0}, model="m"), 3)
    assert (ids(hits), hits.total) == (["d29", "d28", "d27"], 30)
    assert engine.search(index, question({"dog": 1.0}, model="m"), 0).total == 30
    assert len(engine.search(index, All(), 100).hits) == 30


def test_matches_tells_each_clause(engine: Engine, index: str) -> None:
    put(engine, index, a=DOG, b=CAT)
    clauses: list[Query] = [
        HasToken("dog", "m"),
        HasToken("dog", "m", 1.3),
        HasToken("dog", "other"),
        Term("stair_model", "m"),
        Match("caption", "beach"),
        Tokens.of({"cat": 1.0, "beach": 1.0}, "m"),
        Ids(("b",)),
        All(),
        Constant(HasToken("cat", "m")),
        Bool(must_not=(HasToken("cat", "m"),)),
    ]
    assert engine.matches(index, "a", clauses) == [
        True, False, False, True, True, True, False, True, False, True
    ]  # fmt: skip
    assert engine.matches(index, "none", clauses) == [False] * len(clauses)
    assert engine.matches(index, "a", []) == []


def test_the_printed_body_is_what_is_sent(engine: Engine, index: str) -> None:
    put(engine, index, a=DOG, b=CAT)
    query = question({"dog": 1.0}, model="m", match=[Match("caption", "dog", 2.0)])
    body = engine.body(query, 7, index=index)
    assert body["size"] == 7
    assert body["query"]["bool"]["minimum_should_match"] == 1
    assert body["explain"] is (engine.body(query, index=index, why=False).get("explain") is None)


# --- what is refused ----------------------------------------------------------------------------


def test_unknown_and_unfit_fields_are_named(engine: Engine, index: str) -> None:
    put(engine, index, a={**DOG, "split": "test"})
    refused: list[tuple[Query, str]] = [
        (Match("captoin", "dog"), "no field 'captoin'.*caption"),
        (Match("split", "test"), "'split' is keyword, not text"),
        (Term("nothing", "x"), "no field 'nothing'"),
        (Term("width", "wide"), "'width' is 'integer'.*'wide' is not a number"),
        (Exists(""), "no field ''"),
        (Term("_source", "x"), "no field '_source'"),
        (Match("caption", "half a \ud83d"), "holds half a character"),
        (Ids(("\ud83d",)), "holds half a character"),
        (Ids(tuple(map(str, range(10_001)))), "10,001 ids at once: engines take 10,000"),
    ]
    for query, message in refused:
        with pytest.raises(UsageError, match=message):
            engine.search(index, query)
    with pytest.raises(ModelError, match=r"'look' is not there.*rank_features"):
        engine.search(index, Tokens.of({"dog": 1.0}, "m", "look"))
    with pytest.raises(ModelError, match=r"'caption' is text.*rank_features"):
        engine.search(index, Tokens.of({"dog": 1.0}, "m", "caption"))


def test_filters_on_odd_values(engine: Engine, index: str) -> None:
    put(engine, index, a={**CAT, "price": 1.5, "sold": True, "empty": ""}, b=DOG)
    for field, value, expected in (
        ("price", "1.5", {"a"}),
        ("price", "1.50", {"a"}),
        ("price", "1", set()),
        ("sold", "true", {"a"}),
        ("sold", "false", set()),
        ("empty", "", {"a"}),
        ("width", "300.0", {"a"}),
        ("width", "300.7", set()),
        ("caption", "dog", {"b"}),
        ("caption", "Dog", set()),
        ("caption", "", set()),
    ):
        assert found(engine, index, Term(field, value)) == expected, (field, value)
    for field, value in (("sold", "perhaps"), ("stair", "dog")):
        with pytest.raises(UsageError, match=f"'{field}'"):
            engine.search(index, Term(field, value))


def test_objects(engine: Engine, index: str) -> None:
    put(engine, index, a={**DOG, "camera": {"make": "Leica", "lens": {"mm": 35}}})
    assert found(engine, index, Term("camera.make", "Leica")) == {"a"}
    assert found(engine, index, Term("camera.lens.mm", "35")) == {"a"}
    refused: list[dict[str, Any]] = [
        {"camera": "Leica"},
        {"caption": {"en": "a dog"}},
        {"image": {"uri": "x"}},
    ]
    for outcome in engine.bulk(index, [Document("b", one) for one in refused]):
        assert outcome.status == 400, outcome
    engine.refresh(index)
    assert engine.count(index) == 1


def test_a_field_that_came_since_is_seen(engine: Engine, index: str) -> None:
    put(engine, index, a=DOG)
    with pytest.raises(UsageError, match="no field 'photographer'"):
        engine.search(index, Term("photographer", "Ann"))
    put(engine, index, a={"photographer": "Ann"})
    assert found(engine, index, Term("photographer", "Ann")) == {"a"}


def test_too_many_clauses_are_refused_with_the_numbers(engine: Engine, index: str) -> None:
    put(engine, index, a=DOG)
    most = Tokens.of({f"t{i}": 1.0 for i in range(1_023)}, "m")
    assert engine.search(index, most).total == 0
    with pytest.raises(UsageError, match=r"1025 clauses.*1024"):
        engine.search(index, Bool(should=(most, Constant(All()))))
    with pytest.raises(UsageError, match="10000 words of text"):
        engine.search(index, Match("caption", "dog " * 10_000))


def test_several_threads_may_ask(engine: Engine, index: str) -> None:
    put(engine, index, a=DOG, b=CAT)
    totals: list[int] = []

    def ask() -> None:
        for _ in range(5):
            totals.append(engine.search(index, question({"dog": 1.0}, model="m")).total)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert totals == [1] * 20


@pytest.mark.parametrize(
    ("kind", "value"),
    [("integer", "2147483648"), ("long", "9" * 20), ("float", "1e39"), ("boolean", "")],
)
def test_a_filter_beyond_what_its_field_holds_is_refused_alike(
    engine: Engine, index_name: str, kind: str, value: str
) -> None:
    engine.create(index_name, index_body(engine.info.product, columns={"extra": kind}))
    with pytest.raises(UsageError, match=f"'extra' is '{kind}'"):
        engine.search(index_name, Bool(filter=(Term("extra", value),)))
