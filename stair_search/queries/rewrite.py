"""One walk that makes a tree anew, leaf by leaf, for whatever rewrites queries."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from typing import Any

from stair_search.queries.tree import BestPhoto, Bool, Boosted, Nearest, Node, Query, When

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
    demotes; below two of them it is again. `Nearest` is a leaf, after its rules. A node that is
    unknown here is walked by its fields.

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
        case Nearest(rules=rules):
            return change(replace(query, rules=tuple(map(below, rules))), asked, path)
    inside: dict[str, Any] = {}
    for field in fields(query):
        value = getattr(query, field.name)
        if isinstance(value, Node):
            inside[field.name] = below(value)  # type: ignore[arg-type]
        elif isinstance(value, tuple) and any(isinstance(one, Node) for one in value):
            inside[field.name] = tuple(map(below, value))
    return replace(query, **inside) if inside else change(query, asked, path)


def looking_among(query: Query, rules: Iterable[Query]) -> Query:
    """The query with the rules also in each `Nearest` that is asked for of documents, so that its
    `k` are not spent on what the rules leave out. What a `Nearest` has already is not added.

    >>> from stair_search.queries import Exists, Nearest
    >>> looking_among(Nearest.of("clip", [1.0]), [Exists("licence")]).rules
    (Exists(field='licence'),)
    """
    rules = list(rules)
    added = [part for rule in rules for part in _taken_apart(rule)]

    def change(leaf: Query, asked: bool, path: str | None) -> Query:
        if not (asked and path is None and isinstance(leaf, Nearest)):
            return leaf
        return replace(leaf, rules=(*leaf.rules, *(one for one in added if one not in leaf.rules)))

    return rewritten(query, change, skip=lambda one: one in rules)


def _taken_apart(rule: Query) -> tuple[Query, ...]:
    """Rules that say together what this one says, each by itself."""
    if type(rule) is not Bool or rule.must or rule.should:
        return (rule,)
    return (*rule.filter, *(Bool(must_not=(one,)) for one in rule.must_not))
