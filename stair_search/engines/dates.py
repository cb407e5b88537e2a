"""Dates as engines read them: `strict_date_optional_time || epoch_millis`, UTC where no zone is
said.
"""

from __future__ import annotations

import calendar
import re
from datetime import UTC, datetime, timedelta
from typing import Any

_DATE = re.compile(
    r"(\d{4})(?:-(\d{2})(?:-(\d{2})(?:T(?:(\d{2})(?::(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?)?"
    r"(Z|[+-]\d{2}(?::?\d{2})?)?)?)?)?)?",
    re.ASCII,
)
_MILLISECONDS = re.compile(r"-?\d{1,18}", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def span(value: Any) -> tuple[int, int]:
    """The first and the last millisecond since 1970 that a date means. Raises ValueError.

    >>> span("1970-01-02"), span("1970-01-01T00:00:01Z"), span(15000)
    ((86400000, 172799999), (1000, 1999), (15000, 15000))
    """
    text = str(value)
    if found := _DATE.fullmatch(text):
        return _span(text, found)
    if isinstance(value, bool) or not _MILLISECONDS.fullmatch(text):
        raise ValueError(f"{value!r} is no date, like 2026-11-22 or 2026-11-22T12:30:00Z")
    return int(text), int(text)


def _span(text: str, found: re.Match[str]) -> tuple[int, int]:
    year, month, day, hour, minute, second = (int(n) if n else None for n in found.groups()[:6])
    fraction, zone = found[7], found[8] or "Z"
    millisecond = int(f"{fraction:0<3}"[:3]) if fraction else None
    try:
        first = datetime(
            year or 0, month or 1, day or 1, hour or 0, minute or 0, second or 0, tzinfo=UTC
        )
        last_month = month or 12
        last_day = day or calendar.monthrange(year or 0, last_month)[1]
        last = datetime(
            year or 0,
            last_month,
            last_day,
            23 if hour is None else hour,
            59 if minute is None else minute,
            59 if second is None else second,
            tzinfo=UTC,
        )
        east = _offset(zone)
    except ValueError:
        raise ValueError(f"{text!r} is no date of the calendar") from None
    return (
        _milliseconds(first) - east + (millisecond or 0),
        _milliseconds(last) - east + (999 if millisecond is None else millisecond),
    )


def _offset(zone: str) -> int:
    """Milliseconds east of Greenwich."""
    if zone == "Z":
        return 0
    digits = zone[1:].replace(":", "")
    hours, minutes = int(digits[:2]), int(digits[2:] or 0)
    if hours > 18 or minutes > 59:
        raise ValueError(zone)
    east = (hours * 60 + minutes) * 60_000
    return east if zone[0] == "+" else -east


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)
