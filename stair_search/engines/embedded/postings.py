"""Reading and changing the `postings` table of one index."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stair_search.engines.embedded.database import Damaged

CHUNK = 4096  # document numbers in a row; an offset fits 16 bits
_PLACES = 500  # values in one IN (...)
_GONE = -1
_CHUNKS = 2**40  # beyond any

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
    rows: list[tuple[Any, ...]] = []
    for some in [[]] if terms is None else _batches(dict.fromkeys(terms)):
        among = "" if terms is None else f"AND term IN ({_places(some)})"
        rows += db.execute(
            "SELECT term, chunk, count, offsets, vals FROM postings "
            f"WHERE owner = ? AND field = ? {among} ORDER BY term, chunk",
            (owner, field, *some),
        )
    return _decoded(rows)


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
                    "SELECT term, 0, count, offsets, vals FROM postings WHERE owner = ? "
                    f"AND field = ? AND chunk = ? AND term IN ({_places(some)})",
                    (owner, field, chunk, *some),
                )
                old = _decoded(rows.fetchall())
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


def _decoded(rows: Sequence[tuple[Any, ...]]) -> dict[str, Holders]:
    """The holders of each term, all decoded at once: a column of many values has as many rows. A
    damaged row is refused: it must not read beyond its documents.

    rows: term, chunk, count, offsets, values, in the order of the first two.
    """
    if not rows:
        return {}
    terms, chunks, counts, offsets, values = zip(*rows, strict=True)
    if not all(isinstance(chunk, int) and 0 <= chunk < _CHUNKS for chunk in chunks):
        raise Damaged("a row of postings has no place")
    if not all(
        isinstance(count, int) and count > 0 and isinstance(row, bytes) and len(row) == 2 * count
        for count, row in zip(counts, offsets, strict=True)
    ):
        raise Damaged("a row of postings is cut")
    if not all(
        row is None or (isinstance(row, bytes) and len(row) == 2 * count)
        for count, row in zip(counts, values, strict=True)
    ):
        raise Damaged("a row of postings has lost values")
    numbers = np.frombuffer(b"".join(offsets), "<u2").astype(np.int64)
    ends = np.cumsum(counts)
    rises = np.diff(numbers) > 0
    rises[ends[:-1] - 1] = True  # where a row follows on another
    if not rises.all() or numbers.max() >= CHUNK:
        raise Damaged("a row of postings is out of order")
    numbers += np.repeat(np.array(chunks, np.int64) * CHUNK, counts)
    filled = [bytes(2 * n) if row is None else row for n, row in zip(counts, values, strict=True)]
    held = np.frombuffer(b"".join(filled), "<u2")
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for term, count, end in zip(terms, counts, ends.tolist(), strict=True):
        first.setdefault(term, end - count)
        last[term] = end
    return {
        term: Holders(numbers[start : last[term]], held[start : last[term]])
        for term, start in first.items()
    }


def _batches(terms: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(terms)
    while some := list(islice(rest, _PLACES)):
        yield some


def _places(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))
