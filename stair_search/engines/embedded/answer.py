"""What comes back of a search beside ids and scores: reasons, facets, marked words."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np

from stair_search.engines.base import Bucket, Hit
from stair_search.engines.documents import flat, without
from stair_search.engines.embedded.evaluate import Evaluation, photo_at
from stair_search.engines.values import number
from stair_search.engines.words import marked, words
from stair_search.mappings import DATE_TYPES, STRING_TYPES, types_of
from stair_search.queries import Bool, Boosted, Constant, Match, Query, Search


def hit(
    evaluation: Evaluation,
    search: Search,
    found: tuple[int, float],
    id: str,
    source: Mapping[str, Any],
    hidden: Collection[str],
) -> Hit:
    """found: number and score. hidden: fields that are nobody's business."""
    at, score = found
    reasons = evaluation.why(search.query, at, source) if search.why else []
    shown = without(source, hidden)
    best = evaluation.photo(search.query, at) if search.why else None
    highlights = dict(_highlights(search, source)) if search.highlight else None
    return Hit(id, score, shown, reasons, best and photo_at(shown, *best), highlights)


def facets(
    evaluation: Evaluation, search: Search, mapping: Mapping[str, Any]
) -> dict[str, list[Bucket]] | None:
    if not search.facets:
        return None
    types, found = types_of(mapping["properties"]), {}
    for facet in search.facets:
        kind = types[facet.field]["type"]
        counts = evaluation.counted(search.query, search.min_score, facet.field)
        # of equals the least value first, as clusters have them
        terms = sorted(counts, key=lambda term: (-counts[term], _order(kind, term)))
        found[facet.field] = [Bucket(_value(kind, t), counts[t]) for t in terms[: facet.size]]
    return found


def _order(kind: str, term: str) -> Any:
    return term if kind == "boolean" else number(kind, term)


def _value(kind: str, term: str) -> str | int | float:
    if kind in STRING_TYPES or kind == "boolean":
        return term
    value = number(kind, term)
    if kind not in DATE_TYPES:
        return value if isinstance(value, int | float) else value.decode()
    moment = f"{np.datetime64(int(value), 'ms')}Z"
    years_of_four = moment.startswith("-") or len(moment) == len("2026-11-22T00:00:00.000Z")
    return moment if years_of_four else f"+{moment}"


def _found_by(query: Query) -> Iterator[Match]:
    """The clauses of text by which documents are found."""
    match query:
        case Match():
            yield query
        case Bool():
            for part in (*query.must, *query.should, *query.filter):
                yield from _found_by(part)
        case Boosted(inner) | Constant(inner):
            yield from _found_by(inner)


def _highlights(search: Search, source: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    values = flat(source, search.highlight)
    for field in search.highlight:
        asked = {
            word
            for node in _found_by(search.query)
            if node.field == field
            for word in words(node.text)
        }
        found = [marked(str(value), asked) for value in values.get(field, ())]
        if any(found):
            yield field, [text for text in found if text]
