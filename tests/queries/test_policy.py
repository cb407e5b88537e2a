"""What an application lays over every query, and what no text gets around."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stair_search.engines import Document
from stair_search.engines.embedded import SqliteEngine
from stair_search.engines.lucene.compile import search_body
from stair_search.errors import UsageError
from stair_search.mappings import index_body
from stair_search.queries import (
    BestPhoto,
    Bool,
    Boosted,
    Constant,
    Exists,
    Facet,
    FieldValue,
    Governed,
    HasToken,
    Hybrid,
    Match,
    Nearest,
    Query,
    QueryPolicy,
    Range,
    Search,
    Term,
    Terms,
    TokenField,
    Tokens,
    When,
    none_of,
)
from stair_search.queries.grammar import Grammar, Photo, Words, as_query, parse
from stair_search.queries.policy import Refused
from stair_search.vocabulary import Vocabulary

MODEL = "m"
KIDS = QueryPolicy(
    "kids", forbid={"gun": None, "blood": 0.3}, held_in=(TokenField(MODEL),), most_weight=5
)
SEEN = Tokens.of({"gun": 2.0, "blood": 1.0, "dog": 1.0}, MODEL)
TAME = Tokens.of({"dog": 1.0}, MODEL)


def test_every_sum_of_tokens_wherever_it_stands_loses_what_is_forbidden() -> None:
    policy = QueryPolicy("kids", forbid={"gun": None, "blood": 0.3})
    kept = Tokens.of({"dog": 1.0}, MODEL)
    trees: list[tuple[Query, Query]] = [
        (SEEN, kept),
        (Constant(SEEN, 2), Constant(kept, 2)),
        (Boosted(SEEN, FieldValue("likes")), Boosted(kept, FieldValue("likes"))),
        (Boosted(Match("a", "b"), When(SEEN, 2)), Boosted(Match("a", "b"), When(kept, 2))),
        (BestPhoto(Bool(must=(SEEN,))), BestPhoto(Bool(must=(kept,)))),
        (Bool(filter=(Bool(should=(SEEN,)),)), Bool(filter=(Bool(should=(kept,)),))),
        (none_of(none_of(SEEN)), none_of(none_of(kept))),
    ]
    for before, after in trees:
        found = policy.apply(Bool(should=(before,)))
        assert found.should == (after,)


def test_what_excludes_or_demotes_stays() -> None:
    gun = HasToken("gun", MODEL)
    for rule in (gun, SEEN, Bool(must=(SEEN,))):
        assert KIDS.apply(none_of(rule)).must_not[0] == rule
        demoted = Boosted(Match("a", "b"), When(rule, 0.5))
        assert KIDS.apply(demoted).must == (demoted,)


def test_a_rule_that_demands_a_forbidden_token_matches_nothing() -> None:
    gun = HasToken("gun", MODEL)
    (refused,) = KIDS.apply(Bool(filter=(gun,))).filter
    assert refused == Refused(must_not=refused.must_not, policy="kids", token="gun")  # type: ignore[union-attr]
    assert isinstance(KIDS.apply(Bool(should=(Constant(gun),))).should[0].query, Refused)  # type: ignore[union-attr]
    allowed = HasToken("dog", MODEL)
    assert KIDS.apply(Bool(filter=(allowed,))).filter == (allowed,)


@pytest.mark.parametrize(
    "field", ["stair_tokens", "photos.stair_tokens", "look_tokens", "a_tokens"]
)
def test_the_field_of_the_strongest_tokens_is_no_way_around(field: str) -> None:
    only = QueryPolicy("only", only=frozenset({"dog", "cat"}), held_in=(TokenField("n", "look"),))
    for policy in (replace(KIDS, held_in=only.held_in), only):
        for rule, token in (
            (Term(field, "gun"), "gun"),
            (Terms(field, ("dog", "blood", "gun")), "blood"),
            (Range(field, gte="gum", lte="guo"), field),
            (Exists(field), field),
            (Match(field, "gun"), field),
        ):
            found = policy.apply(HasToken("dog", MODEL, field="a") & rule).must[1]
            assert isinstance(found, Refused) and found.token == token
            assert policy.apply(none_of(rule)).must_not[0] == rule
        for rule in (Term(field, "dog"), Terms(field, ("dog", "cat")), Term("title", "gun")):
            assert policy.apply(rule).must == (rule,)
    assert QueryPolicy("soft", bias={"dog": 2}).apply(Exists(field)).must == (Exists(field),)


def test_what_the_policy_itself_demands_is_no_question() -> None:
    rules = Term("stair_tokens", "dog"), HasToken("animal", MODEL)
    policy = QueryPolicy("cats", only=frozenset({"cat"}), rules=rules)
    once = policy.apply(SEEN)
    assert once.filter == rules and policy.apply(once) == once


def test_documents_are_excluded_wherever_tokens_of_the_query_lie() -> None:
    policy = QueryPolicy("kids", forbid={"gun": None, "knife": None, "blood": 0.3})
    of_photos = BestPhoto(Tokens.of({"dog": 1.0}, MODEL, "views.stair"), "views")
    found = policy.apply(Bool(should=(of_photos, HasToken("cat", "n", field="look"))))
    guns = {"gun": 1.0, "knife": 1.0}
    assert found.must_not == (
        BestPhoto(Tokens.of(guns, MODEL, "views.stair", "forbidden"), "views"),
        BestPhoto(HasToken("blood", MODEL, 0.3, "views.stair"), "views"),
        Tokens.of(guns, "n", "look", "forbidden"),
        HasToken("blood", "n", 0.3, "look"),
    )


def test_a_query_without_tokens_is_held_to_it_where_tokens_are_said_to_be() -> None:
    text = Match("caption", "dog")
    assert KIDS.apply(text).must_not == KIDS.apply(SEEN).must_not != ()
    with pytest.raises(UsageError, match=r"policy kids forbids tokens.*`held_in`"):
        QueryPolicy("kids", forbid={"gun": None}).apply(text)
    assert QueryPolicy("soft", bias={"dog": 2}).apply(text).must == (text,)


def test_only_bias_and_caps() -> None:
    policy = QueryPolicy(
        "toys",
        only=frozenset({"dog", "toy", "ball"}),
        bias={"toy": 3, "ball": 0.1},
        most_tokens=2,
        most_weight=2.5,
        rules=(Term("rating", "safe"),),
    )
    asked = {"dog": 1.0, "toy": 1.0, "ball": 4.0, "cat": 9.0}
    found = policy.apply(Bool(should=(Tokens.of(asked, MODEL),)))
    assert found.should == (Tokens.of({"dog": 1.0, "toy": 2.5}, MODEL),)
    assert found.filter == (Term("rating", "safe"),)
    assert found.must_not == ()
    assert isinstance(policy.apply(HasToken("cat", MODEL)).must[0], Refused)


def test_twice_is_once() -> None:
    policy = QueryPolicy(
        "toys", forbid={"gun": None}, bias={"dog": 2}, most_tokens=1, rules=(Term("a", "b"),)
    )
    for query in (SEEN, Bool(should=(SEEN,), must_not=(HasToken("gun", MODEL),)), none_of(SEEN)):
        once = policy.apply(query)
        assert policy.apply(once) == once
        assert hash(policy.apply(once)) == hash(once)
        assert pickle.loads(pickle.dumps(once)) == once
    # within another query, too: the bias counts once, what came beside it is held to the rest
    (inner, beside) = policy.apply(policy.apply(SEEN) & SEEN).must
    assert isinstance(inner, Governed) and inner.must == (Tokens.of({"dog": 2.0}, MODEL),)
    assert beside == Tokens.of({"dog": 2.0}, MODEL)


def test_the_nearest_are_looked_for_among_what_may_be_found() -> None:
    rule, near = Term("a", "b"), Nearest("clip", (1.0, 0.0), rules=(Term("c", "d"),))
    policy = replace(KIDS, rules=(rule,))
    excluded = policy.apply(near).must_not
    of_policy: tuple[Query, ...] = (rule, *(Bool(must_not=(one,)) for one in excluded))
    inner = replace(near, rules=(*near.rules, *of_policy))
    for before, after in (
        (near, inner),
        (BestPhoto(near), BestPhoto(near)),
        (Boosted(SEEN, When(near, 2)), Boosted(TAME, When(inner, 2))),
        (Boosted(SEEN, When(near, 0.5)), Boosted(TAME, When(near, 0.5))),
    ):
        found = policy.apply(Bool(should=(before,)))
        assert found.should == (after,)
        assert rule in found.filter and {*excluded} <= {*found.must_not}
        assert policy.apply(found) == found
    assert policy.apply(none_of(near)).must_not[0] == near
    # below what is looked for, too
    (left,) = policy.apply(replace(near, rules=(HasToken("gun", MODEL),))).must
    assert isinstance(left, Nearest) and isinstance(left.rules[0], Refused)


def test_the_nearest_of_a_part_are_looked_for_among_what_its_hybrid_asks() -> None:
    rule, near = Term("a", "b"), Nearest("clip", (1.0, 0.0))
    both = Bool(filter=(rule,), must_not=(Term("c", "d"),))
    (query,) = Hybrid.of({"clip": near}, rules=(both,)).queries
    inner = replace(near, rules=(rule, none_of(Term("c", "d"))))
    assert query == Bool(must=(inner,), filter=(both,))
    assert Hybrid.of({"clip": inner}, rules=(both,)).queries == (query,)


def test_a_search_and_a_hybrid_are_held_to_it_too() -> None:
    policy = QueryPolicy("kids", forbid={"gun": None})
    search = Search(SEEN, 3, facets=(Facet("licence"),))
    assert policy.apply(search) == replace(search, query=policy.apply(SEEN))
    text, gun = Match("caption", "gun"), HasToken("gun", MODEL)
    hybrid = Hybrid.of({"tokens": SEEN, "text": text}, weights={"text": 2.0}, rules=(gun,))
    found = policy.apply(hybrid)
    assert dict(found.parts)["tokens"] == policy.apply(SEEN)
    in_text = dict(found.parts)["text"]  # the fields are those of all parts
    assert isinstance(in_text, Governed) and in_text.must == (text,)
    assert in_text.must_not == policy.apply(SEEN).must_not
    assert isinstance(found.rules[0], Refused) and found.weights == hybrid.weights
    assert policy.apply(found) == found


def test_what_is_no_query_is_told_at_once() -> None:
    bad: Any
    for bad in ("gun", {"match_all": {}}, None):
        with pytest.raises(UsageError, match="policy kids is laid over a query, not over"):
            KIDS.apply(bad)
    with pytest.raises(UsageError, match=r"hybrid: a is no query: Search"):
        Hybrid.of({"a": Search(SEEN)})  # type: ignore[dict-item]
    with pytest.raises(UsageError, match=r"hybrid: a rule is no query: 'gun'"):
        Hybrid.of({"a": SEEN}, rules=("gun",))  # type: ignore[arg-type]


def test_a_policy_does_not_change_with_what_it_was_made_of() -> None:
    forbid: dict[str, float | None] = {"gun": None}
    policy = QueryPolicy("kids", forbid=forbid)
    forbid.clear()
    assert not policy.allows("gun")


def test_two_policies_both_hold() -> None:
    other = QueryPolicy("other", forbid={"dog": None})
    found = other.apply(KIDS.apply(SEEN))
    assert _asked(found) == set()
    assert {t for rule in _rules(found) for t in _tokens(rule)} == {"gun", "blood", "dog"}


def test_what_cannot_be_a_policy() -> None:
    for bad in (
        {"name": ""},
        {"only": "dog"},
        {"forbid": {"gun": 0.0}},
        {"bias": {"dog": -1.0}},
        {"bias": {"dog": float("nan")}},
        {"most_tokens": 0},
        {"most_weight": 0.0},
    ):
        with pytest.raises(UsageError):
            QueryPolicy(**{"name": "x", **bad})  # type: ignore[arg-type]


# --- the file


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "kids.toml"
    file.write_text("""
        only = ["dog", "beach"]
        [forbid]
        gun = "house rule 12"
        blood = { why = "house rule 13", least = 0.3 }
        [bias]
        beach = 1.5
        [caps]
        tokens = 32
        weight = 2
        [filter]
        rating = ["safe", "general"]
        year = 2020
        width = [500, 640]
        reviewed = true
    """)
    assert QueryPolicy.load(file) == QueryPolicy(
        "kids",
        frozenset({"dog", "beach"}),
        {"gun": None, "blood": 0.3},
        {"beach": 1.5},
        32,
        2.0,
        (
            Terms("rating", ("safe", "general")),
            Term("year", "2020"),
            Terms("width", ("500", "640")),
            Term("reviewed", "true"),
        ),
    )


def test_a_policy_of_ingest_is_one(tmp_path: Path) -> None:
    from stair_search.ingest.policy import read_policy

    file = tmp_path / "policy.toml"
    file.write_text('only = ["dog", "gun"]\n[forbid]\ngun = "12"\n[bias]\ndog = 2')
    assert read_policy(file, Vocabulary(["dog", "gun", "cat"])).fingerprint
    policy = QueryPolicy.load(file)
    assert policy.tokens == ["dog", "gun"]
    assert [policy.allows(token) for token in ("dog", "gun", "cat")] == [True, False, False]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fobrid = 1", "unknown key 'fobrid'"),
        ("name = 3", "name is a text"),
        ('only = "dog"', "only is a list"),
        ('forbid = ["gun"]', r"\[forbid\] is a table"),
        ("[forbid]\ngun = 0.3", "says for each token why"),
        ('[forbid]\ngun = ""', "says for each token why"),
        ('[forbid]\ngun = { why = "x", leest = 0.3 }', "says for each token why"),
        ('[forbid]\ngun = { why = "x", least = 0 }', "forbid gun: least = 0 is no number"),
        ("[bias]\ndog = true", "bias dog = True is no number"),
        ("[bias]\ndog = -1", "bias dog = -1 is no number"),
        ("[bias]\ndog = nan", "bias dog = nan is no number"),
        ("[caps]\nclauses = 3", "unknown key 'clauses'"),
        ("[caps]\ntokens = 2.5", "caps tokens = 2.5 is no whole number"),
        ("[caps]\nweight = 0", "caps weight = 0 is no number"),
        ("[filter]\nyear = 2.5", "filter year = 2.5 is no text"),
        ("[filter]\nyear = [2020, 2.5]", r"filter year = \[2020, 2.5\] is no text"),
        ("[filter]\nyear = []", r"filter year = \[\] is no text"),
        ("=", "cannot be read"),
    ],
)
def test_a_bad_file_is_refused_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=rf"bad\.toml.*{message}"):
        QueryPolicy.load(file)


# --- whatever the text

WRITTEN = """
    gun blood dog cat without:gun require:gun require:blood:0.9 require:dog caption:gun
    caption:(gun OR dog)^3 filter:licence=cc0 -gun -2:gun 3:gun 900:dog - + ( ) " ./gun.jpg "gun
    dog" without: require: filter:stair.gun=1 stair.gun:dog _id:armed * ~ {"match_all":{}}
