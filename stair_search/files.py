"""Files that are there whole or not at all, also after a full disk or a power cut."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from stair_search.errors import StairError


@contextmanager
def whole_file(
    file: Path,
    failure: type[StairError],
    *,
    errors: str = "backslashreplace",
    newline: str | None = None,
) -> Iterator[IO[str]]:
    r"""Text for a file that takes its place when all is written.

    Raises `failure` where it cannot be written; then the old file stays. errors: what becomes of
    bytes in a path that are no UTF-8; JSON has them as `\udcff`, too.
    """
    part = file.with_name(f".{file.name}.part")
    try:
        with part.open("w", encoding="utf-8", errors=errors, newline=newline) as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        part.replace(file)
    except BaseException as error:
        with suppress(OSError):
            part.unlink()
        if isinstance(error, OSError):
            raise failure(f"{file} cannot be written: {error.strerror or error}") from None
        raise


def write_csv(
    file: Path, names: Sequence[str], rows: Iterable[Sequence[str]], failure: type[StairError]
) -> None:
    """names: the first line. Paths are written byte for byte."""
    with whole_file(file, failure, errors="surrogateescape", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(names)
        writer.writerows(rows)


def write_json(file: Path, value: Any, failure: type[StairError]) -> None:
    """Raises ValueError for a figure that is no finite number."""
    with whole_file(file, failure) as out:
        json.dump(value, out, indent=1, ensure_ascii=False, allow_nan=False)
