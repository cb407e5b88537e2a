"""The executor for one machine: threads, with bounded room between them.

find (1) | decode (a CPU each) | encode (see `devices`) | bulk (several) | ledger (1)
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import partial

from . import devices
from .decode import prepare
from .photo import Prepared, Result, Work
from .pipe import Background, parallel
from .stages import Executor, Run, batches, encoded, written


@contextmanager
def executor(run: Run) -> Iterator[Executor]:
    """An encoder on each GPU, and how many photos it takes at once; threads need no preparation."""
    encoders = devices.Pool(devices.on_each_gpu(run.encoder, run.job.device, run.again))
    found = devices.found_batch(run.encoder, run.job.encode_batch)
    run.batch.now, run.devices = found.size, encoders.devices
    if devices.on_gpu(run.encoder):
        where = f"on {', '.join(run.devices)} in {run.encoder.precision}"
        run.notices.put(f"encode {where}, {found}")
    # Batches in the encoders and as many waiting, one being packed; a request that is being filled,
    # and those on their way.
    requests = run.job.bulk_requests + 1
    most = (2 * encoders.callers + 1) * found.size + requests * run.job.bulk_documents
    yield Executor(partial(_execute, run, encoders), most)


def _execute(
    run: Run, encoders: devices.Pool, works: Iterator[Work | Result]
) -> Generator[list[Result], None, None]:
    decoders = run.job.decode_threads or os.cpu_count() or 1
    callers = encoders.callers
    run.meters["decode"].workers = decoders
    run.meters["encode"].workers = callers

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

    ahead = 2 * callers * run.batch.now + decoders
    found = Background(run.meters["find"].timed(works), 256)
    prepared = parallel(decoded, found, decoders, ahead=ahead)
    packed = batches(prepared, lambda: run.batch.now)
    made = parallel(partial(encoded, run, encoders), packed, callers, ahead=2 * callers)
    try:
        yield from written(run, made)
    finally:  # from the end to the start: each of them takes from the one before it
        made.close()
        prepared.close()
        found.close()
