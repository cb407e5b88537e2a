"""A list of photos: CSV (`image,caption,…`, one row a caption), NDJSON (an object a line), Parquet.

`image` is a path (absolute, relative to the list's folder, or to `images/` beside the list) or an
address; `caption` becomes the caption, `id` the document's id, further columns become fields, see
`columns`. Of several rows of one image each column keeps its distinct values, in the order of the
rows. Where a column groups photos they come group by group, and an image may be in several.

Read once into a temporary database on disk, so that a list of any length takes no memory.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from stair_search.errors import UsageError
from stair_search.fields import Fields

from .columns import CellError, Columns, check_name, text_of, unlisted
from .groups import MOST_PHOTOS
from .names import Names
from .photo import Photo, PhotoError, Place, id_of, printable
from .rows import Row

_TABLE = """
CREATE TABLE row(n INTEGER PRIMARY KEY, uri TEXT, name TEXT, address BLOB, id TEXT, routing TEXT,
                 cells TEXT, problem TEXT);
"""
_INDICES = "CREATE INDEX by_uri ON row(uri); CREATE INDEX by_name ON row(name);"
_INDEX_OF_GROUPS = "CREATE INDEX by_group ON row(id, uri);"
_GROUPED = """
SELECT id, uri, min(n) FROM row GROUP BY id, uri
ORDER BY min(min(n)) OVER (PARTITION BY id), id, min(n)
"""


class _Told(NamedTuple):
    """What the rows of a photo say. problem: what is wrong with the first that is wrong."""

    id: str | None
    routing: str | None
    columns: dict[str, Any]
    problem: str | None


class Manifest:
    """A list that has been read and found sound.

    header: its columns, where they are known before the rows. unit: what its rows are counted in.
    types: field -> type of the further columns that it fills. used: `lookup` has found a photo in
    it. misread: what is wrong with the first row that may be of any photo, if there is one.

    Raises UsageError where the list as a whole cannot be used; a bad row costs its photo alone.
    """

    def __init__(
        self,
        names: Names,
        rows: Iterable[Row],
        fields: Fields,
        columns: Columns,
        header: list[str] | None = None,
        unit: str = "line",
    ) -> None:
        self.place, self.header, self.used = names.shown, header, False
        self._names, self._fields, self._columns, self._unit = names, fields, columns, unit
        self.types: dict[str, str] = dict(columns.types or {})
        # An empty name: a temporary file that SQLite removes. Read by the planning thread.
        self._rows = sqlite3.connect("", check_same_thread=False)
        self._rows.executescript(_TABLE)
        if header is not None:
            self._check_header(header)
        for row in rows:
            if header is None:
                for name in filter(columns.keeps, row.cells):
                    self._meet(name)
            self._add(row)
        self._rows.commit()
        wrong = "SELECT problem FROM row WHERE address = x'' AND problem IS NOT NULL ORDER BY n"
        found = self._rows.execute(f"{wrong} LIMIT 1").fetchone()
        self.misread: str | None = found and found[0]
        self._rows.executescript(_INDEX_OF_GROUPS if self._columns.group else _INDICES)
        self._check_queries()
        photo = "id, uri" if self._columns.group else "uri"
        (self._number,) = self._rows.execute(
            f"SELECT count(*) FROM (SELECT DISTINCT {photo} FROM row)"
        ).fetchone()

    def __len__(self) -> int:
        """Photos."""
        return int(self._number)

    def holds(self, group: str) -> bool:
        """Whether it names photos of this document."""
        row = self._rows.execute("SELECT 1 FROM row WHERE id = ? LIMIT 1", (group,)).fetchone()
        return row is not None

    @property
    def largest_group(self) -> int:
        """Photos in it; 1 where none are grouped."""
        if not self._columns.group:
            return 1
        (largest,) = self._rows.execute(
            "SELECT max(photos) FROM (SELECT count(DISTINCT uri) AS photos FROM row GROUP BY id)"
        ).fetchone()
        return min(largest or 1, MOST_PHOTOS)

    def photos(self) -> Iterator[Photo]:
        """The photos in the order of their first rows, or of their groups' first rows."""
        if self._columns.group:
            yield from self._grouped()
            return
        order = "SELECT min(n) FROM row GROUP BY uri ORDER BY min(n)"
        for (n,) in self._rows.execute(order):
            uri, address = self._rows.execute(
                "SELECT uri, address FROM row WHERE n = ?", (n,)
            ).fetchone()
            told = self._joined(uri=uri)
            place = Place(os.fsdecode(address))
            yield Photo(id_of(told.id or uri), uri, place, told.columns, told.problem, told.routing)

    def nameless(self) -> Iterator[Photo]:
        """The rows that no photo can be told by; `photos` has them too."""
        rows = self._rows.execute("SELECT uri, problem FROM row WHERE name IS NULL ORDER BY n")
        for uri, problem in rows:
            yield Photo(id_of(uri), uri, Place(""), {}, problem)

    def _grouped(self) -> Iterator[Photo]:
        before, number = None, 0
        for group, uri, n in self._rows.execute(_GROUPED):
            (address,) = self._rows.execute("SELECT address FROM row WHERE n = ?", (n,)).fetchone()
            place = Place(os.fsdecode(address))
            if group is None:  # its row says so
                yield Photo(id_of(uri), uri, place, {}, self._joined(uri=uri, id=None).problem)
                continue
            told = self._joined(uri=uri, id=group)
            photo = Photo(
                f"{group}#{uri}", uri, place, told.columns, told.problem, told.routing, group
            )
            before, number = group, number + 1 if group == before else 1
            if number > MOST_PHOTOS:
                reason = f"group {group!r} has over {MOST_PHOTOS:,} photos, the most of a document"
                photo = photo._replace(problem=printable(f"{self.place}: {reason}"), group=None)
            yield photo

    def lookup(self, photo: Photo, name: str) -> Photo:
        """A photo found elsewhere with what its rows here say of it, if there are any.

        Its rows name the same file, or `name`, its path relative to the folder given as a source.
        """
        for column, value in (("uri", photo.uri), ("name", name)):
            told = self._joined(**{column: value})
            if any(told):
                self.used = True
                return photo._replace(
                    id=id_of(told.id) if told.id else photo.id,
                    columns=photo.columns | told.columns,
                    problem=told.problem,
                    routing=told.routing or photo.routing,
                )
        return photo

    def _joined(self, **by: str | None) -> _Told:
        joined: dict[str, list[Any]] = {}
        given = routing = wrong = None
        # `by` has this module's own names. A name with odd bytes is in no list.
        rows = self._rows.execute(
            "SELECT n, id, routing, cells, problem FROM row "
            f"WHERE {' AND '.join(f'{column} IS ?' for column in by)} ORDER BY n",
            [value and value.encode(errors="replace").decode() for value in by.values()],
        )
        for n, row_id, row_routing, cells, problem in rows:
            given, routing = given or row_id, routing or row_routing
            if not problem and row_id not in (None, given):
                problem = self._told(n, f"its id is {row_id!r}, and {given!r} in a row before")
            if not problem and row_routing not in (None, routing):
                problem = self._told(
                    n, f"its rows name two routings, {routing!r} and {row_routing!r}"
                )
            if problem:
                wrong = wrong or problem
                continue
            for field, found in json.loads(cells).items():
                values = joined.setdefault(field, [])
                values += [one for one in found if one not in values]
        return _Told(given, routing, unlisted(joined), wrong)

    def _check_header(self, header: list[str]) -> None:
        found = ", ".join(repr(name) for name in header)
        if self._columns.image not in header:
            hint = (
                "; commas separate the columns" if any(c in "".join(header) for c in ";\t|") else ""
            )
            raise UsageError(
                f"{self.place} has no column {self._columns.image!r}; found: {found}{hint}"
            )
        twice = {name for name in header if header.count(name) > 1}
        if twice:
            raise UsageError(f"{self.place}: column {min(twice)!r} stands twice")
        self.header = header
        for name in filter(self._columns.keeps, header):
            if not name:
                raise UsageError(f"{self.place}: column {header.index(name) + 1} has no name")
            self._meet(name)

    def _meet(self, name: str) -> None:
        if name not in self.types:
            check_name(name, self._fields, self.place)
            self.types[name] = self._columns.type_of(name)

    def _add(self, row: Row) -> None:
        columns = self._columns
        name, given, routing = (
            text_of(row.cells.get(column)) if column else ""
            for column in (columns.image, columns.group or columns.id, columns.routing)
        )
        cells: dict[str, list[Any]] = {}
        uri, address, problem = "", "", row.problem
        try:
            if problem is None and not name:
                raise CellError("no image is named")
            if name:
                uri, address = self._names.resolve(name)
            if columns.group:
                given = given and id_of(given)
                if problem is None and not given:
                    raise CellError(f"column {columns.group!r}, which groups the photos, is empty")
            cells = columns.cells(row.cells, filter(columns.keeps, row.cells), self._fields.caption)
        except (CellError, PhotoError) as error:
            problem = problem or str(error)
        self._rows.execute(
            "INSERT INTO row VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                row.number,
                uri or f"{self._names.uri}#{self._unit}={row.number}",
                printable(os.path.normpath(name)) if uri else None,
                b"" if row.problem else os.fsencode(address),  # misread, so may be the name
                given or None,
                routing or None,
                json.dumps(cells),
                problem and self._told(row.number, problem),
            ),
        )

    def _told(self, number: int, problem: str) -> str:
        # the list's path may hold bytes that are no UTF-8
        return printable(f"{self.place}, {self._unit} {number}: {problem}")

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
                f"{self.place}: several addresses are {clash[0]} but for what stands behind the ?, "
                "which may be a signature and is not stored: name the parameters that tell photos "
                'apart in a --columns file: keep_query = ["…"], or [] where none does'
            )
