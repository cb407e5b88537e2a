"""`stair-search doctor`: what would go wrong, before it does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from .command import Command, debug_option, model_option
from .destination import Destination, destination_options
from .output import Format, columns, emit, format_option
from .text import one_line

if TYPE_CHECKING:
    from .checks import Check

EXAMPLES = """
stair-search doctor
stair-search doctor --url https://search.example.org:9200 --index holidays --format json
"""


@click.command("doctor", cls=Command, examples=EXAMPLES)
@model_option("The model that is to be used.")
@destination_options
@format_option
@debug_option
@click.pass_context
def command(ctx: click.Context, model: str, destination: Destination, format: Format) -> None:
    """Check the model, the engine and the index.

    Says what to do where one of them does not fit, and writes nothing. The exit code is 0 where
    all is well, 3 where the engine cannot be used, 4 where a model or index does not fit.
    """
    from .checks import all_checks

    found = list(all_checks(destination, model))
    value = [{"name": c.name, "ok": c.ok, "detail": c.detail, "remedy": c.remedy} for c in found]
    emit(format, {"checks": value}, lambda: _lines(found), rows="checks")
    ctx.exit(min((check.exit_code for check in found if not check.ok), default=0))


def _lines(found: Sequence[Check]) -> Iterator[str]:
    rows = []
    for check in found:
        rows.append(("ok" if check.ok else "FAIL", check.name, one_line(check.detail)))
        if check.remedy:
            rows.append(("", "", f"→ {one_line(check.remedy)}"))
    yield from columns(rows)
