from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pytest

from stair_search.engines.parts import nodes, outside, placed, scoring_parts
from stair_search.errors import UsageError
from stair_search.queries import (
    All,
    BestPhoto,
    Bool,
    Boosted,
    Constant,
    Decay,
    FieldValue,
    GeoBox,
    GeoDistance,
    HasToken,
    Ids,
    Match,
    MaxOf,
    Nearest,
    Query,
    QueryPolicy,
    Range,
    Raw,
    Reason,
    Term,
    Terms,
    TokenField,
    Tokens,
    When,
    all_of,
    any_of,
    at_least,
    filtered,
    no_photo_with,
    photo_without,
    question,
)
from stair_search.queries.reasons import photos_of, stored_weights, token_reasons, value_of

DOG = Tokens.of({"dog": 1.5, "...": 0.5}, "m")


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_weights_and_boosts_are_positive_and_finite(weight: float) -> None:
    for made in (
        lambda: HasToken("dog", "m", weight),
        lambda: Match("caption", "dog", weight),
        lambda: Constant(All(), weight),
    ):
        with pytest.raises(UsageError, match=rf"positive number of at most [^ ]+, not {weight}"):
            made()


@pytest.mark.parametrize("weight", [0.0, float("nan"), float("inf")])
def test_weights_of_tokens_may_be_negative_in_a_sum(weight: float) -> None:
    with pytest.raises(UsageError, match=rf"a number other than 0, at most 1e\+30, not {weight}"):
        Tokens.of({"dog": weight}, "m")
    assert Tokens.of({"dog": -1.0}, "m").asked == ()


def test_a_weighted_sum_of_tokens() -> None:
    dunes, photo = Tokens.of({"sand": 1.0, "dune": 2.0}, "m"), Tokens.of({"sand": 0.5}, "m")
    people = Tokens.of({"person": 1.0, "sand": 3.0}, "m")
    one = 2 * dunes + photo - people
    assert one.asked == (("dune", 4.0),)
    assert dict(one.weights) == {"sand": -0.5, "dune": 4.0, "person": -1.0}
    assert dict((-people + photo + dunes * 2).weights) == dict(one.weights)  # in any order
    assert (dunes - dunes).weights == ()
    with pytest.raises(UsageError, match=r"ask for both with \|"):
        dunes + Tokens.of({"sand": 1.0}, "other")


def test_operators() -> None:
    a, b, c = Term("a", "1"), Term("b", "2"), Match("caption", "dog", every=True)
    assert a & b & c == all_of(a, b, c) == Bool(must=(a, b, c))
    assert a | b | c == any_of(a, b, c) == Bool(should=(a, b, c))
    assert c & ~a & ~b == Bool(must=(c,), must_not=(a, b))
    assert (a & b) | c == Bool(should=(Bool(must=(a, b)), c))
    assert at_least(2, a, b, c) | a == Bool(should=(Bool(should=(a, b, c), minimum=2), a))
    assert filtered(c, a) & b == Bool(must=(filtered(c, a), b))
    with pytest.raises(UsageError, match="at least 3 of 2"):
        at_least(3, a, b)


def test_any_of_nothing_is_nothing() -> None:
    assert any_of() == Bool(should=(Ids(()),))


def test_what_rounding_leaves_of_a_token_is_not_asked_for() -> None:
    a, b, c = (Tokens.of({"dog": weight}, "m") for weight in (0.1, 0.2, 0.3))
    assert (a + b - c).weights == ()


