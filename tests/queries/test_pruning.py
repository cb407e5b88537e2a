from __future__ import annotations

import pytest

from stair_search.engines import Document
from stair_search.engines.embedded import SqliteEngine
from stair_search.engines.fit import fitted
from stair_search.errors import UsageError
from stair_search.mappings import index_body
from stair_search.queries import (
    BestPhoto,
    Bool,
    Boosted,
    HasToken,
    Match,
    Query,
    Tokens,
    When,
    none_of,
    pruned,
)

MANY = Tokens.of({f"t{n}": 1 + n / 5000 for n in range(2000)}, "m")


def test_the_strongest_of_the_whole_tree_stay_in_their_order() -> None:
    words = Tokens.of({"a": 3.0, "b": 0.1, "c": 2.0}, "m")
    image = Tokens.of({"a": 0.2, "d": 2.5}, "m", part="image")
    query, dropped = pruned(Bool(should=(words, BestPhoto(image))), 3)
    assert dropped == 2
    left = Tokens.of({"a": 3.0, "c": 2.0}, "m")
    assert query == Bool(should=(left, BestPhoto(Tokens.of({"d": 2.5}, "m", part="image"))))
    assert pruned(query, 3) == (query, 0)


def test_of_equals_the_first_stay_and_no_sum_is_left_with_nothing() -> None:
    equal = Tokens.of(dict.fromkeys("abcd", 1.0), "m")
    assert pruned(equal, 2).query == Tokens.of(dict.fromkeys("ab", 1.0), "m")
    weak = Tokens.of({"x": 0.001, "y": 0.002}, "m")
    query, dropped = pruned(Bool(must=(equal, weak)), 1)
    assert query == Bool(must=(Tokens.of({"a": 1.0}, "m"), Tokens.of({"y": 0.002}, "m")))
    assert dropped == 4


def test_what_excludes_or_demotes_stays_whole() -> None:
    for query in (none_of(MANY), Boosted(Match("a", "b"), When(MANY, 0.5))):
        assert pruned(query, 1) == (query, 0)
    assert pruned(Boosted(Match("a", "b"), When(MANY, 2)), 1).dropped == 1999


def test_a_query_is_fitted_beside_its_rules(tmp_path: object) -> None:
    query: Query = Bool(
        should=(MANY, Match("caption", "a red bus")),
        filter=(HasToken("dog", "m"),),
        must_not=(Tokens.of({"x": 1.0, "y": 1.0}, "m"),),
    )
    engine = SqliteEngine(f"{tmp_path}/stair.db")
    engine.create("photos", index_body("sqlite"))
    engine.bulk(
        "photos", [Document("one", {"stair": [{"t1999": 1, "dog": 1}], "stair_model": "m"})]
    )
    engine.refresh("photos")
    with pytest.raises(UsageError, match="clauses"):
        engine.search("photos", query)
    fits, dropped = fitted(query)
    # its model, three words, two for the rule, three for what excludes
    assert dropped == 2000 - (1024 - 1 - 3 - 2 - 3)
    assert [hit.id for hit in engine.search("photos", fits).hits] == ["one"]
    engine.close()


def test_rules_alone_can_be_too_many() -> None:
    rules = tuple(HasToken(f"t{n}", "m") for n in range(600))
    query = Bool(should=(MANY,), filter=rules)
    assert len(fitted(query).query.should[0].weights) == 1  # type: ignore[union-attr]
