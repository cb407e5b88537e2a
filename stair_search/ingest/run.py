"""A run of a job from its checks to its report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from stair_search.engines.base import Engine

from .encoder import Encoder
from .job import JobSettings, Progress, Report

Connect = Callable[[], Engine]


class Failure(NamedTuple):
    """A photo that is not in the index as it is now, and why."""

    id: str
    uri: str
    reason: str


def run(
    job: JobSettings,
    engine: Engine,
    *,
    encoder: Encoder | None = None,
    connect: Connect | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Report:
    """Brings the job's photos into its index and tells what became of them.

    encoder: loaded by `job.model` if None. connect: makes another connection to the same engine in
    another process (Ray's writers), picklable; `partial(engines.connect, job.url)` if None.
    progress: called in the caller's thread.

    Raises UsageError (a source that is not there, a bad CSV, a job that runs elsewhere),
    DestinationError (what was written until then is kept), ModelError (the index holds another
    model), KeyboardInterrupt after what was in flight has been written.
    """
    raise NotImplementedError


def retry(
    folder: Path,
    engine: Engine,
    *,
    encoder: Encoder | None = None,
    connect: Connect | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Report:
    """Runs a past job for the photos alone that failed in it."""
    raise NotImplementedError


def failures(folder: Path) -> Iterator[Failure]:
    """The photos of a job that failed when they were last seen."""
    raise NotImplementedError
