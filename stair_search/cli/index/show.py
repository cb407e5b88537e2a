"""`stair-search index show`: the mapping as the engine holds it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from ...mappings import types_of
from ..command import Command, debug_option
from ..destination import Destination, destination_options
from ..output import Format, columns, emit, format_option
from ..text import one_line

EXAMPLES = """
stair-search index show
stair-search index show --index holidays --url https://search.example.org:9200 --format json
"""


@click.command("show", cls=Command, examples=EXAMPLES)
@destination_options
@format_option
@debug_option
def command(destination: Destination, format: Format) -> None:
    """Show the fields of an index as the engine holds them.

    With --format json it is a body that makes an index with the same fields.
    """
    with destination.open() as engine:
        mapping, count = engine.mapping(destination.index), engine.count(destination.index)
    emit(format, {"mappings": mapping}, lambda: _lines(mapping, count))


def _lines(mapping: Mapping[str, Any], count: int) -> Iterator[str]:
    yield f"{count} documents"
    types = types_of(mapping["properties"])
    yield from columns(
        [("field", "type"), *((one_line(name), types[name]["type"]) for name in types)]
    )
