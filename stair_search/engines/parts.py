"""Walks over query trees that all engines share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from stair_search.queries import Bool, Constant, Match, Query, Tokens

Leaf = Tokens | Match | Constant


def scoring_parts(query: Query, matched: Callable[[Query], bool]) -> Iterator[Leaf]:
    """The parts that made the score of a document which `query` matches.

    matched: whether the document matches a part below; what stands in a Bool that it does not match
    adds nothing, even where it would match alone.
    """
    match query:
        case Tokens() | Match() | Constant():
            yield query
        case Bool():
            for part in (*query.must, *query.should):
                if matched(part):
                    yield from scoring_parts(part, matched)


def nodes(query: Query) -> Iterator[Query]:
    """Every node of the tree, the root first."""
    yield query
    match query:
        case Constant(inner):
            yield from nodes(inner)
        case Bool():
            for part in (*query.must, *query.should, *query.filter, *query.must_not):
                yield from nodes(part)
