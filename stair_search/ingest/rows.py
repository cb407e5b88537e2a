"""The rows of lists: CSV and NDJSON, streamed. What is wrong with a row costs that row alone.

UTF-8 with or without BOM; CSV with commas, quotes doubled.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple, cast

from stair_search.errors import UsageError

from .columns import CellError, parsed

MOST_LINE = 2**20
"""Bytes of a line."""


class Row(NamedTuple):
    """number: of its line, from 1. problem: what is wrong with it."""

    number: int
    cells: dict[str, Any]
    problem: str | None = None


def csv_rows(file: BinaryIO, place: str) -> tuple[list[str], Iterator[Row]]:
    """The names of the columns, and the rows. Raises UsageError where there are none."""
    lines = _Lines(file)
    if not lines.start:
        raise UsageError(f"{place} is empty; its first line must name the columns")
    _check_encoding(lines.start, place)
    reader = csv.reader(lines, strict=True)
    try:
        header = [name.strip() for name in next(reader)]
    except (csv.Error, CellError, StopIteration) as error:
        raise UsageError(f"{place}, line 1, which names the columns: {error}") from None
    return header, _csv_rows(reader, lines, header)


def _csv_rows(reader: Any, lines: _Lines, header: list[str]) -> Iterator[Row]:
    while True:
        first = lines.number + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except (csv.Error, CellError) as error:
            # The reader begins anew at the next line.
            to = f" (to line {lines.number})" if lines.number > first else ""
            yield Row(first, {}, f"{error}{to}")
            continue
        cells = dict(zip(header, row, strict=False))
        if any("\0" in cell for cell in row):
            yield Row(lines.number, {}, "a NUL byte")
        elif len(row) != len(header) and row:
            told = f"{len(row)} cells under {len(header)} columns"
            yield Row(lines.number, cells, told)
        elif row:
            yield Row(lines.number, cells)


def object_rows(file: BinaryIO, place: str) -> Iterator[Row]:
    """An object a line. Raises UsageError."""
    lines = _Lines(file)
    _check_encoding(lines.start, place)
    while True:
        try:
            text = next(lines)
            if not text.isspace():
                yield Row(lines.number, parsed(text))
        except StopIteration:
            return
        except CellError as error:
            yield Row(lines.number, {}, str(error))


class _Lines:
    """Lines of a file, with their ends. number: of the last. Raises CellError for a bad one, and
    goes on behind it.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = io.BufferedReader(cast(io.RawIOBase, file))
        self.number = 0
        self.start = self._file.peek(4)[:4]
        if self.start.startswith(codecs.BOM_UTF8):
            self._file.read(len(codecs.BOM_UTF8))

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._file.readline(MOST_LINE)
        if not line:
            raise StopIteration
        self.number += 1
        rest = line
        while len(rest) == MOST_LINE and not rest.endswith(b"\n"):
            rest = self._file.readline(MOST_LINE)
        if rest is not line:
            raise CellError(f"over {MOST_LINE:,} bytes")
        try:
            return line.decode()
        except UnicodeDecodeError as error:
            raise CellError(
                f"byte 0x{line[error.start]:02x} is not UTF-8; convert it, e.g. iconv -f latin1 "
                "-t utf-8"
            ) from None


def _check_encoding(start: bytes, place: str) -> None:
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UsageError(f"{place} is UTF-16; save it as UTF-8")
