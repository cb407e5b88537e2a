"""The query tree as the body of a search request, for all engines built on Lucene.

Plain dicts in, plain dicts out; nothing is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from stair_search.engines.parts import nodes, outside
from stair_search.fields import model_field
from stair_search.queries import (
    All,
    BestPhoto,
    Bool,
    Constant,
    HasToken,
    Ids,
    Match,
    Query,
    Term,
    Tokens,
)
from stair_search.vocabulary import escape

Body = dict[str, Any]
Divisor = Callable[[str], float]


def search_body(
    query: Query,
    size: int,
    *,
    why: bool = True,
    hidden: Collection[str] | None = None,
    divisor: Divisor = lambda field: 1.0,
) -> Body:
    """The body of `POST /INDEX/_search`.

    hidden: token fields, which only `why` needs back. divisor: text field -> what its scores are
    too large by (k1 + 1 where the index scores with LegacyBM25).
    """
    fields = {node.field for node in nodes(query) if isinstance(node, Tokens | HasToken)}
    fields |= set(hidden or ())
    if why:
        # of several photos only the best is needed, which comes by itself
        fields -= {node.field for node in outside(query) if isinstance(node, Tokens)}
    body: Body = {
        "size": size,
        "query": compiled(query, divisor, names=part_names(query) if why else {}),
    }
    if fields:
        body["_source"] = {"excludes": sorted(fields)}
    if why and _has_text(query):
        body["explain"] = True
    return body


def _has_text(query: Query) -> bool:
    """Whether to ask for an explanation: the engine alone knows what a word of a text adds."""
    return any(isinstance(node, Match) for node in outside(query))


def compiled(
    query: Query,
    divisor: Divisor = lambda field: 1.0,
    names: Mapping[Query, str] | None = None,
) -> Body:
    """The query itself. names: parts whose `_name` tells whether a hit matches them, and best
    photos that come back as inner hits of this name.

    >>> compiled(Term("split", "test"))
    {'bool': {'filter': [{'term': {'split': 'test'}}]}}
    """
    return _Compiler(divisor, names or {}).scored(query)


def part_names(query: Query) -> dict[Query, str]:
    """Names for scoring parts of which a hit may match some and not others.

    See `parts.scoring_parts`. Tokens and words tell by themselves whether they matched. Best photos
    have one too, wherever they score.
    """
    parts: list[Query] = []

    def walk(node: Query) -> None:
        below: tuple[Query, ...] = ()
        match node:
            case Bool():
                below = (*node.must, *node.should)
            case BestPhoto(inner):
                parts.append(node)
                below = (inner,)
        for part in below:
            if isinstance(part, Bool | Constant):
                parts.append(part)
            walk(part)

    walk(query)
    return {part: f"part {number}" for number, part in enumerate(dict.fromkeys(parts))}


class _Compiler:
    def __init__(self, divisor: Divisor, names: Mapping[Query, str]) -> None:
        self._divisor, self._names = divisor, names
        self._shown: set[Query] = set()

    def scored(self, query: Query) -> Body:
        """A clause whose score counts."""
        match query:
            case Tokens():
                return {
                    "bool": {
                        "filter": [_of_model(query)],
                        "should": [_feature(query.field, t, w) for t, w in query.weights],
                        "minimum_should_match": 1,
                    }
                }
            case Match(field, text, boost):
                divided = boost / self._divisor(field)
                return {"match": {field: {"query": text, "boost": number(divided)}}}
            case Constant(inner, score):
                return self._named(
                    query,
                    {"constant_score": {"filter": self.unscored(inner), "boost": number(score)}},
                )
            case Bool():
                return self._named(query, self._bool(query))
            case BestPhoto(inner, path):
                nested = {"path": path, "query": self.scored(inner), "score_mode": "max"}
                return {"nested": nested | self._inner_hits(query)}
            case _:
                # alone in a filter it scores 0; elsewhere an engine would count 1 or an idf
                return {"bool": {"filter": [self.unscored(query)]}}

    def unscored(self, query: Query) -> Body:
        """A clause in `filter` or `must_not`, where only the match counts."""
        match query:
            case HasToken(token, _, None, field):
                return {"bool": {"filter": [_of_model(query), _feature(field, token, 1.0)]}}
            case HasToken(token, _, float(minimum), field):
                # min_score holds in filters too, where nothing is scored
                least = {"query": _feature(field, token, 1.0), "min_score": number(minimum)}
                return {"bool": {"filter": [_of_model(query), {"function_score": least}]}}
            case Term(field, value):
                return {"term": {field: value}}
            case Ids(values):
                return {"ids": {"values": list(values)}}
            case All():
                return {"match_all": {}}
            case Constant(inner):
                return self.unscored(inner)
            case Bool():
                return self._bool(query)
            case BestPhoto(inner, path):
                nested = {"path": path, "query": self.unscored(inner), "score_mode": "none"}
                return {"nested": nested}
            case _:
                return self.scored(query)

    def _bool(self, query: Bool) -> Body:
        must, should, filters, must_not = query.must, query.should, query.filter, query.must_not
        clauses: Body = {}
        if must:
            clauses["must"] = [self.scored(part) for part in must]
        if should:
            clauses["should"] = [self.scored(part) for part in should]
            clauses["minimum_should_match"] = 1  # beside a filter the engines' default is 0
        if filters or not (must or should):
            # without anything to match, `bool` would be every document at score 1
            clauses["filter"] = [self.unscored(part) for part in filters or (All(),)]
        if must_not:
            clauses["must_not"] = [self.unscored(part) for part in must_not]
        return {"bool": clauses}

    def _inner_hits(self, query: BestPhoto) -> Body:
        """Has the best photo come back; once, where the same stands twice."""
        if query not in self._names or query in self._shown:
            return {}
        self._shown.add(query)
        hits: Body = {"name": self._names[query], "size": 1}
        return {"inner_hits": hits | ({"explain": True} if _has_text(query.query) else {})}

    def _named(self, query: Query, body: Body) -> Body:
        if query not in self._names:
            return body
        ((kind, inner),) = body.items()
        return {kind: {**inner, "_name": self._names[query]}}


def number(value: float) -> float:
    """The shortest decimal that is the same float32: what an engine reads and we compute with.

    >>> number(1 / 3)
    0.33333334
    """
    return float(str(np.float32(value)))


def _feature(field: str, token: str, boost: float) -> Body:
    # `linear` always: the default function is saturation, which is no dot product
    feature: Body = {"field": f"{field}.{escape(token)}", "linear": {}}
    return {"rank_feature": feature if boost == 1 else {**feature, "boost": number(boost)}}


def _of_model(query: Tokens | HasToken) -> Body:
    return {"term": {model_field(query.field): query.model}}
