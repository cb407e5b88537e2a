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
    yield query, path
    match query:
        case Constant(inner):
            yield from placed(inner, path)
        case Boosted(inner, by):
            yield from placed(inner, path)
            if isinstance(by, When):
                yield from placed(by.query, path)
        case BestPhoto(inner, below):
            yield from placed(inner, below)
        case MaxOf(parts) | Nearest(rules=parts):
            for part in parts:
                yield from placed(part, path)
        case Bool():
            for part in (*query.must, *query.should, *query.filter, *query.must_not):
                yield from placed(part, path)


def nested_above(field: str, types: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The nested field that a field lies below."""
    above = (field[:at] for at, letter in enumerate(field) if letter == ".")
    return next((name for name in above if types.get(name, {}).get("type") == "nested"), None)
