"""One walk that makes a tree anew, leaf by leaf, for whatever rewrites queries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from stair_search.queries.tree import BestPhoto, Bool, Boosted, Node, Query, When

Change = Callable[[Query, bool, str | None], Query]
"""leaf, whether it is asked for, the nested field whose photos it asks of -> what stands there
instead."""


def rewritten(
    query: Query,
    change: Change,
    skip: Callable[[Query], bool] = lambda _: False,
    asked: bool = True,
    path: str | None = None,
) -> Query:
    """The tree with every leaf changed; what `skip` is true of stays as it is, with all below.

    A leaf is asked for where a document gains by it: not below `must_not`, nor in a `When` that
    demotes; below two of them it is again. A node that is unknown here is walked by its fields.

    >>> from stair_search.queries import All, Ids, none_of
    >>> rewritten(none_of(All()), lambda leaf, asked, path: leaf if asked else Ids(())).must_not
    (Ids(values=()),)
    """

    def below(part: Query, sign: bool = asked, of: str | None = path) -> Query:
        return rewritten(part, change, skip, sign, of)

    if skip(query):
        return query
    match query:
        case Bool():
            return replace(
                query,
                must=tuple(map(below, query.must)),
                should=tuple(map(below, query.should)),
                filter=tuple(map(below, query.filter)),
                must_not=tuple(below(part, not asked) for part in query.must_not),
            )
        case Boosted(inner, When(rule, factor)):
            sign = asked if factor > 1 else not asked
            return replace(query, query=below(inner), by=When(below(rule, sign), factor))
        case BestPhoto(inner, of):
            return replace(query, query=below(inner, of=of))
    inside: dict[str, Any] = {}
    for field in fields(query):
        value = getattr(query, field.name)
        if isinstance(value, Node):
            inside[field.name] = below(value)  # type: ignore[arg-type]
        elif isinstance(value, tuple) and any(isinstance(one, Node) for one in value):
            inside[field.name] = tuple(map(below, value))
    return replace(query, **inside) if inside else change(query, asked, path)
