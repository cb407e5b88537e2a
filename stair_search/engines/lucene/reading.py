"""An engine's answer to a search as hits with their reasons."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np

from stair_search.engines.base import Bucket, Hit, Hits
from stair_search.engines.documents import without
from stair_search.engines.lucene.compile import PHOTOS, part_names
from stair_search.engines.parts import Leaf, scoring_parts
from stair_search.queries import (
    BestPhoto,
    Boosted,
    Constant,
    Match,
    MaxOf,
    Nearest,
    Query,
    Reason,
    Search,
    Tokens,
    token_reasons,
)
from stair_search.queries.reasons import factor_reason, max_reasons

# "weight(caption:dog in 12) [PerFieldSimilarity], result of:"
_WEIGHT = re.compile(r"weight\((?:Synonym\()?(.+) in \d+\)")
_FACTOR = "function score, product of"
_NEAR = ("within top", "found vector with")
_NESTED = "Score based on"
_TOKEN = "Linear function on the"
_FILTER = "match on required clause"


def hits(search: Search, answer: Mapping[str, Any], hidden: Collection[str]) -> Hits:
    """hidden: fields that were read for the reasons and are nobody's business."""
    found = answer["hits"]
    names = part_names(search.query) if search.why else None
    # not there where nothing was to be counted
    total = found.get("total", {"value": len(found["hits"]), "relation": "gte"})
    return Hits(
        total["value"],
        total["relation"],
        float(answer["took"]),
        [_hit(search, one, hidden, names) for one in found["hits"]],
        _facets(search, answer),
    )


def _facets(search: Search, answer: Mapping[str, Any]) -> dict[str, list[Bucket]] | None:
    if not search.facets:
        return None
    found = {}
    for place, facet in enumerate(search.facets):
        counted = answer["aggregations"][str(place)]
        buckets = counted.get(PHOTOS, counted)["buckets"]
        # dates and booleans have a better form than the number that they are kept as
        found[facet.field] = [
            Bucket(one.get("key_as_string", one["key"]), one["doc_count"]) for one in buckets
        ]
    return found


def _hit(
    search: Search,
    hit: Mapping[str, Any],
    hidden: Collection[str],
    names: Mapping[Query, str] | None,
) -> Hit:
    source = without(hit.get("_source", {}), hidden)
    reasons = [] if names is None else _why(search.query, hit, hit.get("_source", {}), names)
    photo = None if names is None else _photo(search.query, hit, hidden, names)
    marked = dict(hit.get("highlight", {})) if search.highlight else None
    return Hit(hit["_id"], _float32(hit["_score"] or 0), source, reasons, photo, marked)


def _photo(
    query: Query, hit: Mapping[str, Any], hidden: Collection[str], names: Mapping[Query, str]
) -> dict[str, Any] | None:
    """The photo that has scored most of the best ones that made the score. Others come back, too:
    of a part that the hit does not match as a whole.
    """
    parts = (part for part in _parts(query, hit, names) if isinstance(part, BestPhoto))
    found = [one for part in parts for one in _best(part, hit, names)]
    if not found:
        return None
    best = max(found, key=lambda one: one["_score"])
    path = best["_nested"]["field"]
    photo: dict[str, Any] = without({path: best["_source"]}, hidden)[path]
    return photo


def _best(
    part: BestPhoto, hit: Mapping[str, Any], names: Mapping[Query, str]
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = hit["inner_hits"][names[part]]["hits"]["hits"]
    return found


def _parts(query: Query, hit: Mapping[str, Any], names: Mapping[Query, str]) -> Iterator[Leaf]:
    matched = hit.get("matched_queries", [])

    def may_add(node: Query) -> bool:  # a best photo tells by coming back
        return node not in names or isinstance(node, BestPhoto) or names[node] in matched

    return scoring_parts(query, may_add)


def _why(
    query: Query, hit: Mapping[str, Any], source: Mapping[str, Any], names: Mapping[Query, str]
) -> list[Reason]:
    """source: fields by their whole names."""
    reasons: list[Reason] = []
    fields: set[str] = set()
    factors: list[str] = []
    vectors: list[Nearest] = []
    for part in _parts(query, hit, names):
        match part:
            case Tokens():
                reasons += token_reasons(part, source)
            case MaxOf():
                reasons += max_reasons(part, source)
            case Nearest():
                vectors.append(part)
            case Match(field):
                fields.add(field)
            case Boosted():
                factors.append(part.part)
            case Constant(_, score, name):
                reasons.append(Reason(name, "", _float32(score), None, _float32(score)))
            case BestPhoto(inner, path):
                for best in _best(part, hit, names):
                    whole = {f"{path}.{name}": value for name, value in best["_source"].items()}
                    reasons += _why(inner, best, whole, names)
    if fields or factors or vectors:
        explanation = hit.get("_explanation", {})
        reasons += _explained(explanation, fields, iter(factors), iter(vectors))
    return sorted(reasons, key=lambda reason: -reason.score)


def _explained(
    explanation: Mapping[str, Any],
    fields: Collection[str],
    factors: Iterator[str],
    vectors: Iterator[Nearest],
) -> Iterator[Reason]:
    """What each word of a text field added, each vector and each factor, wherever it stands in the
    explanation.

    A filter adds nothing, and engines do not explain the words in it. factors, vectors: names of
    what is boosted, and vectors that are near, in the order of the query, which is that of the
    explanation.
    """
    said: str = explanation.get("description", "")
    details: list[dict[str, Any]] = explanation.get("details", [])
    if said.startswith((_TOKEN, _FILTER, _NESTED)):
        return  # tokens tell by themselves, and the best photo has an explanation of its own
    if said.startswith(_NEAR) and (near := next(vectors, None)):
        score = _float32(explanation["value"])
        yield Reason(near.part, "", near.boost, score / near.boost, score)
        return
    if said.startswith(_FACTOR):
        name, before = next(factors, "boost"), details[0]["value"]
        yield from factor_reason(name, _float32(before), _float32(explanation["value"]))
        details = details[:1]
    weight = _WEIGHT.match(said)
    if weight is None:
        for detail in details:
            yield from _explained(detail, fields, factors, vectors)
        return
    for field in fields:
        if weight[1].startswith(f"{field}:"):
            word = weight[1].removeprefix(f"{field}:")
            score = _float32(explanation["value"])
            yield Reason(field, word, _boost(explanation), None, score)


def _float32(value: float) -> float:
    """Engines print the shortest decimal that is the same float32."""
    return float(np.float32(value))


def _boost(explanation: Mapping[str, Any]) -> float:
    """The boost within a word's weight, without the factor of LegacyBM25; 1 where none is told."""
    for detail in explanation.get("details", []):
        if detail.get("description") == "boost":
            return _float32(detail["value"])
        if detail.get("description", "").startswith("score("):
            return _boost(detail)
    return 1.0
