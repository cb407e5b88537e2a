"""Fewer tokens, where an engine or a policy takes no more."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from stair_search.queries.rewrite import rewritten
from stair_search.queries.tree import Query, Tokens


class Pruned(NamedTuple):
    """dropped: how many tokens are no longer asked for."""

    query: Query
    dropped: int


def pruned(query: Query, most: int) -> Pruned:
    """The query with at most so many tokens asked for, of the whole tree the weightiest; of equal
    weights those that stand first.

    Each sum of tokens keeps its strongest one, even beyond `most`: without any it would match
    nothing, and a query that demands it nothing either. What excludes or demotes stays whole.

    >>> pruned(Tokens.of({"dog": 2.0, "small": 0.1, "sea": 1.0}, "m"), 2).query.weights
    (('dog', 2.0), ('sea', 1.0))
    """
    sums = _asked(query)
    places = [(n, token) for n, one in enumerate(sums) for token in range(len(one))]
    if len(places) <= most:
        return Pruned(query, 0)
    places.sort(key=lambda place: -sums[place[0]][place[1]][1])
    strongest = set({place[0]: place for place in reversed(places)}.values())  # of each sum
    others = [place for place in places if place not in strongest]
    kept = strongest | set(others[: max(most - len(strongest), 0)])
    left = iter(
        {token for at, (token, _) in enumerate(one) if (n, at) in kept}
        for n, one in enumerate(sums)
    )

    def change(leaf: Query, asked: bool, path: str | None) -> Query:
        if not (asked and isinstance(leaf, Tokens)):
            return leaf
        stay = next(left)
        return replace(leaf, weights=tuple(p for p in leaf.weights if p[1] < 0 or p[0] in stay))

    return Pruned(rewritten(query, change), len(places) - len(kept))


def token_count(query: Query) -> int:
    """How many tokens are asked for in the whole tree, those of each sum counted by themselves."""
    return sum(map(len, _asked(query)))


def _asked(query: Query) -> list[tuple[tuple[str, float], ...]]:
    """What each sum of tokens asks for, in the order of the walk."""
    sums: list[tuple[tuple[str, float], ...]] = []

    def change(leaf: Query, asked: bool, path: str | None) -> Query:
        if asked and isinstance(leaf, Tokens):
            sums.append(leaf.asked)
        return leaf

    rewritten(query, change)
    return sums