def test_a_factor_goes_to_what_scores() -> None:
    assert 2 * (DOG | BestPhoto(Term("a", "1"))) == (2 * DOG) | BestPhoto(Term("a", "1"))
    tree = (DOG | Match("caption", "dog", 2.0)) & Term("a", "1") & Constant(All(), 0.5)
    twice = 2 * Boosted(BestPhoto(tree), FieldValue("likes"))
    assert twice == Boosted(
        BestPhoto(
            Bool(
                must=(
                    Bool(should=(DOG + DOG, Match("caption", "dog", 4.0))),
                    Term("a", "1"),
                    Constant(All(), 1.0),
                )
            )
        ),
        FieldValue("likes"),
    )
    with pytest.raises(UsageError, match="Term has no score"):
        2 * Term("a", "1")
    with pytest.raises(UsageError, match="a factor must be a positive"):
        -1 * Match("caption", "dog")


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: Range("a"), "no bound"),
        (lambda: Range("a", gt=1, gte=2), "two bounds on one side"),
        (lambda: Range("a", gt=float("nan")), "no finite number"),
        (lambda: Range("a", gt=10**9_999), "no finite number"),
        (lambda: Range("a", gt=True), "no finite number"),
        (lambda: Decay("a", float("inf"), 1), "origin of a is no finite number"),
        (lambda: GeoDistance("a", 91, 0, 1), "no latitude"),
        (lambda: GeoDistance("a", 0, 0, -1), "positive number"),
        (lambda: GeoBox("a", 0, 0, 1, 1), "is not below its north"),
        (lambda: GeoBox("a", 1, 5, 0, 5), "its west is its east"),
        (lambda: Match("a", "b", 1e39), "positive number"),
        (lambda: 1e30 * Tokens.of({"dog": 1e9}, "m"), "a number other than 0"),
        (lambda: at_least(1), "at least 1 of nothing"),
        (lambda: FieldValue("a", 1e7), "at most a million"),
        (lambda: FieldValue("a", missing=-1), "cannot be -1"),
        (lambda: FieldValue("a", modifier="cubed"), "no modifier: none, sqrt"),  # type: ignore[arg-type]
        (lambda: Decay("a", 0, 1, decay=1), "between 0 and 1"),
        (lambda: Decay("a", 0, 1, curve="round"), "gauss, exp, linear"),  # type: ignore[arg-type]
        (lambda: When(All(), 0), "positive number"),
    ],
)
def test_what_cannot_be_asked_is_refused_at_once(made: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        made()


def test_queries_are_values() -> None:
    query = Bool(should=(DOG,), filter=(Term("split", "test"),))
    assert query == Bool(should=(DOG,), filter=(Term("split", "test"),))
    assert len({query, query}) == 1
    assert pickle.loads(pickle.dumps(query)) == query


def test_a_question_of_everything() -> None:
    query = question(
        {"dog": 1.5}, model="m", image_tokens={"beach": 0.5}, match=[Match("caption", "dog")],
        require=["sand"], without={"person": 0.2, "leash": None}, filters=[("split", "test")],
        field="look",
    )  # fmt: skip
    assert query == Bool(
        should=(
            Tokens.of({"dog": 1.5}, "m", "look"),
            Tokens.of({"beach": 0.5}, "m", "look", "image"),
            Match("caption", "dog"),
        ),
        filter=(HasToken("sand", "m", None, "look"), Term("split", "test")),
        must_not=(HasToken("person", "m", 0.2, "look"), HasToken("leash", "m", None, "look")),
    )


def test_a_question_of_documents_with_several_photos() -> None:
    words = Tokens.of({"dog": 1.5}, "m", "views.look")
    sand = HasToken("sand", "m", None, "views.look")
    query = question(
        {"dog": 1.5}, model="m", match=[Match("views.caption", "dog"), Match("title", "dog")],
        require=["sand"], without={"person": 0.2}, field="look", photos="views",
        filters=[("views.width", "300"), ("split", "test")],
    )  # fmt: skip
    rules = (sand, Term("views.width", "300"))
    assert query == Bool(
        should=(
            BestPhoto(Bool(should=(words, Match("views.caption", "dog")), filter=rules), "views"),
            Match("title", "dog"),
        ),
        filter=(BestPhoto(Bool(filter=rules), "views"), Term("split", "test")),
        must_not=(BestPhoto(HasToken("person", "m", 0.2, "views.look"), "views"),),
    )
    plain = question({"dog": 1.5}, model="m", field="look", photos="views")
    assert plain == Bool(should=(BestPhoto(words, "views"),))
    assert photo_without(sand, "views") == BestPhoto(Bool(must_not=(sand,)), "views")
    assert no_photo_with(sand, "views") == Bool(must_not=(BestPhoto(sand, "views"),))


def test_a_question_of_nothing_asks_for_everything() -> None:
    assert question(model="m") == question({}, model="m", image_tokens={}) == Bool()


# --- reasons --------------------------------------------------------------------------------------


def test_reasons_are_what_an_engine_computes() -> None:
    source = {"stair": [{"dog": 1.2, "______": 3.0, "cat": 9.0}], "stair_model": "m"}
    assert token_reasons(DOG, source) == [
        Reason("question", "dog", 1.5, 1.19921875, 1.798828125),
        Reason("question", "...", 0.5, 3.0, 1.5),
    ]


def test_tokens_of_another_model_are_no_reason() -> None:
    source = {"stair": [{"dog": 1.2}], "stair_model": "other"}
    assert token_reasons(DOG, source) == []
    assert token_reasons(DOG, {}) == []


def test_stored_weights_of_either_form() -> None:
    assert stored_weights({"dog": 1}) == stored_weights([{"dog": 1}]) == {"dog": 1}
    assert stored_weights([{"dog": 1}, {"cat": 2}]) == {"dog": 1, "cat": 2}
    assert stored_weights(None) == stored_weights([]) == {}


# --- walks ----------------------------------------------------------------------------------------


def test_what_stands_in_an_unmatched_bool_adds_nothing() -> None:
    one, two = Constant(All(), 1.0, "one"), Constant(All(), 2.0, "two")
    inner = Bool(must=(one, DOG), should=(two,), filter=(Constant(All(), 3.0),))
    tree = Bool(should=(inner, Match("caption", "dog")), must_not=(two,))
    assert list(scoring_parts(tree, lambda node: True)) == [one, DOG, two, Match("caption", "dog")]
    assert list(scoring_parts(tree, lambda node: node != inner)) == [Match("caption", "dog")]
    assert list(scoring_parts(DOG, lambda node: False)) == [DOG]  # the root matched: it is a hit


def test_every_node_is_visited() -> None:
    leaves: tuple[Query, ...] = (DOG, Term("a", "b"), HasToken("dog", "m"), All())
    a, b, c, d = leaves
    tree = Bool(must=(a,), should=(Constant(b),), filter=(c,), must_not=(Bool(must=(d,)),))
    assert set(leaves) <= set(nodes(tree))
    assert len(list(nodes(tree))) == 7


def test_what_is_asked_of_a_photo_is_told_apart() -> None:
    tree = Bool(should=(BestPhoto(Bool(filter=(DOG,)), "views"), All()))
    assert [path for _, path in placed(tree)] == [None, None, "views", "views", None]
    assert DOG not in set(outside(tree)) and DOG in set(nodes(tree))


def test_lists_become_tuples_and_what_stands_alone_is_refused() -> None:
    rule = Term("a", "b")
    lists: list[Any] = [
        Terms("a", ["b", "c"]),  # type: ignore[arg-type]
        Ids(["b"]),  # type: ignore[arg-type]
        MaxOf([DOG]),  # type: ignore[arg-type]
        Bool(must=[DOG], should=[rule]),  # type: ignore[arg-type]
        Nearest("v", [1.0, 2.0], rules=[rule]),  # type: ignore[arg-type]
    ]
    assert len(set(lists)) == 5
    assert lists[0] == Terms("a", ("b", "c"))
    for make in (
        lambda: Terms("a", "bc"),  # type: ignore[arg-type]
        lambda: Bool(must=rule),  # type: ignore[arg-type]
        lambda: Nearest("v", (1.0,), rules=rule),  # type: ignore[arg-type]
        lambda: Nearest("v", 1.0),  # type: ignore[arg-type]
    ):
        with pytest.raises(UsageError, match="is a tuple"):
            make()
    assert Raw.of({"range": {"taken": {"gte": date(2026, 11, 22)}}}).json == (
        '{"range": {"taken": {"gte": "2026-11-22"}}}'
    )
    with pytest.raises(UsageError, match="no JSON"):
        Raw.of({"term": {"a": {1, 2}}})
    for text in ("nonsense", "[]", '"a"', "{}", '{"query": {}}', '{"term": {}, "range": {}}'):
        with pytest.raises(UsageError, match="JSON object"):
            Raw(text)


def test_values_of_every_kind_become_text() -> None:
    assert Term("stock", 3).value == "3"  # type: ignore[arg-type]
    assert Term("price", np.float64(6.5)).value == "6.5"  # type: ignore[arg-type]
    assert Term("free", True).value == "true"  # type: ignore[arg-type]
    assert Terms("taken", (date(2026, 1, 2), "x")).values == ("2026-01-02", "x")  # type: ignore[arg-type]
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert Range("taken", gte=moment).bounds == {"gte": "2026-01-02T03:04:05.000+00:00"}
    with pytest.raises(UsageError, match="a value is text"):
        Term("stock", [3])  # type: ignore[arg-type]


def test_what_is_no_query_is_refused_where_it_is_given() -> None:
    rule: Any = [Term("a", "b")]
    for make in (
        lambda: filtered(DOG, rule),
        lambda: Bool(must=("dog",)),  # type: ignore[arg-type]
        lambda: BestPhoto("dog"),  # type: ignore[arg-type]
        lambda: Constant(rule),
        lambda: Boosted(None, When(DOG, 2)),  # type: ignore[arg-type]
        lambda: MaxOf((Term("a", "b"),)),  # type: ignore[arg-type]
        lambda: QueryPolicy("p", rules=Term("a", "b")),  # type: ignore[arg-type]
        lambda: QueryPolicy("p", held_in=TokenField("m")),  # type: ignore[arg-type]
    ):
        with pytest.raises(UsageError):
            make()
    with pytest.raises(TypeError, match="unsupported operand"):
        DOG + Term("a", "b")  # type: ignore[operator]


def test_values_by_dotted_names_and_one_photo_without_a_list() -> None:
    assert value_of({"a": {"b.c": 1}}, "a.b.c") == 1
    assert value_of({"a": {"b": 1}}, "a.c") is None
    assert value_of({"a": 1}, "a.b") is None
    assert photos_of({"photos": {"image": "a"}}, "photos") == [{"image": "a"}]
    held = Tokens.of({"dog": 1.0}, "m", "ai.stair")
    assert token_reasons(held, {"ai": {"stair": {"dog": 2.0}, "stair_model": "m"}})[0].score == 2
