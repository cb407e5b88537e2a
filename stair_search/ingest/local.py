"""The executor for one machine: threads, with bounded room between them.

find | decode (threads) | encode (the encoder's own threads) | bulk and ledger
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import partial

from .decode import prepare
from .job import JobSettings
from .photo import Prepared, Result, Work
from .pipe import Background, parallel
from .stages import Executor, Run, encoded, written


@contextmanager
def executor(run: Run) -> Iterator[Executor]:
    """Threads need no preparation."""
    yield Executor(partial(_execute, run), in_flight(run.job))


def _execute(run: Run, works: Iterator[Work | Result]) -> Generator[list[Result], None, None]:
    """Brings every photo to its final state; yields results that are in the ledger already."""
    threads = run.job.decode_threads or os.cpu_count() or 1
    meter = run.meters["decode"]
    meter.workers = threads

    def decoded(item: Work | Result) -> Prepared | Result:
        if isinstance(item, Result):
            return item
        started = time.perf_counter()
        try:
            return prepare(item, run.encoder.prepare_image)
        finally:
            meter.add(time.perf_counter() - started, 1)

    found = Background(run.meters["find"].timed(works), 256)
    prepared = parallel(decoded, found, threads, ahead=4 * run.job.encode_batch + threads)
    batches = Background(encoded(run, prepared), 2)
    try:
        yield from written(run, batches)
    finally:  # from the end to the start: each of them waits for the thread before it
        batches.close()
        prepared.close()
        found.close()


def in_flight(job: JobSettings) -> int:
    """Photos that can be encoded and not yet in the ledger, at most.

    One batch being encoded, one waiting to be handed on, two handed on, one being packed, and a
    request on its way.
    """
    return 5 * job.encode_batch + job.bulk_documents
