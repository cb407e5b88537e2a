"""How near two vectors are, as engines score it."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stair_search.errors import UsageError
from stair_search.mappings import VECTOR_TYPES

Similarity = Literal["cosine", "dot", "l2"]
_NAMES: dict[str, Similarity] = {
    "cosine": "cosine", "cosinesimil": "cosine", "dot_product": "dot", "l2_norm": "l2", "l2": "l2"
}  # fmt: skip
_NO_DIRECTION = "a vector of zeros, or of numbers beyond float32, has no direction"
_UNIT = 1e-4
"""How far from 1 the length of a unit vector may be, to Elasticsearch."""


def similarity(field: str, mapping: Mapping[str, Any], vector: Sequence[float]) -> Similarity:
    """What a field compares vectors by. Raises UsageError where it cannot be asked with this one.

    mapping: of the field.
    """
    kind = mapping["type"]
    if kind not in VECTOR_TYPES:
        raise UsageError(f"field {field!r} is {kind}, and the nearest are found among vectors")
    if mapping.get("index") is False:
        raise UsageError(f"field {field!r} is not indexed, and only an index finds the nearest")
    element = mapping.get("element_type", mapping.get("data_type", "float"))
    if element not in ("float", "bfloat16"):
        raise UsageError(f"vectors in {field!r} are of {element}, and can be asked of float alone")
    numbers = mapping.get("dims", mapping.get("dimension", len(vector)))
    if numbers != len(vector):
        raise UsageError(f"vectors in {field!r} have {numbers} numbers, not {len(vector)}")
    name = _name(mapping)
    if name not in _NAMES:
        raise UsageError(f"field {field!r} compares by {name}, and not by {', '.join(_NAMES)}")
    if _NAMES[name] == "cosine" and not _has_direction(np.array(vector, np.float32)):
        raise UsageError(f"nearest in {field!r}: {_NO_DIRECTION}")
    length = math.hypot(*vector)
    if _NAMES[name] == "dot" and abs(length - 1) > _UNIT:
        raise UsageError(f"vectors in {field!r} are of length 1, and this one's is {length:.6g}")
    return _NAMES[name]


def _has_direction(vector: NDArray[np.float32]) -> bool:
    """Whether its length is one in float32, which engines compute with."""
    with np.errstate(over="ignore"):
        return bool(np.finfo(np.float32).tiny <= vector @ vector < np.inf)


def _name(mapping: Mapping[str, Any]) -> str:
    if mapping["type"] == "knn_vector":
        method = mapping.get("method", {})
        return str(mapping.get("space_type") or method.get("space_type") or "l2")
    return str(mapping.get("similarity", "cosine"))


def scores(
    by: Similarity, vectors: NDArray[np.float32], asked: NDArray[np.float32]
) -> NDArray[np.float64]:
    """float64 [N] of vectors [N, D] and the one that is asked for [D]."""
    held, wanted = vectors.astype(np.float64), asked.astype(np.float64)
    match by:
        case "l2":
            return np.asarray(1 / (1 + ((held - wanted) ** 2).sum(1)))
        case "cosine":
            held = held / np.linalg.norm(held, axis=1, keepdims=True)
            wanted = wanted / np.linalg.norm(wanted)
    return np.asarray((1 + held @ wanted) / 2)


def as_term(field: str, values: Sequence[Any], mapping: Mapping[str, Any]) -> str:
    """A document's vector as the term that the embedded engine keeps. Raises ValueError for what
    such a field refuses.
    """
    try:
        vector = np.array(values, "<f4")
    except (TypeError, ValueError):
        raise ValueError(f"field {field!r} holds a vector, not {values!r:.60}") from None
    numbers = mapping.get("dims", mapping.get("dimension", len(values)))
    if vector.ndim != 1 or len(vector) != numbers or not np.isfinite(vector).all():
        raise ValueError(f"field {field!r} holds a vector of {numbers} finite numbers")
    if _NAMES.get(_name(mapping)) == "cosine" and not _has_direction(vector):
        raise ValueError(f"field {field!r}: {_NO_DIRECTION}")
    return base64.b64encode(vector.tobytes()).decode()


def of_terms(terms: Sequence[str]) -> NDArray[np.float32]:
    """Float32 [N, D], the reverse of `as_term`. Raises ValueError where they are none."""
    if len({len(term) for term in terms}) > 1:
        raise ValueError("vectors of more than one length")
    numbers = np.frombuffer(b"".join(map(binascii.a2b_base64, terms)), "<f4")
    return numbers.reshape(len(terms), -1)
