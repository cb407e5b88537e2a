"""Values of fields as an inverted index compares them, one rule for all engines."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from stair_search.errors import UsageError
from stair_search.mappings import FLOAT_TYPES, WHOLE_TYPES

_RANGES = {
    "byte": (-(2**7), 2**7 - 1),
    "short": (-(2**15), 2**15 - 1),
    "integer": (-(2**31), 2**31 - 1),
    "long": (-(2**63), 2**63 - 1),
    "unsigned_long": (0, 2**64 - 1),
}


def term(kind: str, value: Any) -> str:
    """A value of a field of type `kind` as the term under which documents are found by it.

    Raises ValueError for what such a field refuses.

    >>> term("integer", "300"), term("integer", 300.7), term("float", 2), term("keyword", 2)
    ('300', '300', '2.0', '2')
    """
    if kind == "boolean":
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if text not in {"true", "false", ""}:
            raise ValueError(f"{value!r} is neither true nor false")
        return text or "false"
    if kind in WHOLE_TYPES:
        whole, (least, most) = _whole(value), _RANGES[kind]
        if not least <= whole <= most:
            raise ValueError(f"{value!r} is not within {least} and {most}")
        return str(whole)
    if kind in FLOAT_TYPES:
        number = _number(value)
        with np.errstate(over="ignore"):
            kept = float(np.float32(number)) if kind == "float" else number
        if not math.isfinite(kept):
            raise ValueError(f"{value!r} is beyond what a {kind} holds")
        return repr(kept)
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def wanted_term(field: str, kind: str, value: str) -> str:
    """The term of a filter. Raises UsageError for what is no value of such a field."""
    try:
        if kind == "boolean" and not value:
            raise ValueError("'' is neither true nor false")
        found = term(kind, value)
        # 300.7 finds nothing, though a document with it is kept as 300
        return found if kind not in WHOLE_TYPES or _number(value) == int(found) else value
    except ValueError as error:
        raise UsageError(f"filter {field}={value}: field {field!r} is {kind!r}, {error}") from None


def _number(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{value!r} is not a number") from None
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is not a finite number")
    return number


def _whole(value: Any) -> int:
    """Java's way: what is behind the point is cut off."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return int(_number(value))
