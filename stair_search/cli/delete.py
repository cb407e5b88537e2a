"""`stair-search delete`: takedowns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import IO, TYPE_CHECKING

import click

from ..errors import UsageError
from .command import SpreadCommand, debug_option, utf8
from .destination import Destination, destination_options
from .output import Format, emit, format_option, note

if TYPE_CHECKING:
    from ..engines.base import Engine
    from ..ingest.takedown import Counts

LONGEST_LINE = 2**16
"""Bytes; an id has 512 at most."""

EXAMPLES = """
stair-search delete --ids file:///photos/a.jpg file:///photos/b.jpg --index holidays
stair-search delete --ids-file takedowns.txt --dry-run
stair-search delete --ids-file - --format json < takedowns.txt
stair-search delete --lift --ids file:///photos/a.jpg
"""


@click.command("delete", cls=SpreadCommand, spread="--ids", examples=EXAMPLES)
@click.option(
    "--ids", multiple=True, metavar="ID...", callback=utf8, help="Documents' ids, as search shows."
)
@click.option(
    "--ids-file", type=click.File("rb"), help="Ids in UTF-8, one a line; - for standard input."
)
@click.option("--lift", is_flag=True, help="Let photos in again that were taken down.")
@click.option("--dry-run", is_flag=True, help="Count what would be done, change nothing.")
@destination_options
@format_option
@debug_option
@click.pass_context
def command(
    ctx: click.Context,
    ids: tuple[str, ...],
    ids_file: IO[bytes] | None,
    lift: bool,
    dry_run: bool,
    destination: Destination,
    format: Format,
) -> None:
    """Take photos out of an index for good.

    Deletes documents by their ids, and remembers the ids on this machine: no later ingest of yours
    writes these documents into the index again, whichever its job. Exit code 1 where one could not
    be deleted.
    """
    if not ids and ids_file is None:
        raise UsageError("nothing to delete: name --ids or an --ids-file")
    asked = chain(ids, _lines(ids_file) if ids_file else ())
    with destination.open() as engine:
        if lift:
            _lift(engine, destination.index, asked, dry_run, format)
            return
        counts = _take_down(engine, destination.index, asked, dry_run)
    would = "would be " if dry_run else ""
    emit(
        format,
        counts._asdict(),
        lambda: [
            f"{counts.deleted} of {counts.asked} documents {would}deleted, {counts.not_found} not "
            f"found, {counts.failed} failed"
        ],
    )
    if dry_run:
        note("nothing was changed (--dry-run)")
    ctx.exit(1 if counts.failed else 0)


def _take_down(engine: Engine, index: str, asked: Iterable[str], dry_run: bool) -> Counts:
    from ..ingest.takedown import take_down
    from .progress import ProgressLine

    with ProgressLine() as line:

        def failed(name: str, reason: str) -> None:
            line.clear()
            note(f"{name}: {reason}")

        return take_down(
            engine,
            index,
            asked,
            dry_run=dry_run,
            progress=lambda counts: line.tell(f"{counts.asked} ids, {counts.deleted} deleted"),
            failed=failed,
        )


def _lift(engine: Engine, index: str, asked: Iterable[str], dry_run: bool, format: Format) -> None:
    from ..ingest.takedown import lift

    lifted = lift(engine, index, asked, dry_run=dry_run)
    would = "would be " if dry_run else ""
    emit(
        format,
        {"lifted": lifted},
        lambda: [f"{lifted} takedowns {would}lifted; the next ingest takes these photos in again"],
    )


def _lines(file: IO[bytes]) -> Iterator[str]:
    """What stands in the lines that are not empty."""
    number = 0
    while line := file.readline(LONGEST_LINE):
        number += 1
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise UsageError(f"--ids-file, line {number}: not UTF-8, or no list of ids") from None
        if text:
            yield text
