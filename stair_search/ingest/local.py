"""The executor for one machine: threads, with bounded room between them.

    find (1) | read (several) | decode (a CPU each) | encode (see `devices`) | bulk (several)
    | ledger (1)

What lies on this machine is read where it is decoded; what must be waited for, in the order in
which it comes, so that a slow server holds up its own photos alone.
"""

from __future__ import annotations

import math
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import partial

from . import devices
from .decode import prepare
from .groups import Found
from .photo import GroupWork, Loaded, Prepared, Result, Work
from .pipe import Background, Room, as_done, parallel
from .read import READERS, is_remote, read
from .stages import Executor, Run, batches, encoded, written

READ_BYTES = 256 * 2**20
"""Of photos that have been read and wait; no further one is begun beyond it."""


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
    # and those on their way; a group that is not whole yet.
    requests = run.job.bulk_requests + 1
    most = (2 * encoders.callers + 1) * found.size
    most += requests * max(run.job.bulk_documents, run.largest_group)
    most += (1 + 4 * READERS) * (run.largest_group - 1)  # groups that wait for a server
    yield Executor(partial(_execute, run, encoders), most)


def _execute(
    run: Run, encoders: devices.Pool, works: Iterator[Found]
) -> Generator[list[Result], None, None]:
    decoders = run.job.decode_threads or os.cpu_count() or 1
    callers = encoders.callers
    run.meters["decode"].workers = decoders
    run.meters["encode"].workers = callers

    run.meters["read"].workers = READERS
    room = Room(READ_BYTES)

    def got(work: Work) -> Loaded | Result | None:
        room.wait()
        if run.stop.is_set():
            return None  # for the next run; reading could take long
        with run.meters["read"].busy(1):
            found = read(work, run.reader)
        room.take(_bytes(found))
        return found

    def decoded(item: Found | Loaded | None) -> Prepared | Result | GroupWork | None:
        try:
            if not isinstance(item, Work | Loaded):
                return item
            if run.stop.is_set():
                return None
            with run.meters["decode"].busy(1):
                loaded = read(item, run.reader) if isinstance(item, Work) else item
                return prepare(loaded, run.encoder.prepare_image, run.encoder.image_size)
        finally:
            room.take(-_bytes(item))

    ahead = 2 * callers * run.batch.now + decoders
    found = Background(run.meters["find"].timed(works), 256)
    loaded = as_done(got, found, is_remote, READERS, ahead=4 * READERS)
    prepared = parallel(decoded, loaded, decoders, ahead=ahead)
    packed = batches(prepared, lambda: run.batch.now)
    made = parallel(partial(encoded, run, encoders), packed, callers, ahead=2 * callers)
    try:
        yield from written(run, made)
    finally:
        room.take(-math.inf)  # nobody waits for those that will be given up now
        # from the end to the start: each of them takes from the one before it
        made.close()
        prepared.close()
        loaded.close()
        found.close()


def _bytes(item: Found | Loaded | None) -> int:
    return len(item.data) if isinstance(item, Loaded) else 0
