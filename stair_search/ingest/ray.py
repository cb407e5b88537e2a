"""The executor on Ray Data. The only module that knows Ray.

    found photos | decode and encode (an actor a CPU) | write (an actor) | ledger (this process)

Photos are found first and wait in Ray's object store; from there on all is streamed. A photo
travels as its pickled `Work` beside flat columns; tokens as two list columns, since a dict would
become a struct with a field for each token.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from stair_search.engines import connect
from stair_search.engines.base import Engine
from stair_search.errors import DestinationError, UsageError
from stair_search.tokens import TokenWeights

from .bulk import Pace
from .decode import prepare
from .encoder import Encoder
from .job import JobSettings
from .photo import Prepared, Result, Work
from .policy import Policy
from .reading.reader import Reader
from .stages import Executor, Ready, Requests, Run, batches, encode, ready, sent

try:
    import pyarrow as pa
    import ray
    from ray.data import ActorPoolStrategy, DataContext
except ImportError as missing:
    raise UsageError(
        f"--executor ray needs Ray Data: pip install 'stair-search[ray]' ({missing})"
    ) from None

BLOCK = 4
"""Encoder batches in a block, the unit in which photos go from one step to the next."""


def encoders(total: float, free: float) -> int:
    """An encoder for each free CPU; the writer waits for the network and takes none.

    What could not be scheduled is refused here, and would hang otherwise.
    """
    if free < 1:
        raise UsageError(
            f"--executor ray needs 1 free CPU, and of Ray's {total:g} are {free:g} free: "
            f"wait, or use --executor local"
        )
    return int(free)


@contextmanager
def executor(run: Run) -> Iterator[Executor]:
    """Joins a Ray that runs (RAY_ADDRESS, or one here), or starts one and ends it afterwards."""
    started = not ray.is_initialized()
    if started:
        # Ray Data alone makes it warn of actors that it restarts well.
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        try:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError) as error:
            said = str(error).strip().splitlines()[0]
            raise DestinationError(f"Ray cannot be joined or started: {said}") from None
    try:
        count = encoders(
            ray.cluster_resources().get("CPU", 0), ray.available_resources().get("CPU", 0)
        )
        # A block in each encoder and one behind it, one in the writer and one before it.
        most = BLOCK * run.job.encode_batch * (2 * count + 2)
        yield Executor(partial(_execute, run, count, most), most)
    finally:
        if started:
            ray.shutdown()


def _execute(
    run: Run, count: int, most: int, works: Iterator[Work | Result]
) -> Iterator[list[Result]]:
    run.meters["decode"].workers = run.meters["encode"].workers = count
    tables: list[Any] = []
    for found in _blocks(run.meters["find"].timed(works), BLOCK * run.job.encode_batch):
        yield _record(run, [item for item in found if isinstance(item, Result)])
        todo = [pickle.dumps(item) for item in found if isinstance(item, Work)]
        if todo:
            tables.append(ray.put(pa.table({"work": pa.array(todo, pa.large_binary())})))
    if not tables:
        return
    slots = ray.remote(num_cpus=0)(_Slots).remote(most)
    for rows in _pipeline(run, count, tables, slots):
        for stage in ("decode", "encode", "bulk"):
            spent = [ms for ms in rows[f"{stage}_ms"] if ms is not None]
            run.meters[stage].add(sum(spent) / 1000, len(spent))
        results = [pickle.loads(result) for result in rows["result"] if result]
        yield _record(run, results)
        slots.release.remote([result.photo.id for result in results])
        if run.stop.is_set():
            slots.stop.remote()
        for refused in rows["refused"]:
            if refused:
                raise DestinationError(refused)


def _blocks(works: Iterator[Work | Result], size: int) -> Iterator[list[Work | Result]]:
    block: list[Work | Result] = []
    for item in works:
        block.append(item)
        if len(block) == size:
            yield block
            block = []
    yield block


def _record(run: Run, results: list[Result]) -> list[Result]:
    with run.meters["ledger"].busy(len(results)):
        run.ledger.record(results, model=run.encoder.fingerprint)
    return results


def _pipeline(
    run: Run, count: int, tables: list[Any], slots: Any
) -> Iterator[dict[str, list[Any]]]:
    DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    whole = {"batch_size": None, "batch_format": "pyarrow"}
    writing = run.connect or partial(connect, run.job.url)
    if run.job.url.startswith("sqlite:"):
        writing = partial(connect, run.job.url)  # Ray may run in another folder: its path is whole
    rows = (
        ray.data.from_arrow_refs(tables)
        .map_batches(
            _Encode,
            fn_constructor_args=(run.encoder, run.reader, slots, run.job.encode_batch),
            compute=ActorPoolStrategy(size=min(count, len(tables))),
            num_cpus=1,
            **whole,
        )
        .map_batches(
            _Write,
            fn_constructor_args=(run.encoder, run.job, run.policy, writing),
            compute=ActorPoolStrategy(size=1),
            num_cpus=0,
            **whole,
        )
    )
    for batch in rows.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        yield batch.to_pydict()


class _Slots:
    """Lets photos be encoded only while fewer than `most` are encoded and not in the ledger.

    Ray bounds what waits between two steps by bytes alone, and tokens are small. Taking twice for
    the same photo counts once, so that a repeated task does not use up what there is.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: set[str] = set()
        self._stopped = False
        self._changed = asyncio.Condition()

    async def take(self, ids: Collection[str]) -> bool:
        """Waits for room; False after a stop."""
        async with self._changed:
            await self._changed.wait_for(
                lambda: self._stopped or len(self._held.union(ids)) <= self._most
            )
            self._held.update(ids)
            return not self._stopped

    async def release(self, ids: Collection[str]) -> None:
        """These photos are in the ledger."""
        async with self._changed:
            self._held.difference_update(ids)
            self._changed.notify_all()

    async def stop(self) -> None:
        """From now on nothing more is encoded."""
        async with self._changed:
            self._stopped = True
            self._changed.notify_all()


