from __future__ import annotations

from stair_search.queries import (
    BestPhoto,
    Bool,
    Boosted,
    Match,
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
