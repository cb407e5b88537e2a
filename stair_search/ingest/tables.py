"""Parquet files: photos in their cells, or addresses of photos, with further columns beside them.

The column that names the photo holds bytes, or text (an address or a path), or Hugging Face's
`{bytes, path}`, of which the path counts only where no row has bytes. Read row group by row group,
and of the columns those alone that are wanted; the photos' bytes are left for the reading.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, NamedTuple

from stair_search.errors import UsageError
from stair_search.fields import Fields

from .columns import CellError, Columns, check_name, text_of, unlisted
from .manifest import Manifest
from .names import Names
from .photo import Photo, PhotoError, Place, id_of, printable
from .reading.parquet import DAMAGED, opened, said
from .reading.reader import Reader
from .rows import Row

import pyarrow as pa  # isort: skip  # reading.parquet says what to do where it is missing

ROWS = 1024
"""Of other columns than the photos' own, in memory at once."""


class DamagedError(PhotoError):
    """A file that cannot be read."""


class Table(NamedTuple):
    """What a file holds.

    image: the column of photos' bytes, or of their names, as Parquet writes its path; path: that of
    the name beside the bytes. names: of the further columns that can be fields.
    """

    parquet: Any
    version: str | None
    image: str
    bytes: bool
    path: str | None
    names: list[str]


def table(address: str, reader: Reader, columns: Columns) -> Table:
    """Raises DamagedError; UsageError where there are no photos in it."""
    try:
        found = reader.open(address)
        parquet = opened(found.file)
        schema = parquet.schema_arrow
    except PhotoError as error:
        raise DamagedError(str(error)) from None
    except DAMAGED as error:
        raise DamagedError(f"damaged Parquet file: {said(error)}") from None
    names = schema.names
    place = Names(address).shown
    if columns.image not in names:
        listed = ", ".join(map(repr, names[:20]))
        raise UsageError(
            f"{place} has no column {columns.image!r} of photos; found: {listed}; a --columns file "
            'says which one holds them: image = "…"'
        )
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UsageError(f"{place}: column {twice[0]!r} stands twice")
    kept = [
        field.name
        for field in schema
        if columns.keeps(field.name) and (columns.types is not None or _plain(field.type))
    ]
    image, bytes_, path = _image(parquet, schema.field(columns.image), place)
    return Table(parquet, found.version, image, bytes_, path, kept)


def _image(parquet: Any, field: Any, place: str) -> tuple[str, bool, str | None]:
    name, kind = field.name, _inner(field.type)
    if pa.types.is_struct(kind):
        inside = {one.name: _inner(one.type) for one in kind}
        path = f"{name}.path" if _is_text(inside.get("path")) else None
        if _is_bytes(inside.get("bytes")) and not (path and _empty(parquet, f"{name}.bytes")):
            return f"{name}.bytes", True, path
        if path:
            return path, False, path
    elif _is_bytes(kind):
        return name, True, None
    elif _is_text(kind):
        return name, False, None
    raise UsageError(
        f"{place}: column {name!r} holds {str(kind)[:60]}; photos are bytes, or addresses as text, "
        "or a struct of bytes and path"
    )


def _inner(kind: Any) -> Any:
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_bytes(kind: Any) -> bool:
    checks = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
    return kind is not None and any(check(kind) for check in checks)


def _is_text(kind: Any) -> bool:
    checks = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return kind is not None and any(check(kind) for check in checks)


def _plain(kind: Any) -> bool:
    """Whether values of a column can be a field: one value or a list of them, no bytes."""
    kind = _inner(kind)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind = _inner(kind.value_type)
    return not (pa.types.is_nested(kind) or _is_bytes(kind) or pa.types.is_fixed_size_binary(kind))


def _empty(parquet: Any, column: str) -> bool:
    """Whether the file's statistics say that no row has a value there."""
    for group in range(parquet.num_row_groups):
        about = parquet.metadata.row_group(group)
        for n in range(about.num_columns):
            one = about.column(n)
            if one.path_in_schema != column:
                continue
            told = one.statistics
            nulls = told.null_count if told is not None and told.has_null_count else 0
            if nulls < one.num_values:
                return False
    return True


def types(found: Table, columns: Columns, own: Fields, place: str) -> dict[str, str]:
    """Field -> type of the further columns. Raises UsageError where one cannot be a field."""
    for name in found.names:
        check_name(name, own, place)
    return {name: columns.type_of(name) for name in found.names}


def as_list(found: Table, address: str, own: Fields, columns: Columns) -> Manifest:
    """A file of names of photos. Raises UsageError, DamagedError."""
    header = [columns.image, *_wanted(found, columns)]
    names = Names(address, columns.keep_query or ())
    return Manifest(names, rows(found, columns), own, columns, header, unit="row")


def rows(found: Table, columns: Columns) -> Iterator[Row]:
    """The rows of a file, numbered from 0, without photos' bytes. Raises DamagedError."""
    wanted = _wanted(found, columns)
    name = found.path if found.bytes else found.image
    selected = wanted + ([name] if name else [])
    number = 0
    try:
        # Of a file of photos alone no column is read: that there is a row is all that is told.
        batches = found.parquet.iter_batches(ROWS, columns=selected, use_threads=False)
        for batch in batches:
            for row in batch.to_pylist() if selected else [{}] * batch.num_rows:
                yield _row(number, row, columns, wanted)
                number += 1
    except DAMAGED as error:
        raise DamagedError(f"damaged Parquet file after row {number:,}: {said(error)}") from None


def _wanted(found: Table, columns: Columns) -> list[str]:
    own = {columns.id, columns.caption, columns.routing, columns.group} - {*found.names}
    return [*found.names, *(name for name in found.parquet.schema_arrow.names if name in own)]


def _row(number: int, row: dict[str, Any], columns: Columns, wanted: list[str]) -> Row:
    image = row.get(columns.image)
    cells: dict[str, Any] = {columns.image: image.get("path") if isinstance(image, dict) else image}
    try:
        return Row(number, cells | {name: _value(name, row[name]) for name in wanted})
    except CellError as error:
        return Row(number, cells, str(error))


def _value(name: str, value: Any) -> Any:
    """A cell as JSON has values. Raises CellError."""
    match value:
        case list():
            return [_value(name, one) for one in value]
        case float() if math.isnan(value):
            return None  # so pandas writes that there is none
        case None | bool() | int() | float() | str() | dict():
            return value
        case datetime() | date() | time():
            return value.isoformat()
        case Decimal():
            return str(value)
    raise CellError(f"column {name!r} holds {type(value).__name__}, which no field can hold")


def photos(
    found: Table, address: str, uri: str, columns: Columns, caption: str
) -> Iterator[tuple[Photo, str]]:
    """The photos in a file's cells, with the names that stand beside them. Raises DamagedError."""
    for row in rows(found, columns):
        own = f"{uri}#row={row.number}"
        place = Place(address, version=found.version, cell=(row.number, found.image))
        given, routing, told, problem = "", "", dict[str, Any](), row.problem
        try:
            given = text_of(row.cells.get(columns.id))
            routing = text_of(row.cells.get(columns.routing)) if columns.routing else ""
            told = unlisted(columns.cells(row.cells, found.names, caption))
        except CellError as error:
            problem = problem or str(error)
        problem = problem and printable(f"row {row.number}: {problem}")
        name = text_of(row.cells[columns.image])
        yield Photo(id_of(given or own), own, place, told, problem, routing or None), name
