"""Lists that are made one: the same on every engine, and as OpenSearch fuses them itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from stair_search.engines import Engine, Hits
from stair_search.engines.base import EngineInfo
from stair_search.engines.hybrid import search_hybrid
from stair_search.engines.lucene.engine import LuceneEngine
from stair_search.engines.lucene.hybrid import body
from stair_search.errors import DestinationError, StairError, UsageError
from stair_search.queries import (
    RRF,
    Bool,
    Hybrid,
    Match,
    Nearest,
    Normalised,
    Query,
    Search,
    Term,
    Tokens,
)
from stair_search.queries.fusion import fused
from tests.engines.test_vectors import ASKED, PLACE, places  # noqa: F401

pytestmark = pytest.mark.engines
INDEX = f"{PLACE}-one"
PARTS: dict[str, Query] = {
    "tokens": Tokens.of({"cat": 1.9, "dog": 0.13}, "m"),
    "text": Match("caption", "red bus"),
    "vector": Nearest.of("clip", ASKED[0], 20),
}
HYBRIDS = [
    Hybrid.of(PARTS),
    Hybrid.of(PARTS, RRF(5), {"text": 0.3}, depth=20),
    Hybrid.of(PARTS, Normalised(), {"tokens": 2.0}),
    Hybrid.of(PARTS, Normalised("l2"), rules=(Term("licence", "l1"),), depth=30),
]


@pytest.mark.parametrize("hybrid", HYBRIDS)
def test_the_client_fuses_the_same_everywhere(places: dict[str, Engine], hybrid: Hybrid) -> None:  # noqa: F811
    wanted = search_hybrid(places["sqlite"], INDEX, hybrid)
    assert len(wanted.hits) == 10
    for name, engine in places.items():
        got = search_hybrid(engine, INDEX, hybrid)
        assert scores(got) == pytest.approx(scores(wanted), rel=1e-4), name
        assert got[:2] == wanted[:2]
        for hit in got.hits:
            assert sum(reason.score for reason in hit.why) == pytest.approx(hit.score), name
            assert {reason.part for reason in hit.why} <= set(PARTS)
            if hybrid.rules:
                assert hit.source["licence"] == "l1"
    best = wanted.hits[0]
    assert len({reason.part for reason in best.why}) > 1
    assert not search_hybrid(places["sqlite"], INDEX, hybrid, why=False).hits[0].why


def scores(hits: Hits) -> list[float]:
    return [hit.score for hit in hits.hits]


@pytest.mark.parametrize("name", ["opensearch2", "opensearch"])
@pytest.mark.parametrize("hybrid", HYBRIDS)
def test_opensearch_fuses_as_the_client_does(
    places: dict[str, Engine],  # noqa: F811
    hybrid: Hybrid,
    name: str,
) -> None:
    engine = places[name]
    if isinstance(hybrid.by, RRF) and hybrid.weights and name == "opensearch2":
        with pytest.raises(UsageError, match=r"from 3\.1 on"):
            search_hybrid(engine, INDEX, hybrid, on="cluster")
        hybrid = replace(hybrid, weights=(2.0,) * len(hybrid.weights))
    ours = search_hybrid(engine, INDEX, hybrid)
    theirs = search_hybrid(engine, INDEX, hybrid, on="cluster")
    assert scores(theirs) == pytest.approx(scores(ours), rel=1e-4)
    assert not theirs.hits[0].why
    assert "stair" not in theirs.hits[0].source


@pytest.mark.parametrize("product", ["opensearch2", "opensearch"])
def test_a_pipeline_by_name(places: dict[str, Engine], product: str) -> None:  # noqa: F811
    engine, hybrid = places[product], HYBRIDS[0]
    assert isinstance(engine, LuceneEngine)
    name = "stair-test-hybrid"
    try:
        for _ in range(2):  # made, then checked
            found = search_hybrid(engine, INDEX, hybrid, on="cluster", pipeline=name)
            assert scores(found) == pytest.approx(scores(search_hybrid(engine, INDEX, hybrid)))
        with pytest.raises(DestinationError, match="does something else"):
            search_hybrid(engine, INDEX, HYBRIDS[2], on="cluster", pipeline=name)
    finally:
        engine._send("DELETE", f"/_search/pipeline/{name}")


def test_retrievers_of_elasticsearch(places: dict[str, Engine]) -> None:  # noqa: F811
    """Held to its documented shape; the nodes here are without the plugin that runs them."""
    engine = places["elasticsearch9"]
    queries: list[dict[str, Any]] = [{"query": {"match_all": {}}}] * 3
    rrf = body(EngineInfo("elasticsearch", "9.5.0", ""), HYBRIDS[0], queries, 10)
    lists = [{"standard": one} for one in queries]
    assert rrf == {
        "size": 10,
        "retriever": {"rrf": {"retrievers": lists, "rank_constant": 60, "rank_window_size": 100}},
    }
    linear = body(EngineInfo("elasticsearch", "9.5.0", ""), HYBRIDS[2], queries, 10)
    (first, *_) = linear["retriever"]["linear"]["retrievers"]
    assert first == {"retriever": lists[0], "weight": 0.5, "normalizer": "minmax"}
    weighted = body(EngineInfo("elasticsearch", "9.5.0", ""), HYBRIDS[1], queries, 10)
    assert weighted["retriever"]["rrf"]["retrievers"][1] == {"retriever": lists[1], "weight": 0.3}
    with pytest.raises(StairError):
        search_hybrid(engine, INDEX, HYBRIDS[0], on="cluster")


@pytest.mark.parametrize(
    ("product", "version", "hybrid", "since"),
    [
        ("opensearch", "2.18.0", HYBRIDS[0], "2.19"),
        ("opensearch", "3.0.0", HYBRIDS[1], "3.1"),
        ("elasticsearch", "7.17.29", HYBRIDS[0], "'rrf' .*8.14"),
        ("elasticsearch", "9.1.0", HYBRIDS[1], "'rrf' .*9.2"),
        ("elasticsearch", "8.17.0", HYBRIDS[2], "'linear' .*8.18"),
    ],
)
def test_a_version_that_fuses_nothing(
    product: str, version: str, hybrid: Hybrid, since: str
) -> None:
    with pytest.raises(UsageError, match=rf"{version}, and its .*{since}.*on='client'"):
        body(EngineInfo(product, version, "http://somewhere"), hybrid, [{"query": {}}] * 3, 10)


def test_what_cannot_be_fused(places: dict[str, Engine]) -> None:  # noqa: F811
    with pytest.raises(UsageError, match="no cluster"):
        search_hybrid(places["sqlite"], INDEX, HYBRIDS[0], on="cluster")
    with pytest.raises(UsageError, match="greater depth"):
        search_hybrid(places["opensearch"], INDEX, HYBRIDS[0], 101, on="cluster")
    with pytest.raises(UsageError, match="no search pipelines"):
        search_hybrid(places["elasticsearch9"], INDEX, HYBRIDS[0], on="cluster", pipeline="p")
    with pytest.raises(UsageError, match="no field"):
        search_hybrid(places["sqlite"], INDEX, Hybrid.of({"a": Term("nothing", "1")}))
    wrong: list[dict[str, Any]] = [
        {"parts": {}},
        {"parts": PARTS, "weights": {"nothing": 1.0}},
        {"parts": PARTS, "weights": {"text": 0.0}},
        {"parts": PARTS, "depth": 0},
        {"parts": PARTS, "rules": Term("licence", "l1")},
    ]
    for one in wrong:
        with pytest.raises(UsageError):
            Hybrid.of(**one)
    with pytest.raises(UsageError):
        RRF(0)
    with pytest.raises(UsageError):
        Normalised("z_score")  # type: ignore[arg-type]


def test_the_parts_of_a_question() -> None:
    tokens, text, rule = PARTS["tokens"], Match("question", "dog"), Term("licence", "l1")
    asked = Bool(must=(rule,), should=(tokens, text), must_not=(Term("licence", "l2"),))
    hybrid = Hybrid.of_question(asked)
    assert hybrid.parts == (("question", tokens), ("question (text)", text))
    assert hybrid.rules == (Bool(filter=(rule,), must_not=asked.must_not),)
    wrapped = Bool(must=(asked,), filter=(Term("licence", "l3"),))
    assert Hybrid.of_question(wrapped).rules == (Bool(filter=wrapped.filter), *hybrid.rules)
    with pytest.raises(UsageError, match="cannot be fused"):
        Hybrid.of_question(Bool(should=(tokens, text), minimum=2))
    twice = fused(Hybrid.of({"a": rule}, RRF(1)), [[("x", 9.0), ("x", 5.0)]])
    assert twice[0].score == 0.5  # an alias over indices that share an id


def test_nothing_found(places: dict[str, Engine]) -> None:  # noqa: F811
    for engine in places.values():
        none = Hybrid.of({"a": Term("licence", "x"), "b": Search(Term("licence", "y")).query})
        assert search_hybrid(engine, INDEX, none)[:2] == (0, "eq")
