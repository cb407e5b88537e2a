"""The executor for one machine: threads, with bounded room between them.

    find (1) | decode (a CPU each) | encode (a CPU each) | bulk (several) | ledger (1)

A thread a CPU with an encoder that uses one beats one thread with an encoder that uses all: nobody
waits for anybody inside a photo.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import partial

from .decode import prepare
from .photo import Prepared, Result, Work
from .pipe import Background, parallel
from .stages import Executor, Run, batches, encoded, written


@contextmanager
def executor(run: Run) -> Iterator[Executor]:
    """Threads need no preparation."""
    cpus = os.cpu_count() or 1
    # Batches in the encoders and as many waiting, one being packed; a request that is being filled,
    # and those on their way.
    requests = run.job.bulk_requests + 1
    most = (2 * cpus + 1) * run.job.encode_batch + requests * run.job.bulk_documents
    yield Executor(partial(_execute, run, cpus), most)


def _execute(
    run: Run, cpus: int, works: Iterator[Work | Result]
) -> Generator[list[Result], None, None]:
    decoders = run.job.decode_threads or cpus
    run.meters["decode"].workers = decoders
    run.meters["encode"].workers = cpus

    def decoded(item: Work | Result) -> Prepared | Result | None:
        if isinstance(item, Result):
            return item
        if run.stop.is_set():
            return None  # for the next run; reading could take long
        started = time.perf_counter()
        try:
            return prepare(item, run.reader, run.encoder.prepare_image, run.encoder.image_size)
        finally:
            run.meters["decode"].add(time.perf_counter() - started, 1)

    size = run.job.encode_batch
    found = Background(run.meters["find"].timed(works), 256)
    prepared = parallel(decoded, found, decoders, ahead=2 * cpus * size + decoders)
    made = parallel(partial(encoded, run), batches(prepared, size), cpus, ahead=2 * cpus)
    try:
        yield from written(run, made)
    finally:  # from the end to the start: each of them takes from the one before it
        made.close()
        prepared.close()
        found.close()
