"""`stair-search job list`: past ingests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..command import Command, debug_option
from ..output import Format, columns, emit, format_option, note
from ..text import one_line

if TYPE_CHECKING:
    from ...ingest import PastJob

EXAMPLES = """
stair-search job list
stair-search job list --format json
"""


@click.command("list", cls=Command, examples=EXAMPLES)
@click.option(
    "--jobs",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of jobs.  [default: where ingest keeps them]",
)
@format_option
@debug_option
def command(jobs: Path | None, format: Format) -> None:
    """List past ingests, the latest last."""
    from ...ingest import jobs as past_jobs

    past = past_jobs(jobs)
    emit(format, [_as_dict(job) for job in past], lambda: _lines(past))
    if not past:
        note("no jobs yet")


def _as_dict(past: PastJob) -> dict[str, Any]:
    return {
        "job": str(past.folder),
        "last_run": datetime.fromtimestamp(past.began, UTC).isoformat(timespec="seconds"),
        "state": past.state,
        "settings": past.settings.to_dict(),
        "report": past.report.to_dict() if past.report else None,
    }


def _lines(past: Sequence[PastJob]) -> Iterator[str]:
    rows = [("last run", "state", "photos", "indexed", "failed", "index", "sources", "job")]
    for job in past:
        told = job.report
        rows.append(
            (
                f"{datetime.fromtimestamp(job.began):%Y-%m-%d %H:%M}",
                job.state,
                str(told.seen) if told else "",
                str(told.indexed) if told else "",
                str(told.failed) if told else "",
                one_line(f"{job.settings.url} {job.settings.index}"),
                one_line(" ".join(job.settings.sources)),
                one_line(str(job.folder)),
            )
        )
    if past:
        yield from columns(rows)
