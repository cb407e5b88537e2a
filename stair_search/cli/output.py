"""Results on stdout in the format that was asked for; notes and warnings on stderr."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
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
