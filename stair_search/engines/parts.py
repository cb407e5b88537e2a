"""Walks over query trees that all engines share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from stair_search.queries import (
    BestPhoto,
    Bool,
    Boosted,
    Constant,
    Match,
    MaxOf,
    Nearest,
    Query,
    Tokens,
    When,
)

Leaf = Tokens | MaxOf | Nearest | Match | Constant | BestPhoto | Boosted


def scoring_parts(query: Query, matched: Callable[[Query], bool]) -> Iterator[Leaf]:
    """The parts that made the score of a document which `query` matches; what is boosted before its
    own parts.

    matched: whether the document matches a part below; what stands in a Bool that it does not match
    adds nothing, even where it would match alone.
    """
    match query:
        case Tokens() | MaxOf() | Nearest() | Match() | Constant() | BestPhoto():
            yield query
        case Boosted(inner):
            yield query
            if matched(inner):
                yield from scoring_parts(inner, matched)
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
    left = [(query, path)]
    while left:  # no recursion: how deep a tree may be is checked by such a walk
        node, path = left.pop()
        yield node, path
        below = node.path if isinstance(node, BestPhoto) else path
        left += ((one, below) for one in reversed(_children(node)))


def depth(query: Query) -> int:
    """How many nodes stand one in the other, 1 for a node alone."""
    levels, level = 0, [query]
    while level:
        levels, level = levels + 1, [child for node in level for child in _children(node)]
    return levels


def _children(query: Query) -> tuple[Query, ...]:
    match query:
        case Boosted(inner, When(condition)):
            return inner, condition
        case Constant(inner) | Boosted(inner) | BestPhoto(inner):
            return (inner,)
        case MaxOf(parts) | Nearest(rules=parts):
            return parts
        case Bool():
            return (*query.must, *query.should, *query.filter, *query.must_not)
    return ()


def nested_above(field: str, types: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The nested field that a field lies below."""
    above = (field[:at] for at, letter in enumerate(field) if letter == ".")
    return next((name for name in above if types.get(name, {}).get("type") == "nested"), None)
