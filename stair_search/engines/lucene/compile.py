"""The query tree as the body of a search request, for all engines built on Lucene.

Plain dicts in, plain dicts out; nothing is sent.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from stair_search.engines.lucene.target import ANY, Target
from stair_search.engines.parts import nested_above, nodes, outside
from stair_search.engines.values import bounds
from stair_search.errors import UsageError
from stair_search.fields import model_field
from stair_search.queries import (
    All,
    BestPhoto,
    Bool,
    Boosted,
    Constant,
    Decay,
    Exists,
    Facet,
    FieldValue,
    GeoBox,
    GeoDistance,
    HasToken,
    Ids,
    Match,
    MaxOf,
    Nearest,
    Query,
    Range,
    Raw,
    Search,
    Term,
    Terms,
    Tokens,
    When,
)
from stair_search.queries.tree import MOST_VALUE
from stair_search.vocabulary import escape

Body = dict[str, Any]
MOST_MARKED = 1_000_000  # index.highlight.max_analyzed_offset
PHOTOS = "photos"
"""The name of an aggregation within a nested one."""
_YEAR_MINUS_9999 = -377_705_116_800_000


def search_body(search: Search, hidden: Collection[str] = (), target: Target = ANY) -> Body:
    """The body of `POST /INDEX/_search`.

    hidden: fields of tokens and vectors, which only the reasons need back.
    """
    query, why = search.query, search.why
    held = {node.field for node in nodes(query) if isinstance(node, Tokens | HasToken)}
    fields = held | set(hidden)
    if why:
        # of several photos only the best is needed, which comes by itself
        fields -= {node.field for node in outside(query) if isinstance(node, Tokens)}
    body: Body = {
        "size": search.size,
        "query": compiled(query, target, names=part_names(query) if why else {}),
    }
    if search.start:
        body["from"] = search.start
    if search.min_score is not None:
        body["min_score"] = search.min_score
    if search.count is not None:
        body["track_total_hits"] = search.count
    if fields:
        body["_source"] = {"excludes": sorted(fields)}
    if why and target.hides_vectors:
        body["_source"] = {**body.get("_source", {}), "exclude_vectors": False}
    if why and _to_explain(query):
        body["explain"] = True
    if search.facets:
        body["aggs"] = {str(n): _facet(facet, target) for n, facet in enumerate(search.facets)}
    if search.highlight:
        whole = {"number_of_fragments": 0, "encoder": "html"}
        body["highlight"] = {
            **whole,
            **_longest(target),
            "fields": {field: {} for field in search.highlight},
        }
    return body


def _longest(target: Target) -> Body:
    """How far into a text words are marked: beyond it an engine would refuse the whole search."""
    if target.product == "elasticsearch":
        return {"max_analyzed_offset": MOST_MARKED} if target.number >= (7, 12) else {}
    return {"max_analyzer_offset": MOST_MARKED} if target.number >= (2, 2) else {}


def _facet(facet: Facet, target: Target) -> Body:
    order = [{"_count": "desc"}, {"_key": "asc"}]
    # a shard's own best are not those of all; by default it tells of half as many again
    each = min(max(1_000, 10 * facet.size), 65_535)
    wanted = {"field": facet.field, "size": facet.size, "shard_size": each, "order": order}
    terms: Body = {"terms": wanted}
    path = nested_above(facet.field, target.types)
    return {"nested": {"path": path}, "aggs": {PHOTOS: terms}} if path else terms


def _to_explain(query: Query) -> bool:
    """Whether to ask for an explanation: the engine alone knows what a word of a text adds, how
    near a vector is, and by what a score was boosted.
    """
    return any(isinstance(node, Match | Boosted | Nearest) for node in outside(query))


def compiled(
    query: Query,
    target: Target = ANY,
    names: Mapping[Query, str] | None = None,
) -> Body:
    """The query itself. names: parts whose `_name` tells whether a hit matches them, and best
    photos that come back as inner hits of this name.

    >>> compiled(Term("split", "test"))
    {'bool': {'filter': [{'term': {'split': 'test'}}]}}
    """
    return _Compiler(target, names or {}).scored(query)


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
            case Boosted(inner):
                below = (inner,)
        for part in below:
            if isinstance(part, Bool | Constant | Boosted | Nearest):
                parts.append(part)
            walk(part)

    walk(query)
    return {part: f"part {number}" for number, part in enumerate(dict.fromkeys(parts))}


class _Compiler:
    def __init__(self, target: Target, names: Mapping[Query, str]) -> None:
        self._target, self._names = target, names
        self._shown: set[Query] = set()

    def scored(self, query: Query) -> Body:
        """A clause whose score counts."""
        match query:
            case Tokens() if not query.asked:
                return {"match_none": {}}
            case Tokens():
                return {
                    "bool": {
                        "filter": [_of_model(query)],
                        "should": self._held(query.field, query.asked),
                        "minimum_should_match": 1,
                    }
                }
            case MaxOf(parts):
                return {"dis_max": {"queries": [self.scored(part) for part in parts]}}
            case Nearest():
                return self._named(query, {"bool": {"must": [self._nearest(query)]}})
            case Match(field, text, boost, every):
                divided: Body = {
                    "query": text,
                    "boost": number(boost / self._target.divisor(field)),
                }
                return {"match": {field: divided | ({"operator": "and"} if every else {})}}
            case Boosted(inner, by):
                scored: Body = {"query": self.scored(inner), "functions": self._functions(by)}
                return self._named(query, {"function_score": scored | {"boost_mode": "multiply"}})
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
            case HasToken(token, _, minimum, field):
                (held,) = self._held(field, [(token, 1.0)])
                if minimum is None:
                    return {"bool": {"filter": [_of_model(query), held]}}
                # min_score holds in filters too, where nothing is scored
                least = {"query": held, "min_score": number(minimum)}
                return {"bool": {"filter": [_of_model(query), {"function_score": least}]}}
            case Term(field, value) if self._target.is_date(field):
                return self.unscored(Range(field, gte=value, lte=value))
            case Terms(field, values) if self._target.is_date(field):
                each = tuple(Term(field, value) for value in values)
                return self.unscored(Bool(should=each)) if each else {"match_none": {}}
            case Term(field, value):
                return {"term": {field: value}}
            case Terms(field, values):
                return {"terms": {field: list(values)}}
            case Range(field):
                return {"range": {field: self._bounds(query)}}
            case Exists(field):
                return {"exists": {"field": field}}
            case GeoDistance(field, lat, lon, metres):
                return {
                    "geo_distance": {"distance": f"{metres:.15g}m", field: {"lat": lat, "lon": lon}}
                }
            case GeoBox(field, north, west, south, east):
                corners = {
                    "top_left": {"lat": north, "lon": west},
                    "bottom_right": {"lat": south, "lon": east},
                }
                return {"geo_bounding_box": {field: corners}}
            case Ids(values):
                return {"ids": {"values": [one for one in values if one]}}  # "" is refused
            case All():
                return {"match_all": {}}
            case Constant(inner) | Boosted(inner):
                return self.unscored(inner)
            case Bool():
                return self._bool(query)
            case BestPhoto(inner, path):
                nested = {"path": path, "query": self.unscored(inner), "score_mode": "none"}
                return {"nested": nested}
            case Raw(text):
                raw: Body = json.loads(text)
                return raw
            case Tokens() | MaxOf() | Match():
                return self.scored(query)
            case Nearest():
                return self._nearest(query)

    def _held(self, field: str, tokens: Sequence[tuple[str, float]]) -> list[Body]:
        """Clauses that score the tokens of a document, one for each or one for all."""
        if not self._target.neural_sparse and self._target.kind(field) != "sparse_vector":
            return [_feature(field, token, weight) for token, weight in tokens]
        vector = {escape(token): number(weight) for token, weight in tokens}
        if self._target.neural_sparse:
            return [{"neural_sparse": {field: {"query_tokens": vector}}}]
        # not pruned: by default the engine leaves out tokens that many documents hold
        return [{"sparse_vector": {"field": field, "query_vector": vector, "prune": False}}]

    def _nearest(self, query: Nearest) -> Body:
        vector = [number(value) for value in query.vector]
        wanted: Body = {"k": query.k, "boost": number(query.boost)}
        if query.rules:
            wanted["filter"] = {"bool": {"filter": [self.unscored(rule) for rule in query.rules]}}
        if self._target.product != "elasticsearch":
            return {"knn": {query.field: {"vector": vector, **wanted}}}
        if self._target.number < (8, 12):
            raise UsageError(
                f"nearest in {query.field}: Elasticsearch finds vectors within a query from 8.12 on"
            )
        if self._target.number < (8, 16):  # which finds as many as are candidates
            wanted["num_candidates"] = wanted.pop("k")
        else:  # by default a half more than k, with which one in a few nearest is missed
            wanted["num_candidates"] = min(max(100, 2 * query.k), 10_000)
        return {"knn": {"field": query.field, "query_vector": vector, **wanted}}

    def _bool(self, query: Bool) -> Body:
        must, should, filters, must_not = query.must, query.should, query.filter, query.must_not
        clauses: Body = {}
        if must:
            clauses["must"] = [self.scored(part) for part in must]
        if should:
            clauses["should"] = [self.scored(part) for part in should]
            # said always: beside a filter the engines' default is 0
            clauses["minimum_should_match"] = query.minimum
        if filters or not (must or should):
            # without anything to match, `bool` would be every document at score 1
            clauses["filter"] = [self.unscored(part) for part in filters or (All(),)]
        if must_not:
            clauses["must_not"] = [self.unscored(part) for part in must_not]
        return {"bool": clauses}

    def _bounds(self, query: Range) -> Body:
        """Of dates as `Range` means them: to an engine "2026-11" ends with November the 1st."""
        if self._target.is_date(query.field):
            wanted = bounds("date", query)
            names = [name for name in ("gte", "gt", "lte", "lt") if name in query.bounds]
            values = [_moment(bound[0]) for bound in wanted if bound]
            texts = any(isinstance(value, str) for value in values)
            kind = "epoch_millis||strict_date_optional_time" if texts else "epoch_millis"
            return {**dict(zip(names, values, strict=True)), "format": kind}
        return dict(query.bounds)

    def _functions(self, by: FieldValue | Decay | When) -> list[Body]:
        """Whose product is the factor; 1 for a document that no function is for."""
        match by:
            case When(query, factor):
                return [{"filter": self.unscored(query), "weight": number(factor)}]
            case Decay(field, origin, scale, offset, decay, curve):
                unit = "ms" if isinstance(origin, str) else ""
                if isinstance(origin, str) and origin.startswith("-"):  # milliseconds
                    origin = _moment(int(origin))
                decaying = {
                    "origin": origin,
                    "scale": f"{scale:.0f}{unit}" if unit else scale,
                    "offset": f"{offset:.0f}{unit}" if unit else offset,
                    "decay": decay,
                }
                return [{curve: {field: decaying}}]
            case FieldValue(field, factor, modifier):
                # an engine refuses a bound that the field's type cannot have
                large = self._target.kind(field) in ("float", "double")
                most = {"lte": MOST_VALUE} if large else {}
                sound = {
                    "bool": {
                        "filter": [{"range": {field: {"gte": 0, **most}}}],
                        "must_not": [{"range": {field: {"lt": 0}}}],
                    }
                }
                value = {"field": field, "factor": number(factor), "modifier": modifier}
                missing = {"bool": {"must_not": [sound]}}
                return [
                    {"filter": sound, "field_value_factor": value},
                    {"filter": missing, "weight": abs(number(by.of(None)))},  # -0.0 is refused
                ]

    def _inner_hits(self, query: BestPhoto) -> Body:
        """Has the best photo come back; once, where the same stands twice."""
        if query not in self._names or query in self._shown:
            return {}
        self._shown.add(query)
        hits: Body = {"name": self._names[query], "size": 1}
        if self._target.hides_vectors:
            hits["_source"] = {"exclude_vectors": False}
        return {"inner_hits": hits | ({"explain": True} if _to_explain(query.query) else {})}

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


def _moment(milliseconds: int) -> int | str:
    """A moment as every engine reads it: before 1970 Elasticsearch 7 takes milliseconds of whole
    seconds alone.

    >>> _moment(-2000), _moment(-1)
    (-2000, '1969-12-31T23:59:59.999Z')
    """
    if milliseconds % 1000 == 0 or not _YEAR_MINUS_9999 <= milliseconds < 0:
        return milliseconds
    return f"{np.datetime64(milliseconds, 'ms')}Z"


def _feature(field: str, token: str, boost: float) -> Body:
    # `linear` always: the default function is saturation, which is no dot product
    feature: Body = {"field": f"{field}.{escape(token)}", "linear": {}}
    return {"rank_feature": feature if boost == 1 else {**feature, "boost": number(boost)}}


def _of_model(query: Tokens | HasToken) -> Body:
    return {"term": {model_field(query.field): query.model}}
