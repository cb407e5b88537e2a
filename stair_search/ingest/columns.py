"""How the columns of a source become a photo and the fields of its document.

    # columns.toml
    image = "url"                # the column that names the photo; "image" unless given
    id = "sku"                   # of the document; "id"
    caption = "title"            # "caption"
    routing = "tenant"           # of the document, which chooses its shard; by its id unless given
    keep_query = ["file"]        # parameters of an address that tell photos apart
    group = "product"            # photos with the same value here share a document, whose id it is

    [fields]                     # the further columns that are kept, each with its type
    licence = "keyword"
    likes = "long"

Without `fields` every further column is kept, as a keyword.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from stair_search.errors import UsageError
from stair_search.fields import Fields
from stair_search.mappings import COLUMN_TYPES
from stair_search.toml import is_texts, read_toml

WHOLE = ("integer", "long")
LIMITS = {"integer": 2**31, "long": 2**63}
YES, NO = ("true", "yes", "1"), ("false", "no", "0")


class CellError(Exception):
    """A value that does not fit its field; costs its photo alone."""


def parsed(text: str | bytes) -> dict[str, Any]:
    """An object of JSON. Raises CellError."""
    try:
        row = json.loads(text)
        json.dumps(row, ensure_ascii=False).encode()  # half a character is no Unicode
    except (ValueError, RecursionError) as error:
        raise CellError(f"no JSON: {error}") from None
    if not isinstance(row, dict):
        raise CellError(f"no object but {json.dumps(row)[:40]}")
    return row


def text_of(cell: Any) -> str:
    """A cell that names something, "" for an empty one."""
    if cell is None:
        return ""
    return cell.strip() if isinstance(cell, str) else json.dumps(cell)


def unlisted(cells: Mapping[str, list[Any]]) -> dict[str, Any]:
    """Lists of one value as the value."""
    return {name: values[0] if len(values) == 1 else values for name, values in cells.items()}


@dataclass(frozen=True, slots=True)
class Columns:
    """image, id, caption, routing, group: names of columns. types: field -> type of further ones
    that are kept; None for all that come, as keywords. keep_query: the parameters of an address
    that tell photos apart; None where there should be none, and two addresses that differ in them
    alone are refused.
    """

    image: str = "image"
    id: str = "id"
    caption: str = "caption"
    routing: str | None = None
    group: str | None = None
    keep_query: tuple[str, ...] | None = None
    types: Mapping[str, str] | None = field(default=None)

    @property
    def names_id(self) -> bool:
        """Whether a user has said what the id is."""
        return self.types is not None or self.id != "id"

    @property
    def named(self) -> set[str]:
        """The columns that a user has named."""
        usual = {"id", "caption", "image", None}
        own = {self.image, self.id, self.caption, self.routing, self.group} - usual
        return {*(self.types or ()), *(name for name in own if name)}

    def keeps(self, name: str) -> bool:
        """Whether a column becomes a field of its own."""
        own = (self.image, self.id, self.caption)
        return name not in own and (self.types is None or name in self.types)

    def type_of(self, name: str) -> str:
        return "keyword" if self.types is None else self.types[name]

    def values(self, name: str, cell: Any) -> list[Any]:
        """A cell as values of its field; none of an empty one. Raises CellError.

        >>> Columns(types={"likes": "long"}).values("likes", " 7 ")
        [7]
        """
        cells = cell if isinstance(cell, list) else [cell]
        kind = "text" if name == self.caption else self.type_of(name)
        return [_typed(name, one, kind) for one in cells if text_of(one)]

    def cells(self, row: Mapping[str, Any], names: Iterable[str], caption: str) -> dict[str, Any]:
        """A row as lists of values by field. names: of the columns that become fields of their own;
        caption: the field of captions. Raises CellError.
        """
        fields = [*((name, name) for name in names), (self.caption, caption)]
        found = ((field, self.values(name, row.get(name))) for name, field in fields)
        return {field: values for field, values in found if values}


def read_columns(file: Path, own: Fields) -> Columns:
    """Reads a mapping. own: fields that stair-search fills itself. Raises UsageError."""
    told = read_toml(file)
    types = told.pop("fields", None)
    known = {one.name for one in fields(Columns)} - {"types"}
    for key, value in told.items():
        if key not in known:
            raise UsageError(f"{file}: unknown key {key!r}; known: {', '.join(sorted(known))}")
        if not (is_texts(value) if key == "keep_query" else isinstance(value, str) and value):
            what = "list of parameters" if key == "keep_query" else "name of a column"
            raise UsageError(f"{file}: {key} = {value!r} is no {what}")
    if "group" in told and "id" in told:
        raise UsageError(f"{file}: the id of a document is its group: name one of them, not both")
    if "keep_query" in told:
        told["keep_query"] = tuple(told["keep_query"])
    if types is not None:
        _check_types(file, types)
        for name in types:
            check_name(name, own, str(file))
    return Columns(**told, types=types)


def check_name(name: str, own: Fields, place: str) -> None:
    """Refuses a column that cannot be a field. Raises UsageError."""
    if name in own.own:
        raise UsageError(
            f"{place}: column {name!r} is a field that stair-search fills itself; rename the "
            "column, or name those that are wanted in a --columns file"
        )
    if not name or name.startswith("_") or "." in name or "\0" in name:
        raise UsageError(
            f"{place}: column {name!r} cannot be a field: an engine takes no name with a dot or "
            "with _ at its start; rename the column, or name those that are wanted in a --columns "
            "file"
        )


def _check_types(file: Path, types: Any) -> None:
    if not isinstance(types, dict):
        raise UsageError(f"{file}: [fields] is a table of names and types")
    for name, kind in types.items():
        if kind not in COLUMN_TYPES:
            raise UsageError(
                f"{file}: field {name!r} has type {kind!r}; known: {', '.join(COLUMN_TYPES)}"
            )


def _typed(name: str, cell: Any, kind: str) -> Any:
    if isinstance(cell, dict | list):
        raise CellError(f"column {name!r} holds {json.dumps(cell)[:40]}: one level of values only")
    text = cell if isinstance(cell, str) else json.dumps(cell)
    try:
        if kind in (*WHOLE, "float", "double") and "_" in text:
            raise ValueError  # Python alone takes it for a number
        if kind == "boolean":
            return _boolean(text)
        if kind in WHOLE:
            number = int(text)
            if not -LIMITS[kind] <= number < LIMITS[kind]:
                raise ValueError
            return number
        if kind in ("float", "double"):
            value = float(text)
            if value - value != 0:  # infinite, or no number
                raise ValueError
            return value
    except ValueError:
        raise CellError(f"column {name!r}: {text[:40]!r} is no {kind}") from None
    return text


def _boolean(text: str) -> bool:
    folded = text.strip().lower()
    if folded not in (*YES, *NO):
        raise ValueError
    return folded in YES
