"""Files that are there whole or not at all, also after a full disk or a power cut."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from stair_search.errors import TrainingError


@contextmanager
def whole_file(file: Path, newline: str | None = None) -> Iterator[IO[str]]:
    """Text for a file that takes its place when all is written. Paths in it may hold any bytes.

    Raises TrainingError where it cannot be written; then the old file stays.
    """
    part = file.with_name(f".{file.name}.part")
    try:
        with part.open("w", encoding="utf-8", errors="surrogateescape", newline=newline) as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        part.replace(file)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise TrainingError(f"{file} cannot be written: {error.strerror or error}") from None


def write_csv(file: Path, names: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """names: the first line."""
    with whole_file(file, newline="") as out:
        writer = csv.writer(out)
        writer.writerow(names)
        writer.writerows(rows)


def write_json(file: Path, value: Any) -> None:
    """Raises ValueError for a figure that is no finite number."""
    with whole_file(file) as out:
        json.dump(value, out, indent=1, ensure_ascii=False, allow_nan=False)
