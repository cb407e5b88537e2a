"""Reading and changing the `postings` table of one index."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stair_search.engines.embedded.database import Damaged

CHUNK = 4096  # document numbers in a row; an offset fits 16 bits
_PLACES = 500  # values in one IN (...)
_GONE = -1

Numbers = NDArray[np.int64]
Values = NDArray[np.uint16]


class Holders(NamedTuple):
    """Documents that hold a term: numbers int64 [n], rising; values uint16 [n]."""

    numbers: Numbers
    values: Values


NOBODY = Holders(np.empty(0, np.int64), np.empty(0, np.uint16))


def read(
    db: sqlite3.Connection, owner: int, field: str, terms: Sequence[str] | None
) -> dict[str, Holders]:
    """The holders of each term that has any; None: of all the terms of the field."""
    found: defaultdict[str, list[Holders]] = defaultdict(list)
    for some in [[]] if terms is None else _batches(terms):
        among = "" if terms is None else f"AND term IN ({_places(some)})"
        rows = db.execute(
            "SELECT term, chunk, count, offsets, vals FROM postings "
            f"WHERE owner = ? AND field = ? {among} ORDER BY term, chunk",
            (owner, field, *some),
        )
        for term, chunk, count, offsets, values in rows:
            held = _decoded(count, offsets, values)
            if not isinstance(chunk, int) or chunk < 0:
                raise Damaged("a row of postings has no place")
            found[term].append(Holders(held.numbers + chunk * CHUNK, held.values))
    return {term: _joined(parts) for term, parts in found.items()}


def counts(db: sqlite3.Connection, owner: int, field: str) -> dict[str, int]:
    """Term -> number of documents, for every term of a field."""
    rows = db.execute(
        "SELECT term, sum(count) FROM postings WHERE owner = ? AND field = ? GROUP BY term",
        (owner, field),
    )
    return dict(rows.fetchall())


class Changes:
    """Changes to postings, gathered over a request and applied row by row."""

    def __init__(self) -> None:
        self._rows: defaultdict[tuple[str, int], dict[str, dict[int, int]]]
        self._rows = defaultdict(dict)

    def put(self, field: str, term: str, number: int, value: int) -> None:
        chunk, offset = divmod(number, CHUNK)
        self._rows[field, chunk].setdefault(term, {})[offset] = value

    def drop(self, field: str, term: str, number: int) -> None:
        self.put(field, term, number, _GONE)

    def apply(self, db: sqlite3.Connection, owner: int) -> None:
        for (field, chunk), terms in self._rows.items():
            for some in _batches(list(terms)):
                rows = db.execute(
                    "SELECT term, count, offsets, vals FROM postings WHERE owner = ? "
                    f"AND field = ? AND chunk = ? AND term IN ({_places(some)})",
                    (owner, field, chunk, *some),
                )
                old = {term: _decoded(*row) for term, *row in rows}
                new = {t: _changed(old.get(t, NOBODY), terms[t]) for t in some}
                db.executemany(
                    "REPLACE INTO postings VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (
                        (owner, field, t, chunk, len(held.numbers), *_encoded(held))
                        for t, held in new.items()
                        if len(held.numbers)
                    ),
                )
                db.executemany(
                    "DELETE FROM postings WHERE owner = ? AND field = ? AND term = ? AND chunk = ?",
                    ((owner, field, t, chunk) for t, h in new.items() if not len(h.numbers)),
                )


def _changed(held: Holders, changes: dict[int, int]) -> Holders:
    put = [(offset, value) for offset, value in sorted(changes.items()) if value != _GONE]
    numbers = np.array([offset for offset, _ in put], np.int64)
    values = np.array([value for _, value in put], np.uint16)
    if not len(held.numbers):
        return Holders(numbers, values)
    behind = min(changes) > held.numbers[-1]  # new documents, as most are
    if not behind:
        stay = ~np.isin(held.numbers, list(changes))
        held = Holders(held.numbers[stay], held.values[stay])
    numbers = np.concatenate([held.numbers, numbers])
    values = np.concatenate([held.values, values])
    if behind:
        return Holders(numbers, values)
    order = np.argsort(numbers)
    return Holders(numbers[order], values[order])


def _encoded(held: Holders) -> tuple[bytes, bytes | None]:
    offsets = held.numbers.astype("<u2").tobytes()
    if not held.values.any():
        return offsets, None
    return offsets, held.values.astype("<u2").tobytes()


def _decoded(count: object, offsets: object, values: object) -> Holders:
    """A row as arrays. A damaged one is refused: it must not read beyond its documents."""
    if not (isinstance(count, int) and isinstance(offsets, bytes) and len(offsets) == 2 * count):
        raise Damaged("a row of postings is cut")
    numbers = np.frombuffer(offsets, "<u2").astype(np.int64)
    if count and (numbers[-1] >= CHUNK or (np.diff(numbers) <= 0).any()):
        raise Damaged("a row of postings is out of order")
    if values is None:
        return Holders(numbers, np.zeros(count, np.uint16))
    if not (isinstance(values, bytes) and len(values) == 2 * count):
        raise Damaged("a row of postings has lost values")
    return Holders(numbers, np.frombuffer(values, "<u2"))


def _joined(parts: list[Holders]) -> Holders:
    if len(parts) == 1:
        return parts[0]
    return Holders(
        np.concatenate([part.numbers for part in parts]),
        np.concatenate([part.values for part in parts]),
    )


def _batches(terms: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(terms)
    while some := list(islice(rest, _PLACES)):
        yield some


def _places(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))
