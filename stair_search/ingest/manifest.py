"""A list of photos: CSV (`image,caption,…`, one row a caption) or NDJSON (an object a line).

`image` is a path (absolute, relative to the list's folder, or to `images/` beside the list) or an
http(s) address; `caption` becomes the caption, `id` the document's id, further columns become
fields, see `columns`. Of several rows of one image each column keeps its distinct values, in the
order of the rows.

UTF-8 with or without BOM; CSV with commas, quotes doubled. Read once into a temporary database on
disk, so that a list of any length takes no memory.
"""

from __future__ import annotations

import codecs
import csv
import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import unquote_to_bytes

from stair_search.errors import UsageError
from stair_search.fields import Fields

from .columns import CellError, Columns, check_name, parsed, text_of, unlisted
from .photo import Photo, PhotoError, Place, id_of, printable, uri_of
from .reading.addresses import Allowed, check_url, public

NDJSON = (".ndjson", ".jsonl")
ANYWHERE = Allowed(private=True)
"""Where an address may lead is asked when it is read; here, whether it is one."""
MOST_LINE = 2**20
"""Letters of a line of NDJSON."""

_TABLE = """
CREATE TABLE row(n INTEGER PRIMARY KEY, uri TEXT, name TEXT, address BLOB, id TEXT, routing TEXT,
                 cells TEXT, problem TEXT);
"""
_INDICES = "CREATE INDEX by_uri ON row(uri); CREATE INDEX by_name ON row(name);"


class _Told(NamedTuple):
    """What the rows of a photo say. problem: what is wrong with the first that is wrong."""

    id: str | None
    routing: str | None
    columns: dict[str, Any]
    problem: str | None


