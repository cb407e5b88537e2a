"""Walks over query trees that all engines share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from stair_search.queries import BestPhoto, Bool, Constant, Match, Query, Tokens

Leaf = Tokens | Match | Constant | BestPhoto


def scoring_parts(query: Query, matched: Callable[[Query], bool]) -> Iterator[Leaf]:
    """The parts that made the score of a document which `query` matches.

    matched: whether the document matches a part below; what stands in a Bool that it does not match
    adds nothing, even where it would match alone.
    """
    match query:
        case Tokens() | Match() | Constant() | BestPhoto():
            yield query
        case Bool():
            for part in (*query.must, *query.should):
                if matched(part):
                    yield from scoring_parts(part, matched)


def nodes(query: Query) -> Iterator[Query]:
    """Every node of the tree, the root first."""
    return (node for node, _ in placed(query))


def outside(query: Query) -> Iterator[Query]:
    """The nodes that ask of documents, not of one photo in them."""
    return (node for node, path in placed(query) if path is None)


def placed(query: Query, path: str | None = None) -> Iterator[tuple[Query, str | None]]:
    """Every node with the nested field whose photos it asks of, None where of documents."""
    yield query, path
    match query:
        case Constant(inner):
            yield from placed(inner, path)
        case BestPhoto(inner, below):
            yield from placed(inner, below)
        case Bool():
            for part in (*query.must, *query.should, *query.filter, *query.must_not):
                yield from placed(part, path)
