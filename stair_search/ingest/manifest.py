"""A CSV of photos: `image,caption,…`, one row a caption, several rows an image.

`image` is a path: absolute, or relative to the CSV's folder, or to `images/` beside the CSV.
`caption` becomes the caption, `id` the document's id, each further column a keyword field. Of
several rows of one image each column keeps its distinct values, in the order of the rows.

UTF-8 with or without BOM, commas, quotes doubled. Read once into a temporary database on disk, so
that a manifest of any length takes no memory.
"""

from __future__ import annotations

import codecs
import csv
import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stair_search.errors import UsageError
from stair_search.fields import Fields

from .photo import Photo, id_of, printable, uri_of

_TABLE = """
CREATE TABLE row(n INTEGER PRIMARY KEY, uri TEXT, name TEXT, path BLOB, id TEXT, cells TEXT,
                 problem TEXT);
"""
_INDICES = "CREATE INDEX by_uri ON row(uri); CREATE INDEX by_name ON row(name);"


class Manifest:
    """A CSV that has been read and found sound.

    columns: names of the keyword fields that it fills. used: `lookup` has found a photo in it.
    Raises UsageError where the file as a whole cannot be used; a bad row costs its photo alone.
    """

    def __init__(self, path: Path, fields: Fields) -> None:
        self.path = path
        self._folder = path.absolute().parent
        self._fields = fields
        self.used = False
        # An empty name: a temporary file that SQLite removes. Read by the planning thread.
        self._rows = sqlite3.connect("", check_same_thread=False)
        self._rows.executescript(_TABLE)
        try:
            with path.open("rb") as raw:
                self._check_encoding(raw.read(4096))
            with path.open(encoding="utf-8-sig", newline="") as text:
                self._read(csv.reader(text, strict=True))
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}") from None
        self._rows.executescript(_INDICES)
        self._check_ids()

    def photos(self) -> Iterator[Photo]:
        """The photos in the order of their first rows."""
        order = "SELECT min(n) FROM row GROUP BY uri ORDER BY min(n)"
        for (n,) in self._rows.execute(order):
            uri, path = self._rows.execute("SELECT uri, path FROM row WHERE n = ?", (n,)).fetchone()
            given, columns, problem = self._joined("uri", uri)
            yield Photo(id_of(given or uri), uri, os.fsdecode(path), columns, problem)

    def lookup(self, photo: Photo, name: str) -> Photo:
        """A photo found elsewhere with what its rows here say of it, if there are any.

        Its rows name the same file, or `name`, its path relative to the folder given as a source.
        """
        for column, value in (("uri", photo.uri), ("name", name)):
            given, columns, problem = self._joined(column, value)
            if columns or given or problem:
                self.used = True
                name = id_of(given or photo.uri)
                return photo._replace(id=name, columns=columns, problem=problem)
        return photo

    def _joined(self, by: str, value: str) -> tuple[str | None, dict[str, Any], str | None]:
        """The id that rows give, their columns, and what is wrong with the first that is wrong."""
        joined: dict[str, list[str]] = {}
        given: str | None = None
        wrong: str | None = None
        # `by` is one of this module's own two names. A name with odd bytes is in no CSV.
        rows = self._rows.execute(
            f"SELECT id, cells, problem FROM row WHERE {by} = ? ORDER BY n",
            (value.encode(errors="replace").decode(),),
        )
        for row_id, cells, problem in rows:
            if problem:
                wrong = wrong or problem
                continue
            given = given or row_id
            for field, text in json.loads(cells).items():
                values = joined.setdefault(field, [])
                if text not in values:
                    values.append(text)
        return given, {k: v[0] if len(v) == 1 else v for k, v in joined.items()}, wrong

    def _check_encoding(self, start: bytes) -> None:
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise UsageError(f"{self.path} is UTF-16; save it as UTF-8")
        if not start:
            raise UsageError(f"{self.path} is empty; its first line must name the columns")

    def _read(self, reader: Any) -> None:
        line = 1
        try:
            header = [name.strip() for name in next(reader)]
            self._check_header(header)
            for row in reader:
                line = reader.line_num
                if row:
                    self._add(header, row, line)
        except csv.Error as error:
            raise UsageError(f"{self.path}, near line {line + 1}: {error}") from None
        except UnicodeDecodeError as error:
            raise UsageError(
                f"{self.path}, line {_not_utf8(self.path)}: byte "
                f"0x{error.object[error.start]:02x} is not UTF-8; convert it, e.g. iconv -f latin1 "
                f"-t utf-8"
            ) from None
        self._rows.commit()

    def _check_header(self, header: list[str]) -> None:
        found = ", ".join(repr(name) for name in header)
        if "image" not in header:
            hint = (
                "; commas separate the columns" if any(c in "".join(header) for c in ";\t|") else ""
            )
            raise UsageError(f"{self.path} has no column 'image'; found: {found}{hint}")
        twice = {name for name in header if header.count(name) > 1}
        if twice:
            raise UsageError(f"{self.path}: column {min(twice)!r} stands twice")
        self.columns = [name for name in header if name not in ("image", "caption", "id")]
        f = self._fields
        own = {f.token, f.strongest, f.model, f.hash, f.image, f.caption, f.width, f.height}
        for name in self.columns:
            if not name:
                raise UsageError(f"{self.path}: column {header.index(name) + 1} has no name")
            if name in own:
                raise UsageError(
                    f"{self.path}: column {name!r} is a field that stair-search fills itself; "
                    f"rename the column"
                )
            if name.startswith("_") or "." in name or "\0" in name:
                raise UsageError(
                    f"{self.path}: column {name!r} cannot be a field: an engine takes no name with "
                    f"a dot or with _ at its start; rename the column"
                )

    def _add(self, header: list[str], row: list[str], line: int) -> None:
        cells = dict(zip(header, row, strict=False))
        name = cells.pop("image", "").strip()
        if any("\0" in cell for cell in row):
            raise UsageError(f"{self.path}, line {line}: a NUL byte; is this a text file?")
        problem = None
        if len(row) != len(header):
            problem = f"{self.path}, line {line}: {len(row)} cells under {len(header)} columns"
        elif not name:
            problem = f"{self.path}, line {line}: no image is named"
        if problem:
            problem = printable(problem)  # the CSV's path may hold bytes that are no UTF-8
        path = self._resolve(name)
        uri = uri_of(path) if name else f"{uri_of(self.path.absolute())}#line={line}"
        given = cells.pop("id", "").strip() or None
        if "caption" in cells:
            cells[self._fields.caption] = cells.pop("caption")
        kept = {field: text for field, text in cells.items() if text.strip()}
        self._rows.execute(
            "INSERT INTO row(uri, name, path, id, cells, problem) VALUES (?, ?, ?, ?, ?, ?)",
            (uri, os.path.normpath(name), os.fsencode(path), given, json.dumps(kept), problem),
        )

    def _resolve(self, name: str) -> str:
        beside = self._folder / name
        among = self._folder / "images" / name
        try:
            chosen = beside if os.path.lexists(beside) or not os.path.lexists(among) else among
            return os.path.realpath(chosen)
        except OSError:  # a name that no file system takes, e.g. too long
            return str(beside)

    def _check_ids(self) -> None:
        for one, other in (("id", "uri"), ("uri", "id")):
            clash = self._rows.execute(
                f"SELECT {one}, min({other}), max({other}) FROM row "
                f"WHERE id IS NOT NULL AND problem IS NULL "
                f"GROUP BY {one} HAVING count(DISTINCT {other}) > 1 LIMIT 1"
            ).fetchone()
            if clash:
                raise UsageError(
                    f"{self.path}: {one} {clash[0]!r} stands with two {other}s: {clash[1]} and "
                    f"{clash[2]}; one document holds one photo"
                )


def _not_utf8(path: Path) -> int:
    """The first line that is not UTF-8; the reader itself is a block ahead of its rows."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return 1
