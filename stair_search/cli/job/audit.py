"""`stair-search job audit`: documents that hold a token."""

from __future__ import annotations

from pathlib import Path

import click

from ..command import Command, debug_option
from ..destination import Destination, destination_options
from ..output import Format, columns, emit, format_option, note
from ..text import one_line
from .chosen import chosen_job, job_option, where_it_wrote

EXAMPLES = """
stair-search job audit --token gun
stair-search job audit --job ~/.local/state/stair-search/jobs/0f3a9c --format json
"""


@click.command("audit", cls=Command, examples=EXAMPLES)
@click.option(
    "--token",
    "tokens",
    multiple=True,
    metavar="TOKEN",
    help="Look for this one. Repeatable.  [default: those that the job's policy forbids]",
)
@job_option
@destination_options
@format_option
@debug_option
@click.pass_context
def command(
    ctx: click.Context,
    tokens: tuple[str, ...],
    job: Path | None,
    destination: Destination,
    format: Format,
) -> None:
    """List the documents of a past ingest's index that hold a token.

    Exit code 1 where one holds a token that the job's policy forbids.
    """
    from ...ingest.audit import audit

    past = chosen_job(job)
    with where_it_wrote(past, destination).open() as engine:
        found = list(audit(past.folder, engine, tokens))
    rows = [("token", "weight", "id", "forbidden")]
    rows += [(one.token, f"{one.weight:.3g}", one_line(one.id), one.reason or "") for one in found]
    emit(format, [one._asdict() for one in found], lambda: columns(rows) if found else iter(()))
    if not found:
        note("no document holds such a token")
    ctx.exit(1 if any(one.reason for one in found) else 0)
