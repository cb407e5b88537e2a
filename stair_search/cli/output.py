"""Results on stdout in the format that was asked for; notes and warnings on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import click

from .text import one_line, width

Format = Literal["table", "json", "ndjson"]

format_option = click.option(
    "--format",
    "format",
    type=click.Choice(["table", "json", "ndjson"]),
    default="table",
    show_default=True,
    help="table is for people, json and ndjson (a line each) for programs.",
)


def note(message: str) -> None:
    """A line for people, on stderr."""
    click.echo(one_line(message), err=True)


def warn(message: str) -> None:
    """A line on stderr about what may not be what was meant."""
    note(f"Warning: {message}")


def emit(
    format: Format, value: Any, table: Callable[[], Iterable[str]], rows: str | None = None
) -> None:
    """Prints `value`. In ndjson a list is a line an item; rows: the key of such a list."""
    if format == "table":
        for line in table():
            click.echo(line)
    elif format == "json":
        click.echo(to_json(value, indent=2))
    else:
        if rows is not None:
            value = value[rows]
        for item in value if isinstance(value, list) else [value]:
            click.echo(to_json(item))


def emit_long(
    format: Format, value: Mapping[str, int | Iterable[str]], table: Callable[[], Iterable[str]]
) -> None:
    """`emit` of one object whose lists may be longer than memory: written piece by piece."""
    if format == "table":
        emit(format, value, table)
        return
    pretty = format == "json"
    for piece in _pieces(value, *((",", "\n  ", "\n    ", "\n") if pretty else (", ", "", "", ""))):
        sys.stdout.write(piece)
    sys.stdout.write("\n")


def _pieces(
    value: Mapping[str, int | Iterable[str]], comma: str, key: str, item: str, end: str
) -> Iterator[str]:
    """JSON as `to_json` has it. key, item, end: what stands before each key, item, and the end."""
    for place, (name, held) in enumerate(value.items()):
        yield f"{comma if place else '{'}{key}{to_json(name)}: "
        if isinstance(held, int):
            yield to_json(held)
            continue
        some = False
        for one in held:
            yield f"{comma if some else '['}{item}{to_json(one)}"
            some = True
        yield f"{key}]" if some else "[]"
    yield f"{end}}}"


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON that can always be written: a file name in odd bytes is escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent, allow_nan=False)
    return text


def columns(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Rows of cells as lines, each column as wide as its widest cell, the last one free."""
    widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell + " " * (wide - width(cell)) for cell, wide in zip(row[:-1], widths, strict=False)
        ]
        yield "  ".join([*cells, row[-1]]).rstrip()
