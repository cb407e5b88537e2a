"""`stair-search job verify`: the ledger against the index."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..command import Command, debug_option
from ..destination import Destination, destination_options
from ..output import Format, emit_long, format_option, note
from ..text import one_line
from .chosen import chosen_job, job_option, where_it_wrote

if TYPE_CHECKING:
    from ...ingest import Verification

SHOWN = 20
"""Ids of each kind in a table."""

EXAMPLES = """
stair-search job verify
stair-search job verify --job ~/.local/state/stair-search/jobs/0f3a9c --format json
"""


@click.command("verify", cls=Command, examples=EXAMPLES)
@job_option
@destination_options
@format_option
@debug_option
@click.pass_context
def command(ctx: click.Context, job: Path | None, destination: Destination, format: Format) -> None:
    """Compare a past ingest with its index.

    What its ledger holds as written against what the index holds; exit code 1 where not equal.
    """
    from ...ingest import verify

    past = chosen_job(job)
    with where_it_wrote(past, destination).open() as engine:
        found = verify(past.folder, engine)
    emit_long(format, found._asdict(), lambda: _lines(found))
    if not found.equal:
        if found.missing or found.stale.known:
            note(f"put it right: stair-search job retry --job {past.folder}")
        if found.stale.known < len(found.stale):
            note(
                "some stale documents are of this job's folders, but the job knows nothing of "
                "them: ingest the folders again, which takes in those whose photo is still there"
            )
        ctx.exit(1)


def _lines(found: Verification) -> Iterator[str]:
    yield f"{found.expected} expected, {found.present} present"
    for what, ids in (("missing", found.missing), ("stale", found.stale)):
        yield from (f"{what:8} {one_line(name)}" for name in islice(ids, SHOWN))
        if len(ids) > SHOWN:
            yield f"{what:8} {len(ids) - SHOWN} more: {one_line(str(ids.file))}"
