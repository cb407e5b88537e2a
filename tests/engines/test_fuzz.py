"""Whole query trees with hostile values: all engines find as many documents, or the query is
refused before it is sent; no engine refuses one, and no body names a field that is not the tree's.

`STAIR_TEST_FUZZ=5000 pytest tests/engines/test_fuzz.py --timeout=7200` tries more of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stair_search.engines import Document, Engine, connect
from stair_search.engines.checks import MOST_DEPTH
from stair_search.engines.documents import without
from stair_search.engines.parts import depth, nodes
from stair_search.errors import ModelError, UsageError
from stair_search.fields import model_field
from stair_search.mappings import index_body
from stair_search.queries import (
    All,
    BestPhoto,
    Bool,
    Boosted,
    Constant,
    Decay,
    Exists,
    FieldValue,
    GeoBox,
    GeoDistance,
    HasToken,
    Ids,
    Match,
    MaxOf,
    Nearest,
    Query,
    Range,
    Term,
    Terms,
    Tokens,
    When,
)
from stair_search.vocabulary import escape
from tests.conftest import EVERYWHERE, Engines, token_type

EXAMPLES = int(os.environ.get("STAIR_TEST_FUZZ") or 150)
COLUMNS = {
    "title": "text", "word": "keyword", "whole": "integer", "far": "long", "price": "float",
    "exact": "double", "yes": "boolean", "taken": "date", "place": "geo_point",
}  # fmt: skip

# --- hostile values -------------------------------------------------------------------------------

ODD_TEXT = (
    "", " ", "\x00", "a\x00b", "\ud800", "\udc00\ud800", "\ufeff", "\u202e", "\uffff", "👍🏽",
    ".", "..", "a.b", "__", "_", "*", "?", "a*", "##s", '"', "'", "\\", "\n", "{}", "[]", "null",
    '"}},{"match_all":{}}', "<script>alert(1)</script>", "ctx._source.remove('x')", "${jndi:x}",
    "'; DROP TABLE postings; --", "%s%n",
    "NaN", "Infinity", "1e400", "-0", "true", "2026-11", "now", "now-1d/d", "2026-02-30", "+9999",
    "99999999999999999999", "0000", "9999-12-31T23:59:59.999Z", "-1", "1_000", "١٢",
    "2020-01-01||/M",
)  # fmt: skip
WORDS = st.sampled_from(("dog", "red", "1", "12.5", "true", "2026", "m"))
LONG = st.sampled_from((("x", 300), ("x", 1_001), ("字", 20_000), ("x ", 1_500)))
TEXT = st.one_of(
    WORDS,
    st.sampled_from(ODD_TEXT),
    LONG.map(lambda long: long[0] * long[1]),
    st.text(st.characters(exclude_categories=()), max_size=12),
)
ODD_NUMBERS = (
    0.0, -0.0, 1.0, -1.0, 5e-324, 1e-45, 1.2e-38, 3.4e38, 3.5e38, 1e30, 1.1e30, 1e308, -1e308,
    float("inf"), float("-inf"), float("nan"), 0.1, 90.0, -90.0, 180.0, -180.0, 180.0000001,
)  # fmt: skip
NUMBERS = st.one_of(st.sampled_from(ODD_NUMBERS), st.floats(), st.floats(0.1, 9))
WHOLE = st.sampled_from((0, 1, -1, 2**31, -(2**31) - 1, 2**63, -(2**63), 2**64, 10**30, 10**400))
VALUES = st.one_of(TEXT, NUMBERS, WHOLE, st.integers(-9, 9), st.booleans())
WEIGHTS = st.one_of(st.floats(0.1, 9), NUMBERS)

SOUND = {  # field -> values of its type
    "word": st.sampled_from(("dog", "cat", *ODD_TEXT)),
    "whole": st.one_of(st.integers(-9, 9), st.sampled_from(("3", "2.5", 1e9, 2**31 - 1, -(2**31)))),
    "far": st.one_of(WHOLE.filter(lambda n: abs(n) < 2**63), st.sampled_from(("7", 1e18, 0.5))),
    "price": st.one_of(st.floats(0, 99), NUMBERS, st.just("1e3")),
    "exact": st.one_of(NUMBERS, WHOLE, st.integers(-9, 9)),
    "taken": st.sampled_from((
        "2026", "2026-02", "2026-02-11T04", "0000", "9999-12-31T23:59:59.999Z", "2026-02-11T24:00",
        "0001-01-01T00:00+18:00", "9999-12-31T23:59:59.999-18:00", 0, -1, 10**18 - 1, -(10**17),
        "7", "2026-02-11T00:00:00,5-0100",
    )),
    "photos.image": TEXT,
    "photos.width": st.one_of(st.integers(0, 300), st.just("100")),
}  # fmt: skip
KNOWN = (*COLUMNS, "clip", "photos.image", "photos.caption", "photos.width", "stair_model")
VECTORS = st.one_of(
    st.tuples(*[st.floats(-9, 9)] * 3),
    st.tuples(*[NUMBERS] * 3),
    st.sampled_from(((0.0, 0.0, 0.0), (1e-40, 0.0, 0.0), (3e38, -3e38, 3e38), (1.0,), ())),
)
ODD_FIELDS = (
    "nowhere", "", ".", "a..b", "*", "wo*", "_id", "_source", "_index", "_routing", "_field_names",
    "_seq_no", "_version", "_doc_count", "_ignored", "_nested_path", "_feature", "_all", "photos",
    "stair", "stair.dog", "photos.stair", "photos.stair.dog", "photos.nowhere", "title.x", "\x00",
)  # fmt: skip
FIELDS = st.one_of(st.sampled_from(KNOWN), st.sampled_from(ODD_FIELDS), TEXT)
MODELS = st.sampled_from(("m",) * 9 + ("n", "", "\ud800"))


def made(kind: Callable[..., Any], **parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """What `kind` makes of the parts; what it refuses, in a UsageError, is a query less."""

    def build(given: dict[str, Any]) -> Any:
        try:
            return kind(**given)
        except UsageError:
            return When(All(), 0.5) if kind in (FieldValue, Decay, When) else All()

    return st.fixed_dictionaries(parts).map(build)


def pairs(values: st.SearchStrategy[Any], most: int = 4) -> st.SearchStrategy[Any]:
    return st.lists(values, max_size=most).map(tuple)


def optional(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), values)


MANY = st.sampled_from((100, 500, 1_100, 70_000)).map(lambda n: tuple(map(str, range(n))))
PAIRS = st.one_of(
    *(st.tuples(st.just(field), values, values) for field, values in SOUND.items()),
    st.tuples(FIELDS, VALUES, VALUES),
)
"""A field with two values."""


def rule(of: tuple[str, Any, Any]) -> st.SearchStrategy[Any]:
    field, one, other = (st.just(part) for part in of)
    texts = one.map(str), other.map(str)
    none = st.none()
    return st.one_of(
        made(Term, field=field, value=texts[0]),
        made(Terms, field=field, values=st.tuples(*texts)),
        made(Range, field=field, gte=one, lt=st.one_of(none, other)),
        made(Range, field=field, gt=one, lte=st.one_of(none, other)),
        made(Range, field=field, lt=one),
        made(Range, field=field, gte=one, gt=other),
        made(Exists, field=field),
    )


PLACE = st.one_of(st.just("place"), st.just("place"), FIELDS)
LATITUDES = st.one_of(st.floats(-90, 90), st.sampled_from((90.0, -90.0, -0.0)), NUMBERS)
LONGITUDES = st.one_of(st.floats(-180, 180), st.sampled_from((180.0, -180.0)), NUMBERS)
RULES = st.one_of(
    PAIRS.flatmap(rule),
    PAIRS.flatmap(rule),
    made(Terms, field=st.sampled_from(("word", "taken", "whole")), values=MANY),
    made(Ids, values=st.one_of(pairs(TEXT), MANY)),
    made(GeoDistance, field=PLACE, lat=LATITUDES, lon=LONGITUDES, metres=WEIGHTS),
    made(
        GeoBox, field=PLACE, north=LATITUDES, west=LONGITUDES, south=LATITUDES, east=LONGITUDES
    ),
    st.just(All()),
)  # fmt: skip


def of_tokens(field: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    many = MANY.map(lambda names: tuple((name, 1.0) for name in names))
    weights = st.one_of(pairs(st.tuples(TEXT, WEIGHTS)), many)
    return st.one_of(
        made(HasToken, token=TEXT, model=MODELS, minimum=optional(WEIGHTS), field=field),
        made(Tokens, weights=weights, model=MODELS, field=field, part=TEXT),
        made(Tokens, weights=weights, model=MODELS, field=field, part=TEXT),
    )


def match(field: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return made(Match, field=field, text=TEXT, boost=WEIGHTS, every=st.booleans())


def most(field: str) -> st.SearchStrategy[Any]:
    return made(
        MaxOf, parts=pairs(of_tokens(st.just(field)).filter(lambda q: isinstance(q, Tokens)))
    )


def nearest(field: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    numbers = st.sampled_from((1, 3, 100, 10_000, 0, 10_001))
    return made(
        Nearest, field=field, vector=VECTORS, k=numbers, boost=WEIGHTS, rules=pairs(RULES, 2)
    )


OF_PHOTOS = st.one_of(
    of_tokens(st.just("photos.stair")),
    match(st.just("photos.caption")),
    most("photos.stair"),
    nearest(st.just("photos.clip")),
)
LEAVES = st.one_of(
    RULES,
    of_tokens(st.just("stair")),
    of_tokens(FIELDS),
    match(st.just("title")),
    match(FIELDS),
    most("stair"),
    nearest(st.just("clip")),
    nearest(FIELDS),
    made(BestPhoto, query=st.one_of(OF_PHOTOS, RULES), path=st.just("photos")),
)


def factors(queries: st.SearchStrategy[Query]) -> st.SearchStrategy[Any]:
    modifiers = st.sampled_from(("none", "sqrt", "ln1p", "ln2p"))
    curves = st.sampled_from(("gauss", "exp", "linear"))
    fields = st.one_of(st.sampled_from(("whole", "far", "price", "exact")), FIELDS)
    decays = st.one_of(st.floats(0.01, 0.99), NUMBERS)

    def decay(of: tuple[str, Any, Any]) -> st.SearchStrategy[Any]:
        return made(
            Decay, field=st.just(of[0]), origin=st.just(of[1]), scale=WEIGHTS,
            offset=st.one_of(st.just(0.0), WEIGHTS), decay=decays, curve=curves,
        )  # fmt: skip

    return st.one_of(
        made(FieldValue, field=fields, factor=WEIGHTS, modifier=modifiers, missing=WEIGHTS),
        PAIRS.flatmap(decay),
        made(When, query=queries, factor=WEIGHTS),
    )


PATHS = st.sampled_from(("photos", "photos", "photos", "nowhere", "title", "_id", "*"))


def branches(queries: st.SearchStrategy[Query]) -> st.SearchStrategy[Query]:
    some = pairs(queries, 3)
    return st.one_of(
        made(
            Bool, must=some, should=some, filter=some, must_not=some,
            minimum=st.sampled_from((1, 1, 1, 2, 10**9, 0, -1)),
        ),
        made(Constant, query=queries, score=WEIGHTS, part=TEXT),
        made(BestPhoto, query=queries, path=PATHS),
        made(lambda query, by: Boosted(query, by), query=queries, by=factors(queries)),
        st.builds(deep, queries, st.sampled_from((1, 3, 9, 12, 40, 2_000)), st.integers(0, 3)),
    )  # fmt: skip


def deep(query: Query, levels: int, kind: int) -> Query:
    around: list[Callable[[Query], Query]] = [
        lambda q: Bool(must=(q,)),
        lambda q: Bool(must_not=(q,)),
        Constant,
        lambda q: Boosted(q, When(All(), 0.5)),
    ]
    for _ in range(levels):
        query = around[kind](query)
    return query


TREES = st.recursive(LEAVES, branches, max_leaves=4)

# --- a small index on each engine -----------------------------------------------------------------

DOCUMENTS = [
    Document(f"d{n}", {
        "stair": [{"dog": 1.5, "red": 0.25 * (n + 1)}], "stair_model": "m",
        "title": "a red dog", "word": "dog", "whole": n - 3, "far": 10**15 * n, "price": 12.5 * n,
        "exact": 1e300 * n, "yes": n % 2 == 0, "taken": f"2026-0{n + 1}-11", "place": "48.1,11.5",
        "clip": [n - 2.5, 1.0, 0.5],
        "photos": [{
            "image": f"{n}-{m}.jpg", "caption": "red", "width": 100 * m,
            "stair": [{"dog": 0.5 + m}], "stair_model": "m", "clip": [1.0, m, n],
        } for m in range(n % 3 + 1)],
    })
    for n in range(6)
] + [Document("old", {"taken": "1965-06-11", "price": -0.0})]  # fmt: skip


VECTORS_IN = {"clip", "photos.clip"}


class Filled(NamedTuple):
    """An engine with the documents in an index, and the embedded one with the same."""

    engine: Engine
    embedded: Engine
    place: str


@pytest.fixture(scope="module")
def filled(
    request: pytest.FixtureRequest, engines: Engines, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Filled]:
    name = request.param
    index = f"stair-test-fuzz-{os.getpid()}"
    embedded = connect(f"sqlite:{tmp_path_factory.mktemp('fuzz') / 'stair.db'}")
    fill(embedded, index, "rank_features")
    engine = embedded
    if name != "sqlite":
        engine = connect(engines.url(name))
        fill(engine, index, token_type(name), vectors=name != "elasticsearch7")
    yield Filled(engine, embedded, index)
    engines.wipe(index)
    engine.close()
    embedded.close()


def fill(engine: Engine, index: str, kept: str, vectors: bool = True) -> None:
    """Documents with tokens and a vector of their own and several photos. kept: type of tokens."""
    body = index_body(
        engine.info.product,
        columns=COLUMNS,
        shards=1,
        replicas=0,
        several=True,
        token_type=kept,
        vectors={"clip": 3} if vectors else {},
    )
    fields = body["mappings"]["properties"]
    fields |= {"stair": {"type": kept}, "stair_model": {"type": "keyword"}}
    documents = DOCUMENTS
    if vectors:
        fields["clip"] = fields["photos"]["properties"]["clip"]
    else:
        documents = [Document(one.id, without(one.fields, VECTORS_IN)) for one in DOCUMENTS]
    engine.create(index, body)
    outcomes = engine.bulk(index, documents)
    assert all(outcome.ok for outcome in outcomes), outcomes
    engine.refresh(index)


everywhere = pytest.mark.parametrize(
    "filled",
    [
        pytest.param(name, marks=[] if name == "sqlite" else pytest.mark.engines)
        for name in EVERYWHERE
    ],
    indirect=True,
)


@everywhere
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="STAIR_TEST_FUZZ" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
@given(query=TREES, size=st.sampled_from((0, 1, 10)), why=st.booleans())
def test_no_engine_refuses_what_is_sent(filled: Filled, query: Query, size: int, why: bool) -> None:
    engine, embedded, index = filled
    total = found(engine, index, query, size, why)
    if engine.info.version.startswith("7.") and VECTORS_IN & allowed(query):
        assert total is None  # Elasticsearch 7 finds no vectors within a query
        return
    assert total == found(embedded, index, query, size, why)
    if total is not None:
        body = engine.body(query, size, why=why, index=index)
        assert set(named(body["query"])) <= allowed(query)


def found(engine: Engine, index: str, query: Query, size: int, why: bool) -> int | None:
    """How many documents match, None where the query is refused before it is sent."""
    try:
        hits = engine.search(index, query, size, why=why)
    except (UsageError, ModelError):
        return None
    assert len(hits.hits) == min(size, hits.total)
    return hits.total


@everywhere
@pytest.mark.parametrize(
    ("query", "total"),
    [
        (Term("taken", "1965"), 1),  # Elasticsearch 7 knows no such millisecond
        (Range("taken", gt="1965-06", lte="2026-01"), 1),
        (Boosted(All(), Decay("taken", "-1", 86_400_000)), 7),
        (Range("price", gt=-0.0), 6),  # an index has -0.0 before 0.0
        (Range("price", gte=0.0), 6),
        (Range("price", gte=-0.0), 7),
        (Range("price", lt=0.0), 1),
        (Boosted(All(), FieldValue("price", missing=-0.0)), 7),  # no weight below 0
        (Boosted(All(), Decay("exact", 0.0, 1.0)), 7),  # 1e300 squared
        (Ids(("", "d1")), 1),
        (Bool(should=(Constant(All(), 1e30),) * 5), 7),  # equal clauses are made one, of their sum
        (Range("word", gte="a" * 1_000, lt="e" * 1_000), 6),
    ],
)
def test_what_an_engine_refused_or_found_otherwise(
    filled: Filled, query: Query, total: int
) -> None:
    engine, embedded, index = filled
    hits, wanted = engine.search(index, query), embedded.search(index, query)
    assert hits.total == wanted.total == total
    assert {hit.id: hit.score for hit in hits.hits} == {hit.id: hit.score for hit in wanted.hits}


@everywhere
@pytest.mark.parametrize("around", range(4))
@pytest.mark.parametrize(
    "leaf",
    [
        HasToken("dog", "m", 0.1),
        Terms("taken", ("2026-01", "2026-02")),
        BestPhoto(Bool(must_not=(HasToken("dog", "m", 0.1, "photos.stair"),))),
        Boosted(Tokens.of({"dog": 1.0, "red": 1.0}, "m"), FieldValue("price", missing=-0.0)),
    ],
)
def test_the_deepest_tree_is_taken_and_a_deeper_one_refused(
    filled: Filled, leaf: Query, around: int
) -> None:
    engine, embedded, index = filled
    deepest = deep(leaf, MOST_DEPTH - depth(leaf), around)
    assert engine.search(index, deepest).total == embedded.search(index, deepest).total
    for levels in (1, 5_000):
        with pytest.raises(UsageError, match=rf"{MOST_DEPTH + levels} levels deep"):
            engine.search(index, deep(deepest, levels, around))


# --- which fields a body names --------------------------------------------------------------------


def allowed(query: Query) -> set[str]:
    """The fields of a tree as a body names them."""
    fields: set[str] = set()
    for node in nodes(query):
        match node:
            case Tokens(weights, _, field):
                tokens = [escape(token) for token, _ in weights]
                fields |= {field, model_field(field), *(f"{field}.{one}" for one in tokens)}
            case HasToken(token, _, _, field):
                fields |= {field, model_field(field), f"{field}.{escape(token)}"}
            case BestPhoto(_, path):
                fields.add(path)
            case Boosted(_, FieldValue(field) | Decay(field)):
                fields.add(field)
            case _ if hasattr(node, "field"):
                fields.add(node.field)
    return fields


def named(clause: dict[str, Any]) -> Iterator[str]:
    """The fields that a clause names. Fails on a kind of clause that the compilers do not make."""
    ((kind, inner),) = clause.items()
    match kind:
        case "bool":
            for part in ("must", "should", "filter", "must_not"):
                for one in inner.get(part, []):
                    yield from named(one)
        case "constant_score":
            yield from named(inner["filter"])
        case "function_score":
            yield from named(inner["query"])
            for one in inner.get("functions", []):
                yield from function(one)
        case "nested":
            yield inner["path"]
            yield from named(inner["query"])
        case "dis_max":
            for one in inner["queries"]:
                yield from named(one)
        case "knn":
            if "field" not in inner:  # OpenSearch's
                ((field, inner),) = inner.items()
                inner = {"field": field, **inner}
            yield inner["field"]
            if "filter" in inner:
                yield from named(inner["filter"])
        case "rank_feature" | "sparse_vector" | "exists":
            yield inner["field"]
        case "term" | "terms" | "range" | "match" | "geo_bounding_box":
            (field,) = inner
            yield field
        case "geo_distance":
            (field,) = inner.keys() - {"distance"}
            yield field
        case _:
            assert kind in ("match_all", "match_none", "ids"), kind


def function(one: dict[str, Any]) -> Iterator[str]:
    for kind, inner in one.items():
        match kind:
            case "filter":
                yield from named(inner)
            case "field_value_factor":
                yield inner["field"]
            case "gauss" | "exp" | "linear":
                (field,) = inner
                yield field
            case _:
                assert kind == "weight", kind
