"""Photos in the cells of Parquet files.

A cell can be had only by going through its column from the start of its row group. So a file stays
open where it was read last, and photos that are asked for in about the order of their rows cost one
pass, a few megabytes at a time.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Any, BinaryIO

from stair_search.errors import UsageError

from ..photo import PhotoError, Place
from . import local

if TYPE_CHECKING:
    from .reader import Reader

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as missing:
    raise UsageError(
        f"Parquet files need pyarrow: pip install 'stair-search[parquet]' ({missing})"
    ) from None

BATCH, HELD = 2**24, 2**25
"""Bytes of photos: read at once, and kept for those who ask for an earlier row."""
MOST_FILES, MOST_GROUPS = 4, 2
"""Open at once in a process; of each, row groups, since those who read come to a new one before
the last rows of the old have been asked for.
"""

DAMAGED = (pa.ArrowException, OSError, ValueError, MemoryError)
"""What pyarrow raises on a file that is none, or not whole."""


def opened(file: BinaryIO) -> Any:
    """A pyarrow.parquet.ParquetFile that has a page of a column in memory at once (and copies of
    it), not a row group. A page is as large as its writer has made it; pyarrow's, 1,024 rows.

    Raises one of DAMAGED.
    """
    return pq.ParquetFile(file, buffer_size=2**20, pre_buffer=False, memory_map=False)


def cell(reader: Reader, place: Place) -> bytes:
    """The photo in one cell. Raises PhotoError."""
    assert place.cell
    row, column = place.cell
    table = _table(reader, place)
    with table.lock:
        try:
            data = table.photo(row, column)
        except DAMAGED as error:
            raise PhotoError(f"damaged Parquet file: {said(error)}") from None
    if data is None:
        raise PhotoError("its cell is empty")
    local.check_size(len(data))
    return data


def said(error: BaseException) -> str:
    """What pyarrow says, in one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__


class _Table:
    """A file, and the row groups that were read last. Used under its lock."""

    def __init__(self, reader: Reader, place: Place) -> None:
        self.lock = threading.Lock()
        found = reader.open(place.address)
        if found.version != place.version:
            found.file.close()
            raise PhotoError(local.CHANGED)
        try:
            self._parquet = opened(found.file)
        except DAMAGED as error:
            raise PhotoError(f"damaged Parquet file: {said(error)}") from None
        about = self._parquet.metadata
        groups = [about.row_group(n).num_rows for n in range(about.num_row_groups)]
        self._starts = [0, *accumulate(groups)]
        self._groups: OrderedDict[tuple[int, str], _Group] = OrderedDict()

    def photo(self, row: int, column: str) -> bytes | None:
        group = bisect_right(self._starts, row) - 1
        if group + 1 >= len(self._starts):
            raise PhotoError(local.CHANGED)
        at, row = (group, column), row - self._starts[group]
        if at not in self._groups or not self._groups[at].ahead(row):
            self._groups[at] = _Group(self._parquet, group, column)
            while len(self._groups) > MOST_GROUPS:
                self._groups.popitem(last=False)
        self._groups.move_to_end(at)
        return self._groups[at].photo(row)


class _Group:
    """A column of a row group, gone through from its start to its end; rows are counted from 0."""

    def __init__(self, parquet: Any, group: int, column: str) -> None:
        about = parquet.metadata.row_group(group)
        size = next(
            about.column(n).total_uncompressed_size
            for n in range(about.num_columns)
            if about.column(n).path_in_schema == column
        )
        rows = max(1, min(1024, BATCH * about.num_rows // max(1, size)))
        self._batches: Iterator[Any] = parquet.iter_batches(
            rows, row_groups=[group], columns=[column], use_threads=False
        )
        self._next = self._bytes = 0
        self._held: OrderedDict[int, bytes | None] = OrderedDict()

    def ahead(self, row: int) -> bool:
        """Whether a row can be had without going back."""
        return row >= self._next or row in self._held

    def photo(self, row: int) -> bytes | None:
        while row not in self._held:
            self._read()
        data = self._held.pop(row)
        self._bytes -= len(data or b"")
        return data

    def _read(self) -> None:
        batch = next(self._batches, None)
        if batch is None:
            raise PhotoError("damaged Parquet file: it has fewer rows than it says")
        values = batch.column(0)
        while pa.types.is_struct(values.type):
            values = values.field(0)
        for data in values.to_pylist():
            self._held[self._next] = data
            self._bytes += len(data or b"")
            self._next += 1
        while self._bytes > HELD and len(self._held) > batch.num_rows:
            self._bytes -= len(self._held.popitem(last=False)[1] or b"")


def _table(reader: Reader, place: Place) -> _Table:
    # By process: after a fork two would move one file's place.
    key = (os.getpid(), reader, place.address, place.version)
    with _lock:
        table = _tables.get(key)
        if table is None:
            table = _tables[key] = _Table(reader, place)
            while len(_tables) > MOST_FILES:
                _tables.popitem(last=False)  # closed when the last thread that reads it is done
        _tables.move_to_end(key)
    return table


_tables: OrderedDict[tuple[object, ...], _Table] = OrderedDict()
_lock = threading.Lock()
