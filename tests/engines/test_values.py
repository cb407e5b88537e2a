"""Dates, points and numbers are read as engines read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from stair_search.engines import dates, points
from stair_search.engines.documents import check_id
from stair_search.engines.values import bounds, term
from stair_search.errors import UsageError
from stair_search.queries import Range

DAY = 86_400_000


def moment(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp() * 1000)  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2026", moment(2026, 1, 1), moment(2027, 1, 1) - 1),
        ("2024-02", moment(2024, 2, 1), moment(2024, 3, 1) - 1),
        ("2026-11-22", moment(2026, 11, 22), moment(2026, 11, 23) - 1),
        ("2026-11-22T12", moment(2026, 11, 22, 12), moment(2026, 11, 22, 13) - 1),
        ("2026-11-22T12:30+02:00", moment(2026, 11, 22, 10, 30), moment(2026, 11, 22, 10, 31) - 1),
        ("2026-11-22T12:30:05,5Z", *[moment(2026, 11, 22, 12, 30, 5) + 500] * 2),
        ("9999-12-31T23:59:59.999-05:00", *[253402300799999 + 5 * 3_600_000] * 2),
        ("0001-01-01T00:00:00.000+05:00", *[-62135596800000 - 5 * 3_600_000] * 2),
        (-5, -5, -5),
        ("20261122", 20261122, 20261122),  # digits alone are milliseconds but for four: a year
    ],
)
def test_a_date_is_a_span(text: object, first: int, last: int) -> None:
    assert dates.span(text) == (first, last)


@pytest.mark.parametrize("text", ["2026-13", "2026-02-30", "yesterday", "", True, "2026-1-1", 1.5])
def test_what_is_no_date(text: object) -> None:
    with pytest.raises(ValueError, match="no date"):
        dates.span(text)


def test_points() -> None:
    forms = ({"lat": 48.1, "lon": 11.5}, "48.1, 11.5", [11.5, 48.1])
    assert len({points.point(form) for form in forms}) == 1
    (far,) = points.metres(48.1372, 11.5756, [52.52], [13.405])  # Munich to Berlin
    assert 503_000 < far < 505_000
    for bad in ("91,0", "0,181", "x,y", "1,2,3", [1], {"lat": 1}, None):
        with pytest.raises(ValueError, match=r"no point|not on the earth"):
            points.point(bad)


@pytest.mark.parametrize("value", ["1_000", "１０００", "0x10", "nan", "", "1,5", 10**400])
@pytest.mark.parametrize("kind", ["integer", "double"])
def test_what_only_python_reads_as_a_number(kind: str, value: object) -> None:
    with pytest.raises(ValueError, match=r"not a|not within"):
        term(kind, value)


@pytest.mark.parametrize(
    ("kind", "bound"),
    [("integer", 1e30), ("float", 1e39), ("boolean", "true"), ("text", "a"), ("date", "soon")],
)
def test_a_bound_that_a_field_cannot_have(kind: str, bound: str | float) -> None:
    with pytest.raises(UsageError, match=re.escape(f"range of a, lte {bound}")):
        bounds(kind, Range("a", lte=bound))


def test_an_id_with_a_nul_byte() -> None:
    with pytest.raises(ValueError, match="NUL byte"):
        check_id("a\0b")
