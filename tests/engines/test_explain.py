"""Why a document is a hit or none, for any tree."""

from __future__ import annotations

import pytest

from stair_search.engines import Document, Engine
from stair_search.engines.explain import explain
from stair_search.errors import UsageError
from stair_search.mappings import index_body
from stair_search.queries import (
    All,
    BestPhoto,
    Bool,
    Boosted,
    Constant,
    Exists,
    GeoBox,
    GeoDistance,
    HasToken,
    Ids,
    Match,
    MaxOf,
    Query,
    Range,
    Term,
    Terms,
    Tokens,
    When,
    all_of,
    any_of,
    at_least,
    filtered,
    no_photo_with,
    none_of,
    photo_with,
)

pytestmark = pytest.mark.engines
DOG = Tokens.of({"dog": 1.0, "sea": 2.0}, "m")
CAT = Tokens.of({"cat": 1.0}, "m")
RED = Term("colour", "red")


@pytest.fixture
def index(engine: Engine, index_name: str) -> str:
    columns = {"colour": "keyword", "likes": "integer", "place": "geo_point"}
    engine.create(index_name, index_body(engine.info.product, None, columns, 1, 0))
    fields = {"stair": [{"dog": 2.0}], "stair_model": "m", "caption": "a red bus"}
    other = {"colour": "red", "likes": 7, "place": {"lat": 48, "lon": 11}}
    engine.bulk(index_name, [Document("a", {**fields, **other}), Document("b", {"likes": 1})])
    engine.refresh(index_name)
    return index_name


def excluded(engine: Engine, index: str, query: Query) -> list[str]:
    told = explain(engine, index, query, "a")
    assert not told.matched
    assert not told.why
    return told.excluded_by


def test_every_kind_of_rule_in_words(engine: Engine, index: str) -> None:
    rules: list[tuple[Query, str]] = [
        (Term("colour", "blue"), "filter colour=blue (has red)"),
        (Terms("colour", ("blue", "green")), "filter colour=blue or green (has red)"),
        (Range("likes", gte=8, lt=20), "filter likes>=8 and <20 (has 7)"),
        (GeoDistance("place", 0, 0, 5000), "filter place within 5000 m of 0, 0 (has"),
        (GeoBox("place", 2, 1, 0, 3), "filter place within 2, 1 and 0, 3 (has"),
        (Exists("width"), "filter width is there (has None)"),
        (Ids(("x", "y")), "filter ids x, y"),
        (HasToken("cat", "m"), "require cat"),
        (Match("caption", "blue car", every=True), "filter caption:blue AND car (has a red bus)"),
        (any_of(Term("colour", "a"), Term("colour", "b")), "filter colour=a or colour=b"),
        (all_of(RED, ~Term("likes", "7")), "filter (colour=red and not likes=7)"),
        (Constant(Term("colour", "c")), "filter colour=c (has red)"),
    ]
    for rule, said in rules:
        (told,) = excluded(engine, index, filtered(DOG, rule))
        assert told.startswith(said)
    exclusions: list[tuple[Query, str]] = [
        (RED, "filter colour!=red"),
        (HasToken("dog", "m", 0.5), "without dog:0.5 (has 2)"),
        (Range("likes", gte=3), "without likes>=3"),
        (CAT | DOG, "without cat or dog or sea"),
        (All(), "without anything"),
    ]
    for rule, said in exclusions:
        assert excluded(engine, index, DOG & none_of(rule)) == [said]


def test_within_clauses_that_it_had_to_match(engine: Engine, index: str) -> None:
    blue = Term("colour", "blue")
    said = ["filter colour=blue (has red)"]
    assert excluded(engine, index, DOG & blue) == said
    assert excluded(engine, index, Boosted(filtered(DOG, blue), When(RED, 2))) == said
    assert excluded(engine, index, Bool(must=(RED, filtered(DOG, blue)))) == said
    assert excluded(engine, index, filtered(DOG, blue) | filtered(CAT, blue)) == said
    assert excluded(engine, index, at_least(2, DOG, CAT, Constant(blue))) == [
        "at least 2 of 3 (matches 1)",
        *said,
    ]


def test_every_rule_however_deep(engine: Engine, index: str) -> None:
    """Who mends one of them is not to meet the next."""
    blue, likes = Term("colour", "blue"), Range("likes", gt=1000)
    inner = ["filter likes>1000 (has 7)", "filter colour=blue (has red)"]
    gun = HasToken("dog", "m", 0.5)
    outer = "without dog:0.5 (has 2)"
    asked = filtered(DOG, likes, blue) & ~gun
    assert excluded(engine, index, asked) == [outer, *inner]
    assert excluded(engine, index, Boosted(asked, When(RED, 2))) == [outer, *inner]
    query = filtered(Boosted(filtered(DOG, likes), When(RED, 2)), blue)
    assert excluded(engine, index, query) == inner[::-1]