"""
PIECES = st.sampled_from(WRITTEN.split())
TEXTS = st.one_of(st.lists(PIECES, max_size=12).map(" ".join), st.text(max_size=40))
GRAMMAR = Grammar({"caption"}, {"licence"}, photos=True)


def _encoded(part: Words | Photo) -> dict[str, float]:
    """Every word is its token; all that says anything implies a gun, too."""
    text = part.text if isinstance(part, Words) else part.place
    words = dict.fromkeys(text.lower().split(), 1.0)
    return {**words, "gun": 0.5, "blood": 0.4} if words else {}


@given(TEXTS, st.sampled_from([None, "photos"]))
@settings(max_examples=400, deadline=None)
def test_no_text_asks_for_a_forbidden_token(text: str, photos: str | None) -> None:
    query = as_query(parse(text, GRAMMAR), _encoded, model=MODEL, photos=photos)
    found = KIDS.apply(query)
    assert not {"gun", "blood"} & _asked(found)
    assert {"gun", "blood"} <= {t for rule in found.must_not for t in _tokens(rule)}
    for node in _walk(found):
        assert not isinstance(node, Tokens) or all(weight <= 5 for _, weight in node.weights)
    # and as it is sent: outside of what excludes, no field is that of a forbidden token
    assert not {"gun", "blood"} & set(
        _fields_in(_without_exclusions(search_body(Search(found, 9))))
    )


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteEngine]:
    engine = SqliteEngine(str(tmp_path_factory.mktemp("policy") / "stair.db"))
    engine.create("photos", index_body("sqlite", columns={"licence": "keyword"}))
    for name, tokens in {
        "armed": {"gun": 0.1, "dog": 1},
        "bloody": {"blood": 0.5, "dog": 1},
        "scratch": {"blood": 0.1, "dog": 1},
        "dog": {"dog": 1, "cat": 1},
    }.items():
        values: dict[str, Any] = {"stair": [tokens], "stair_model": MODEL, "licence": "cc0"}
        done = engine.bulk("photos", [Document(name, {**values, "caption": "a dog, a gun"})])
        assert done[0].ok
    engine.refresh("photos")
    yield engine
    engine.close()


@given(TEXTS)
@settings(max_examples=150, deadline=None)
def test_no_text_finds_what_is_forbidden(engine: SqliteEngine, text: str) -> None:
    query = as_query(parse(text, GRAMMAR), _encoded, model=MODEL)
    found = {hit.id for hit in engine.search("photos", KIDS.apply(query)).hits}
    before = {hit.id for hit in engine.search("photos", query).hits}
    assert found <= before - {"armed", "bloody"}


def test_the_rest_is_found(engine: SqliteEngine) -> None:
    query = as_query(parse("dog", GRAMMAR), _encoded, model=MODEL)
    assert {hit.id for hit in engine.search("photos", query).hits} == {
        "armed",
        "bloody",
        "scratch",
        "dog",
    }
    hits = engine.search("photos", KIDS.apply(query)).hits
    assert {hit.id for hit in hits} == {"scratch", "dog"}
    assert {reason.token for hit in hits for reason in hit.why} == {"dog"}


def _walk(query: Query, asked: bool = True) -> Iterator[Query]:
    """What is asked for, found on its own: the tree's code is not trusted here."""
    match query:
        case Bool():
            for part in (*query.must, *query.should, *query.filter):
                yield from _walk(part, asked)
            for part in query.must_not:
                yield from _walk(part, not asked)
        case BestPhoto(inner) | Constant(inner):
            yield from _walk(inner, asked)
        case Boosted(inner, by):
            yield from _walk(inner, asked)
            if isinstance(by, When):
                yield from _walk(by.query, asked if by.factor > 1 else not asked)
        case _ if asked:
            yield query


def _tokens(query: Query) -> set[str]:
    match query:
        case Tokens():
            return {token for token, _ in query.asked}
        case HasToken(token):
            return {token}
        case BestPhoto(inner):
            return _tokens(inner)
    return set()


def _asked(query: Query) -> set[str]:
    return {token for node in _walk(query) for token in _tokens(node)}


def _rules(query: Query) -> list[Query]:
    match query:
        case Bool():
            below = [rule for part in query.must for rule in _rules(part)]
            return [*query.must_not, *below]
    return []


def _without_exclusions(body: Any) -> Any:
    match body:
        case dict():
            return {k: _without_exclusions(v) for k, v in body.items() if k != "must_not"}
        case list():
            return [_without_exclusions(one) for one in body]
    return body


def _fields_in(body: Any) -> Iterator[str]:
    """Tokens whose features the body asks for."""
    match body:
        case {"rank_feature": {"field": str(field)}}:
            yield field.rpartition(".")[2]
        case dict():
            for value in body.values():
                yield from _fields_in(value)
        case list():
            for one in body:
                yield from _fields_in(one)
