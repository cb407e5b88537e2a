"""Values of fields as an inverted index compares them, one rule for all engines."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from stair_search.engines import dates, points
from stair_search.errors import UsageError
from stair_search.mappings import DATE_TYPES, FLOAT_TYPES, STRING_TYPES, WHOLE_TYPES
from stair_search.queries import Range

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)

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
        kept = _float(kind, value)
        if not math.isfinite(kept):
            raise ValueError(f"{value!r} is beyond what a {kind} holds")
        return repr(kept)
    if kind in DATE_TYPES:
        return str(dates.span(value)[0])
    if kind == "geo_point":
        return ",".join(map(repr, points.point(value)))
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def wanted_term(field: str, kind: str, value: str) -> str:
    """The term of a filter. Raises UsageError for what is no value of such a field."""
    try:
        if kind == "boolean" and not value:
            raise ValueError("'' is neither true nor false")
        found = term(kind, value)
        if kind == "geo_point":
            raise ValueError("which is found by its place: ask for a distance or a box")
        # 300.7 finds nothing, though a document with it is kept as 300
        return found if kind not in WHOLE_TYPES or _number(value) == int(found) else value
    except ValueError as error:
        raise UsageError(f"filter {field}={value}: field {field!r} is {kind!r}, {error}") from None


Bound = tuple[Any, bool]
"""A value, and whether it is within."""


def bounds(kind: str, wanted: Range) -> tuple[Bound | None, Bound | None]:
    """The least and the greatest value that is wanted of a field of type `kind`, as `number` or, of
    strings, as their bytes. Raises UsageError for what is no value of such a field.
    """
    least: Bound | None = None
    greatest: Bound | None = None
    for name, given in wanted.bounds.items():
        try:
            value = _bound(kind, given, end=name in ("lte", "gt"))
        except ValueError as error:
            raise UsageError(
                f"range of {wanted.field}, {name} {given}: the field is {kind!r}, {error}"
            ) from None
        if name in ("gte", "gt"):
            least = value, name == "gte"
        else:
            greatest = value, name == "lte"
    return least, greatest


def number(kind: str, term: str) -> float | int | bytes:
    """The term of a value (see there) as what it is compared by."""
    if kind in STRING_TYPES:
        return term.encode()
    return _ordered(float(term)) if kind in FLOAT_TYPES else int(term)


def _ordered(value: float) -> float:
    """-0.0 as an index orders it, before 0.0."""
    return value if value or math.copysign(1, value) > 0 else -5e-324


def _bound(kind: str, given: Any, end: bool) -> Any:
    if kind in DATE_TYPES:
        return dates.span(given)[end]
    if kind in WHOLE_TYPES:
        whole, (least, most) = given if isinstance(given, int) else _number(given), _RANGES[kind]
        if not least <= whole <= most:
            raise ValueError(f"{given!r} is not within {least} and {most}")
        return whole
    if kind in FLOAT_TYPES:
        if not math.isfinite(kept := _float(kind, given)):
            raise ValueError(f"{given!r} is beyond what a {kind} holds")
        return _ordered(kept)
    if kind in STRING_TYPES:
        return str(given).encode()
    raise ValueError("and ranges are of numbers, dates and keywords")


def _float(kind: str, value: Any) -> float:
    with np.errstate(over="ignore"):
        return float(np.float32(_number(value))) if kind == "float" else _number(value)


def _number(value: Any) -> float:
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
        raise ValueError(f"{value!r} is not a number")  # Python reads more than engines do: 1_000
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{value!r} is not a number") from None
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is not a finite number")
    return number


def _whole(value: Any) -> int:
    """Java's way: what is behind the point is cut off."""
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
        raise ValueError(f"{value!r} is not a number")
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return int(_number(value))
