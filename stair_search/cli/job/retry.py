"""`stair-search job retry`: only the failures again."""

from __future__ import annotations

from pathlib import Path

import click

from ..command import Command, debug_option
from ..destination import Destination, destination_options
from ..ingest import tell
from ..output import Format, emit, format_option, note
from ..text import one_line
from .chosen import chosen_job, job_option, where_it_wrote

EXAMPLES = """
stair-search job retry
stair-search job retry --job ~/.local/state/stair-search/jobs/0f3a9c --dry-run
"""


@click.command("retry", cls=Command, examples=EXAMPLES)
@job_option
@click.option("--dry-run", is_flag=True, help="List the photos that would be tried again.")
@destination_options
@format_option
@debug_option
@click.pass_context
def command(
    ctx: click.Context, job: Path | None, dry_run: bool, destination: Destination, format: Format
) -> None:
    """Try the photos again that failed in a past ingest, and no others."""
    from ...ingest import failures, retry
    from ..progress import ProgressLine

    past = chosen_job(job)
    if dry_run:
        failed = list(failures(past.folder))
        emit(
            format,
            [failure._asdict() for failure in failed],
            lambda: [one_line(f"{failure.id}: {failure.reason}") for failure in failed],
        )
        note("nothing was written (--dry-run)")
        return
    at = where_it_wrote(past, destination)
    with at.open() as engine, ProgressLine() as progress:
        report = retry(past.folder, engine, connect=at.connect(), progress=progress.of_ingest)
    tell(ctx, report, format)