_ENCODED = pa.schema(
    [
        ("result", pa.large_binary()),  # of a photo that needs no more; then all else is null
        ("work", pa.large_binary()),
        ("content_hash", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("decode_ms", pa.float64()),
        ("encode_ms", pa.float64()),
        ("reason", pa.string()),
        ("ids", pa.list_(pa.int32())),
        ("weights", pa.list_(pa.float32())),
    ]
)
_WRITTEN = pa.schema(
    [
        ("result", pa.large_binary()),
        ("refused", pa.string()),
        ("decode_ms", pa.float64()),
        ("encode_ms", pa.float64()),
        ("bulk_ms", pa.float64()),
    ]
)


class _Encode:
    """Decodes the photos of a block and encodes them in batches."""

    def __init__(self, encoder: Encoder, reader: Reader, slots: Any, batch: int) -> None:
        self._encoder, self._reader = encoder, reader
        self._slots = slots
        self._batch = batch

    def __call__(self, table: Any) -> Any:
        works = table.column("work").to_pylist()
        items = (
            prepare(
                pickle.loads(work),
                self._reader,
                self._encoder.prepare_image,
                self._encoder.image_size,
            )
            for work in works
        )
        rows: list[dict[str, Any]] = []
        for photos, final in batches(items, self._batch):
            rows += [{"result": pickle.dumps(result)} for result in final]
            rows += self._encode(photos)
        return pa.Table.from_pylist(rows, _ENCODED)

    def _encode(self, photos: list[Prepared]) -> list[dict[str, Any]]:
        if not photos or not ray.get(self._slots.take.remote([p.work.photo.id for p in photos])):
            return []  # stopped: these photos are left for the next run
        started = time.perf_counter()
        answers = encode(self._encoder, photos)
        spent = (time.perf_counter() - started) * 1000 / len(photos)
        return [
            {
                "work": pickle.dumps(photo.work),
                "content_hash": photo.content_hash,
                "width": photo.width,
                "height": photo.height,
                "decode_ms": photo.decode_ms,
                "encode_ms": spent,
                "reason": tokens if isinstance(tokens, str) else None,
                "ids": None if isinstance(tokens, str) else tokens.ids,
                "weights": None if isinstance(tokens, str) else tokens.weights,
            }
            for photo, tokens in zip(photos, answers, strict=True)
        ]


class _Write:
    """Makes documents of a block and writes them."""

    def __init__(
        self, encoder: Encoder, job: JobSettings, policy: Policy, connect: Callable[[], Engine]
    ) -> None:
        self._encoder = encoder
        self._vocabulary = encoder.vocabulary
        self._job, self._policy = job, policy
        self._engine = connect()
        self._pace = Pace(1, job.documents_per_second)

    def __call__(self, table: Any) -> Any:
        rows = table.to_pylist()
        started = time.perf_counter()
        results: list[Result] = []
        refused = None
        requests = Requests(self._job)
        try:
            for row in rows:
                item = self._item(row)
                if isinstance(item, Result):
                    results.append(item)
                    continue
                for full in requests.add(item):
                    results += self._sent(full)
            results += self._sent(requests.rest())
        except DestinationError as error:
            refused = str(error)  # what was taken before it goes into the ledger all the same
        spent = (time.perf_counter() - started) * 1000
        told: list[dict[str, Any]] = [
            {
                "result": pickle.dumps(result),
                "decode_ms": result.decode_ms,
                "encode_ms": result.encode_ms,
                "bulk_ms": spent / len(results) if result.state == "indexed" else None,
            }
            for result in results
        ]
        return pa.Table.from_pylist([*told, {"refused": refused}], _WRITTEN)

    def _item(self, row: dict[str, Any]) -> Ready | Result:
        if row["result"]:
            result: Result = pickle.loads(row["result"])
            return result
        photo = Prepared(
            pickle.loads(row["work"]),
            row["content_hash"],
            row["width"],
            row["height"],
            np.empty(0, np.uint8),  # the pixels have stayed where they were
            row["decode_ms"],
        )
        return ready(
            photo,
            row["reason"] or TokenWeights(row["ids"], row["weights"]),
            model=self._encoder.fingerprint,
            vocabulary=self._vocabulary,
            fields=self._job.fields,
            policy=self._policy,
            encode_ms=row["encode_ms"],
        )

    def _sent(self, documents: list[Ready]) -> Iterator[Result]:
        for results in sent(self._engine, self._job, documents, self._pace, threading.Event()):
            yield from results
