"""Which past job a command is about, and the engine that it wrote to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from ...errors import UsageError
from ..destination import Destination

if TYPE_CHECKING:
    from ...ingest import PastJob

job_option = click.option(
    "--job",
    type=click.Path(file_okay=False, path_type=Path),
    help="The job's folder.  [default: the latest job]",
)


def chosen_job(folder: Path | None) -> PastJob:
    """The job in this folder, or the latest one."""
    from ...ingest.job import jobs, load

    if folder is not None:
        return load(folder)
    past = jobs()
    if not past:
        raise UsageError("there is no job yet; `stair-search ingest FOLDER` makes one")
    return past[-1]


def where_it_wrote(job: PastJob, given: Destination) -> Destination:
    """The destination with the job's own URL and index.

    A `--url` on the command line wins: the same cluster may be reached by another way now.
    """
    source = click.get_current_context().get_parameter_source
    if source("index") == ParameterSource.COMMANDLINE and given.index != job.settings.index:
        raise UsageError(
            f"job {job.folder} wrote to index {job.settings.index!r}, not to {given.index!r}: name "
            "the job of that one with --job (`stair-search job list` shows them)"
        )
    url = given.url if source("url") == ParameterSource.COMMANDLINE else job.settings.url
    return given.at(url, job.settings.index)