def test_what_it_lacks(engine: Engine, index: str) -> None:
    query = any_of(MaxOf((DOG, CAT)), Match("caption", "red car"), RED)
    told = explain(engine, index, query, "a")
    assert told.matched
    assert told.lacks == ["sea", "cat", "caption:car"]
    assert told.excluded_by == []
    assert sum(reason.score for reason in told.why) == pytest.approx(told.score)
    for rule in (Term("colour", "blue"), Constant(Term("colour", "blue"))):
        assert excluded(engine, index, rule) == ["filter colour=blue (has red)"]
    assert excluded(engine, index, Ids(("x",))) == ["filter ids x"]
    assert explain(engine, index, CAT | Exists("likes"), "b").excluded_by == []
    other = explain(engine, index, Tokens.of({"dog": 1.0}, "m") & RED, "b")
    assert other.excluded_by == [
        "model none (the question is of m)",
        "filter colour=red (has None)",
    ]
    with pytest.raises(UsageError, match="holds no document 'c'"):
        explain(engine, index, DOG, "c")


def test_of_several_photos(engine: Engine, index_name: str) -> None:
    columns = {"colour": "keyword"}
    body = index_body(engine.info.product, None, columns, 1, 0, several=True)
    engine.create(index_name, body)
    photos = [
        {"stair": [{"dog": 2.0}], "stair_model": "m", "image": "1"},
        {"stair": [{"cat": 1.0}], "stair_model": "m", "image": "2"},
    ]
    engine.bulk(index_name, [Document("a", {"photos": photos, "colour": "red"})])
    engine.refresh(index_name)
    dog = HasToken("dog", "m", field="photos.stair")
    asked = BestPhoto(Tokens.of({"dog": 1.0, "sea": 2.0}, "m", "photos.stair"))
    told = explain(engine, index_name, asked, "a")
    assert (told.matched, told.lacks, told.excluded_by) == (True, ["sea"], [])
    both = photo_with(all_of(dog, HasToken("cat", "m", field="photos.stair")))
    assert excluded(engine, index_name, filtered(asked, both)) == ["filter (dog and cat)"]
    assert excluded(engine, index_name, asked & no_photo_with(dog)) == ["without dog (has 2)"]
    cat = HasToken("cat", "m", field="photos.stair")
    other = Term("photos.image", "z")
    assert excluded(engine, index_name, BestPhoto(filtered(asked.query, other))) == [
        "filter photos.image=z (has 1, 2)"
    ]
    both = BestPhoto(filtered(asked.query, cat))
    assert excluded(engine, index_name, both) == ["no photo is all of (dog or sea and cat)"]
    assert excluded(engine, index_name, BestPhoto(asked.query & ~any_of(dog, cat))) == [
        "without dog or cat"
    ]
    said = ["filter photos.image=z (has 1, 2)"]
    once_more = When(Term("photos.image", "1"), 2)
    none = HasToken("zebra", "m", field="photos.stair")
    silent: list[tuple[Query, list[str]]] = [
        (BestPhoto(Boosted(filtered(asked.query, other), once_more)), said),
        (BestPhoto(Boosted(asked.query & ~dog, once_more)), ["no photo is all of"]),
        (
            BestPhoto(filtered(asked.query, other) & ~any_of(dog, cat)),
            [*said, "without dog or cat"],
        ),
        (asked & BestPhoto(other), said),
        (BestPhoto(none), ["require zebra"]),
        (BestPhoto(at_least(2, dog, none)), ["filter 2 of dog, zebra"]),
        (BestPhoto(Range("photos.image", gt="y")), ["filter photos.image>y (has 1, 2)"]),
        (BestPhoto(Constant(other)), said),
        (
            asked & no_photo_with(dog) & Term("colour", "zz"),
            ["without dog (has 2)", "filter colour=zz"],
        ),
        (BestPhoto(asked.query & at_least(2, none, other)), ["filter 2 of zebra, photos.image=z"]),
    ]
    for query, wanted in silent:
        found = excluded(engine, index_name, query)
        assert len(found) == len(wanted), (query, found)
        assert all(map(str.startswith, found, wanted)), (query, found)
