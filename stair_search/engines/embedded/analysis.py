"""A document's fields as the postings that find it: field -> term -> 16-bit value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from stair_search.engines.documents import flat
from stair_search.engines.embedded.bm25 import length_byte
from stair_search.engines.values import term
from stair_search.engines.vectors import as_term
from stair_search.engines.words import words
from stair_search.mappings import KEYWORD, TEXT_TYPES, VECTOR_TYPES
from stair_search.queries.reasons import stored_weights

ALL = ("", "")  # the field and term that every document has
EVERY = ""  # the term of a nested field under which all its photos are
LENGTHS = ""  # the term of a text field under which lengths are kept
Terms = dict[str, int]  # 0 where a field knows only yes or no


def guessed(values: list[Any]) -> dict[str, Any]:
    """The mapping of a field that comes unannounced, by its first value."""
    first = values[0]
    if isinstance(first, bool):
        return {"type": "boolean"}
    if isinstance(first, int):
        return {"type": "long"}
    if isinstance(first, float):
        return {"type": "float"}
    return dict(KEYWORD)


def new_fields(
    fields: Mapping[str, Any], types: Mapping[str, Any], prefix: str = ""
) -> dict[str, dict[str, Any]]:
    """Mappings of the fields that the index has not seen yet. prefix: of their names."""
    unknown = {k: v for k, v in flat(fields, types, prefix).items() if k not in types and v}
    return {name: guessed(values) for name, values in unknown.items()}


def photos_apart(
    fields: Mapping[str, Any], types: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """A document's own fields, and the photos in each nested field. Raises ValueError where a
    nested field holds anything but objects.
    """
    own, photos = {}, {}
    for name, value in fields.items():
        if types.get(name, {}).get("type") != "nested":
            own[name] = value
            continue
        photos[name] = [] if value is None else value
        if not isinstance(photos[name], list) or not all(isinstance(p, dict) for p in photos[name]):
            raise ValueError(f"field {name!r} of type 'nested' holds objects")
    return own, photos


def postings(
    fields: Mapping[str, Any], types: Mapping[str, Mapping[str, Any]], prefix: str = ""
) -> Iterator[tuple[str, Terms, int]]:
    """Each field's name, its terms, and the number of its words if it is text. prefix: of names.

    Raises ValueError for a value that such a field cannot hold.
    """
    for name, values in flat(fields, types, prefix).items():
        for inner in (name, *(f for f in types if f.startswith(f"{name}.") and f not in fields)):
            if inner in types:
                yield inner, *_terms(inner, values, types[inner])


def _terms(name: str, values: list[Any], mapping: Mapping[str, Any]) -> tuple[Terms, int]:
    kind = mapping["type"]
    if kind == "rank_features":
        return _weights(name, values), 0
    if kind in VECTOR_TYPES:
        return ({as_term(name, values, mapping): 0} if values else {}), 0
    if kind == "geo_point" and len(values) == 2 and all(isinstance(v, int | float) for v in values):
        values = [values]  # [lon, lat] is one point
    elif any(isinstance(value, dict | list) for value in values) and kind != "geo_point":
        raise ValueError(f"field {name!r} of type {kind!r} cannot hold an object or lists of lists")
    if kind in TEXT_TYPES:
        found = [word for value in values for word in words(str(value))]
        terms = {word: min(n, 0xFFFF) for word, n in Counter(found).items()}
        return ({LENGTHS: length_byte(len(found))} | terms if found else {}), len(found)
    longest = mapping.get("ignore_above", float("inf"))
    try:
        kept = [term(kind, value) for value in values if len(str(value)) <= longest]
    except ValueError as error:
        raise ValueError(f"field {name!r} of type {kind!r}: {error}") from None
    return dict.fromkeys(kept, 0), 0


def _weights(name: str, values: list[Any]) -> Terms:
    """The upper 16 bits of each weight below its sign: S(w) of `tokens.truncate`."""
    if not all(isinstance(value, dict) for value in values):
        raise ValueError(f"field {name!r} holds token weights, not {values[0]!r}")
    weights = stored_weights(values)
    if len(weights) < sum(map(len, values)):
        raise ValueError(f"field {name!r} names a token twice")
    for token, weight in weights.items():
        if not token or "." in token:
            raise ValueError(
                f"field {name!r}: {token!r} cannot be the name of a token; escape dots"
            )
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            raise ValueError(f"field {name!r}: the weight of {token!r} is {weight!r}, no number")
    with np.errstate(over="ignore"):
        floats = np.array(list(weights.values()), np.float64).astype(np.float32)
    bad = np.flatnonzero(~(np.isfinite(floats) & (floats >= np.finfo(np.float32).tiny)))
    if len(bad):
        token = list(weights)[bad[0]]
        raise ValueError(
            f"field {name!r}: the weight of {token!r} must be positive and finite, "
            f"not {weights[token]}"
        )
    return dict(zip(weights, (floats.view(np.uint32) >> 15).tolist(), strict=True))