class Manifest:
    """A list that has been read and found sound.

    types: field -> type of the further columns that it fills. header: the columns of a CSV. used:
    `lookup` has found a photo in it.

    Raises UsageError where the file as a whole cannot be used; a bad row costs its photo alone.
    """

    def __init__(self, path: Path, fields: Fields, columns: Columns | None = None) -> None:
        self.path = path
        self._folder = path.absolute().parent
        self._fields, self._columns = fields, columns or Columns()
        self.types: dict[str, str] = dict(self._columns.types or {})
        self.header: list[str] | None = None
        self.used = False
        # An empty name: a temporary file that SQLite removes. Read by the planning thread.
        self._rows = sqlite3.connect("", check_same_thread=False)
        self._rows.executescript(_TABLE)
        try:
            with path.open("rb") as raw:
                self._check_encoding(raw.read(4096))
            with path.open(encoding="utf-8-sig", newline="") as text:
                if path.suffix.lower() in NDJSON:
                    self._read_objects(text)
                else:
                    self._read_csv(text)
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise UsageError(
                f"{path}, line {_not_utf8(path)}: byte 0x{error.object[error.start]:02x} is not "
                f"UTF-8; convert it, e.g. iconv -f latin1 -t utf-8"
            ) from None
        self._rows.commit()
        self._rows.executescript(_INDICES)
        self._check_ids()
        self._check_queries()
        (number,) = self._rows.execute("SELECT count(DISTINCT uri) FROM row").fetchone()
        self._number = int(number)

    def __len__(self) -> int:
        """Photos."""
        return self._number

    def photos(self) -> Iterator[Photo]:
        """The photos in the order of their first rows."""
        order = "SELECT min(n) FROM row GROUP BY uri ORDER BY min(n)"
        for (n,) in self._rows.execute(order):
            uri, address = self._rows.execute(
                "SELECT uri, address FROM row WHERE n = ?", (n,)
            ).fetchone()
            told = self._joined("uri", uri)
            place = Place(os.fsdecode(address))
            yield Photo(id_of(told.id or uri), uri, place, told.columns, told.problem, told.routing)

    def lookup(self, photo: Photo, name: str) -> Photo:
        """A photo found elsewhere with what its rows here say of it, if there are any.

        Its rows name the same file, or `name`, its path relative to the folder given as a source.
        """
        for column, value in (("uri", photo.uri), ("name", name)):
            told = self._joined(column, value)
            if any(told):
                self.used = True
                return photo._replace(
                    id=id_of(told.id) if told.id else photo.id,
                    columns=photo.columns | told.columns,
                    problem=told.problem,
                    routing=told.routing or photo.routing,
                )
        return photo

    def _joined(self, by: str, value: str) -> _Told:
        joined: dict[str, list[Any]] = {}
        given = routing = wrong = None
        # `by` is one of this module's own two names. A name with odd bytes is in no list.
        rows = self._rows.execute(
            f"SELECT id, routing, cells, problem FROM row WHERE {by} = ? ORDER BY n",
            (value.encode(errors="replace").decode(),),
        )
        for row_id, row_routing, cells, problem in rows:
            if problem:
                wrong = wrong or problem
                continue
            given = given or row_id
            if routing and row_routing and row_routing != routing:
                wrong = wrong or f"its rows name two routings, {routing!r} and {row_routing!r}"
            routing = routing or row_routing
            for field, found in json.loads(cells).items():
                values = joined.setdefault(field, [])
                values += [one for one in found if one not in values]
        return _Told(given, routing, unlisted(joined), wrong)

    def _check_encoding(self, start: bytes) -> None:
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise UsageError(f"{self.path} is UTF-16; save it as UTF-8")
        if not start and self.path.suffix.lower() not in NDJSON:
            raise UsageError(f"{self.path} is empty; its first line must name the columns")

    def _read_csv(self, text: IO[str]) -> None:
        reader, line = csv.reader(text, strict=True), 1
        try:
            header = [name.strip() for name in next(reader)]
            self._check_header(header)
            for row in reader:
                line = reader.line_num
                if any("\0" in cell for cell in row):
                    raise UsageError(f"{self.path}, line {line}: a NUL byte; is this a text file?")
                if len(row) != len(header) and row:
                    told = f"{len(row)} cells under {len(header)} columns"
                    self._add(dict(zip(header, row, strict=False)), line, told)
                elif row:
                    self._add(dict(zip(header, row, strict=True)), line)
        except csv.Error as error:
            raise UsageError(f"{self.path}, near line {line + 1}: {error}") from None

    def _check_header(self, header: list[str]) -> None:
        found = ", ".join(repr(name) for name in header)
        if self._columns.image not in header:
            hint = (
                "; commas separate the columns" if any(c in "".join(header) for c in ";\t|") else ""
            )
            raise UsageError(
                f"{self.path} has no column {self._columns.image!r}; found: {found}{hint}"
            )
        twice = {name for name in header if header.count(name) > 1}
        if twice:
            raise UsageError(f"{self.path}: column {min(twice)!r} stands twice")
        self.header = header
        for name in filter(self._columns.keeps, header):
            if not name:
                raise UsageError(f"{self.path}: column {header.index(name) + 1} has no name")
            self._meet(name)

    def _meet(self, name: str) -> None:
        if name not in self.types:
            check_name(name, self._fields, str(self.path))
            self.types[name] = self._columns.type_of(name)

    def _read_objects(self, text: IO[str]) -> None:
        line = 0
        while letters := text.readline(MOST_LINE + 1):
            line += 1
            if len(letters) > MOST_LINE:
                raise UsageError(f"{self.path}, line {line}: over {MOST_LINE:,} letters")
            if letters.isspace():
                continue
            try:
                row = parsed(letters)
            except CellError as error:
                self._add({}, line, str(error))
                continue
            for name in filter(self._columns.keeps, row):
                self._meet(name)
            self._add(row, line)

    def _add(self, row: dict[str, Any], line: int, problem: str | None = None) -> None:
        columns = self._columns
        name, given, routing = (
            text_of(row.get(column)) if column else ""
            for column in (columns.image, columns.id, columns.routing)
        )
        cells: dict[str, list[Any]] = {}
        uri = address = ""
        misread = problem is not None  # so may be the name
        try:
            if problem is None and not name:
                raise CellError("no image is named")
            if name:
                uri, address = self._resolve(name)
            cells = columns.cells(row, filter(columns.keeps, row), self._fields.caption)
        except (CellError, PhotoError) as error:
            problem = problem or str(error)
        if problem:
            # the list's path may hold bytes that are no UTF-8
            problem = printable(f"{self.path}, line {line}: {problem}")
        self._rows.execute(
            "INSERT INTO row(uri, name, address, id, routing, cells, problem) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                uri or f"{uri_of(self.path.absolute())}#line={line}",
                printable(os.path.normpath(name)),
                b"" if misread else os.fsencode(address),
                given or None,
                routing or None,
                json.dumps(cells),
                problem,
            ),
        )

    def _resolve(self, name: str) -> tuple[str, str]:
        """The URI and the address of what a cell names. Raises CellError."""
        scheme, mark, rest = name.partition("://")
        if mark and scheme.lower() in ("http", "https"):
            check_url(name, ANYWHERE)
            return public(name, self._columns.keep_query or ()), f"{scheme.lower()}://{rest}"
        if mark and scheme.lower() == "file":
            name = os.fsdecode(unquote_to_bytes(rest.removeprefix("localhost")))
        elif mark and scheme.isalnum():
            raise CellError(f"{scheme}:// is not read: http, https and files are")
        if "\0" in name:
            raise CellError("a NUL byte in the image's name")
        path = self._file(name)
        return uri_of(path), path

    def _file(self, name: str) -> str:
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

    def _check_queries(self) -> None:
        """What stands behind ? is no part of a URI; where it alone tells photos apart, that hides
        photos.
        """
        if self._columns.keep_query is not None:
            return
        clash = self._rows.execute(
            "SELECT uri FROM row WHERE problem IS NULL AND uri LIKE 'http%' "
            "GROUP BY uri HAVING count(DISTINCT address) > 1 LIMIT 1"
        ).fetchone()
        if clash:
            raise UsageError(
                f"{self.path}: several addresses are {clash[0]} but for what stands behind the ?, "
                "which may be a signature and is not stored: name the parameters that tell photos "
                'apart in a --columns file: keep_query = ["…"], or [] where none does'
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
