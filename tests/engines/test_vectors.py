"""The nearest vectors, the most of several photos, and clusters' own queries: the same answers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stair_search.engines import Document, Engine, Hits, connect
from stair_search.engines.hybrid import search_hybrid
from stair_search.engines.like import more_like
from stair_search.engines.lucene.engine import LuceneEngine
from stair_search.engines.parts import nodes
from stair_search.errors import UsageError
from stair_search.mappings import index_body
from stair_search.queries import (
    BestPhoto,
    Bool,
    Boosted,
    Constant,
    Exists,
    HasToken,
    Hybrid,
    Match,
    MaxOf,
    Nearest,
    Query,
    QueryPolicy,
    Raw,
    Search,
    Term,
    TokenField,
    Tokens,
    When,
    any_of,
    filtered,
    none_of,
)
from tests.conftest import Engines, token_type
from tests.engines.test_same_answers import by_id, check_same, check_sum
from tests.nodes.nodes import NODES

pytestmark = pytest.mark.engines
CLUSTERS = ("opensearch2", "opensearch", "elasticsearch8", "elasticsearch9")
NUMBERS, DOCUMENTS = 16, 200
PLACE = f"stair-test-vectors-{os.getpid()}"


def vectors(seed: int, count: int) -> list[list[float]]:
    values = np.random.default_rng(seed).normal(size=(count, NUMBERS))
    return [[float(x) for x in row] for row in values.astype(np.float32)]


VECTORS, OTHERS, ASKED = vectors(1, DOCUMENTS), vectors(2, DOCUMENTS), vectors(3, 12)


def document(n: int, several: bool) -> Document:
    tokens = {"dog": 0.1 + n % 17, "cat": 0.2 + n % 5}
    photo: dict[str, Any] = {
        "stair": [tokens],
        "stair_model": "m",
        "caption": f"a {['red', 'blue'][n % 2]} bus",
    }
    other = {"stair": [{"dog": 0.3 + n % 3}], "stair_model": "m", "clip": OTHERS[n]}
    if n % 10:  # some have no vector
        photo["clip"] = VECTORS[n]
    fields = {"photos": [photo, other][: 1 + n % 2]} if several else photo
    return Document(f"d{n:03}", {**fields, "licence": f"l{n % 3}"})


@pytest.fixture(scope="module")
def places(
    engines: Engines, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Engine]]:
    """Engines that hold the same documents in two indices, of one and of several photos."""
    file = tmp_path_factory.mktemp("vectors") / "stair.db"
    found = {"sqlite": connect(f"sqlite:{file}")}
    found |= {name: connect(engines.url(name)) for name in CLUSTERS}
    for name, engine in found.items():
        if isinstance(engine, LuceneEngine) and not engine.info.version:  # our nodes tell none
            engine.info = engine.info._replace(version=NODES[name].version)
        sparse = token_type(name)
        for several in (False, True):
            body = index_body(
                engine.info.product, None, {"licence": "keyword"}, 1, 0, several, sparse,
                vectors={"clip": NUMBERS},
            )  # fmt: skip
            index = f"{PLACE}-{'several' if several else 'one'}"
            engine.create(index, body)
            documents = [document(n, several) for n in range(DOCUMENTS)]
            assert all(outcome.ok for outcome in engine.bulk(index, documents))
            engine.refresh(index)
    yield found
    engines.wipe(PLACE)
    for engine in found.values():
        engine.close()


def nearest(n: int = 0, k: int = 7, **more: object) -> Nearest:
    return replace(Nearest.of("clip", ASKED[n], k), **more)  # type: ignore[arg-type]


DOG = Tokens.of({"dog": 0.7}, "m")
CAT = Tokens.of({"cat": 1.9, "dog": 0.1}, "m")
RULE = Term("licence", "l1")
QUERIES: list[Query] = [
    *(nearest(n, k) for n in range(12) for k in (1, 7)),
    nearest(0, 500, boost=2.5),
    nearest(1, rules=(RULE, HasToken("cat", "m", 2.0))),
    filtered(nearest(1, 30), RULE),
    3 * nearest(2) | DOG,
    nearest(3) | nearest(4, part="other") | Match("caption", "red", 0.3),
    filtered(DOG, nearest(5)),
    DOG & ~nearest(6, 100),
    Boosted(nearest(7) | CAT, When(RULE, 0.5)),
    Boosted(any_of(DOG, Boosted(nearest(8), When(RULE, 3))), When(Exists("clip"), 2)),
    Constant(nearest(9), 0.4),
    Bool(must=(nearest(10, 50),), should=(DOG, RULE), must_not=(RULE,)),
    MaxOf((DOG, CAT)),
    2 * MaxOf((DOG, CAT)) | nearest(11),
    filtered(MaxOf((DOG, Tokens.of({"nothing": 1.0}, "m"))), RULE),
]


def of_photos(query: Query) -> Query:
    match query:
        case Nearest(rules=()):
            return BestPhoto(replace(query, field="photos.clip"))
        case MaxOf(parts):
            return BestPhoto(MaxOf(tuple(replace(one, field="photos.stair") for one in parts)))
    return BestPhoto(
        any_of(
            Nearest.of("photos.clip", ASKED[0], 5),
            Tokens.of({"dog": 0.01}, "m", field="photos.stair"),
        )
    )


def test_the_same_answers_everywhere(places: dict[str, Engine]) -> None:
    asked = [("one", query) for query in QUERIES]
    asked += [("several", of_photos(query)) for query in QUERIES]
    found = 0
    for kind, query in dict.fromkeys(asked):
        index = f"{PLACE}-{kind}"
        wanted = places["sqlite"].search(index, query, 12)
        check_sum(wanted, f"sqlite, {query}")
        found += len(wanted.hits)
        for name in CLUSTERS:
            got: Hits = places[name].search(index, query, 12)
            where = f"{name}, {kind}, {str(query)[:200]}"
            beside = kind == "several" and any(isinstance(n, Bool) for n in nodes(query))
            if beside and name.startswith("elasticsearch"):
                # its inner hits compare every photo, also those beyond the k
                pairs = zip(wanted.hits, got.hits, strict=True)
                assert all(a.score == pytest.approx(b.score) for a, b in pairs), where
                continue
            check_sum(got, where)
            if name == "opensearch2" and any(
                isinstance(n, Nearest) and n.k < 20 for n in nodes(query)
            ):
                assert got.hits, where  # it looks at k candidates alone, and may miss some of few
                continue
            assert [h.photo for h in got.hits] == [h.photo for h in wanted.hits], where
            near_enough(wanted, got, where)
    assert found > 300


def test_a_policy_does_not_spend_the_k(places: dict[str, Engine]) -> None:
    """Of 15 documents it leaves one."""
    held = (TokenField("m"),)
    policy = QueryPolicy("kids", forbid={"cat": 1, "gun": None}, rules=(RULE,), held_in=held)
    hybrid = Hybrid.of({"clip": nearest(0, 6)}, rules=(none_of(HasToken("cat", "m", 1)), RULE))
    wanted = places["sqlite"].search(f"{PLACE}-one", policy.apply(nearest(0, 6)))
    assert len(wanted.hits) == 6
    for name, engine in places.items():
        got = engine.search(f"{PLACE}-one", policy.apply(nearest(0, 6)))
        assert all(int(hit.id[1:]) % 15 == 10 for hit in got.hits), name
        near_enough(wanted, got, name)
        fused = search_hybrid(engine, f"{PLACE}-one", hybrid)
        assert [hit.id for hit in fused.hits] == [hit.id for hit in wanted.hits], name


def near_enough(wanted: Hits, got: Hits, where: str) -> None:
    """As `check_same`, where the similarity told may differ in its last digits."""

    def rounded(hits: Hits) -> Hits:
        return hits._replace(
            hits=[
                hit._replace(
                    why=[r if r.token else r._replace(image=None) for r in hit.why], photo=None
                )
                for hit in hits.hits
            ]
        )

    check_same(rounded(wanted), rounded(got), where)


def test_a_clusters_own_query(places: dict[str, Engine]) -> None:
    class Prefix:
        def to_dict(self) -> dict[str, object]:
            return {"prefix": {"licence": "l2"}}

    for raw in (Raw.of({"prefix": {"licence": "l2"}}), Raw.of(Prefix())):
        query = filtered(DOG, raw)
        with pytest.raises(UsageError, match="embedded"):
            places["sqlite"].search(f"{PLACE}-one", query)
        for name in CLUSTERS:
            found = places[name].search(f"{PLACE}-one", query)
            assert found.total == len([n for n in range(DOCUMENTS) if n % 3 == 2])
            scored = places[name].search(f"{PLACE}-one", Constant(raw, 0.5) | DOG)
            check_sum(scored, name)


def test_what_no_index_can_be_asked(places: dict[str, Engine]) -> None:
    for name, engine in places.items():
        wrong: list[tuple[Query, str]] = [
            (Nearest.of("clip", [1.0] * 3), "have 16 numbers, not 3"),
            (Nearest.of("clip", [0.0] * NUMBERS), "no direction"),
            (Nearest.of("caption", ASKED[0]), "is text"),
            (Nearest.of("nothing", ASKED[0]), "no field 'nothing'"),
            (Term("clip", "1"), "holds vectors"),
            (nearest(rules=(Term("nothing", "1"),)), "no field 'nothing'"),
            (BestPhoto(nearest()), "not there"),
        ]
        for query, why in wrong:
            with pytest.raises(UsageError, match=why):
                engine.search(f"{PLACE}-one", query)
        hits = engine.search(f"{PLACE}-one", Search(nearest(), size=1)).hits
        assert "clip" not in hits[0].source, name
    for cannot in (
        {"k": 0},
        {"k": 10_001},
        {"boost": 0},
        {"vector": ()},
        {"vector": (np.nan,)},
        {"rules": RULE},
    ):
        with pytest.raises(UsageError):
            nearest(**cannot)
    with pytest.raises(UsageError):
        MaxOf(())


def test_a_vector_that_cannot_be_kept(places: dict[str, Engine]) -> None:
    for name, engine in places.items():
        for wrong in ([1.0] * 3, ["a"] * NUMBERS, [0.0] * NUMBERS, "x", [{"a": 1}]):
            outcome = engine.bulk(f"{PLACE}-one", [Document("bad", {"clip": wrong})])[0]
            assert not outcome.ok, (name, wrong)


def test_a_vector_that_changes(places: dict[str, Engine]) -> None:
    index, engine = f"{PLACE}-one", places["sqlite"]
    engine.bulk(index, [Document("new", {"clip": ASKED[0]})])
    assert engine.search(index, nearest(0, 1)).hits[0].id == "new"
    engine.bulk(index, [Document("new", {"clip": ASKED[1]})])
    assert engine.search(index, nearest(0, 1)).hits[0].id != "new"
    assert engine.search(index, nearest(1, 1)).hits[0].score == pytest.approx(1)
    engine.delete(index, ["new"])
    assert engine.search(index, nearest(1, 1)).hits[0].id != "new"


def test_more_like_a_document(places: dict[str, Engine]) -> None:
    for kind in ("one", "several"):
        index = f"{PLACE}-{kind}"
        wanted = places["sqlite"].search(index, more_like(places["sqlite"], index, "d003"))
        for name, engine in places.items():
            query = more_like(engine, index, "d003")
            got = engine.search(index, query)
            assert "d003" not in by_id(got)
            check_sum(got, name)
            check_same(wanted, got, name)
            with pytest.raises(UsageError, match="holds no document 'x'"):
                more_like(engine, index, "x")
        assert len(wanted.hits) == 10
    places["sqlite"].bulk(f"{PLACE}-one", [Document("bare", {"licence": "l9"})])
    with pytest.raises(UsageError, match="no tokens"):
        more_like(places["sqlite"], f"{PLACE}-one", "bare")
    places["sqlite"].delete(f"{PLACE}-one", ["bare"])
