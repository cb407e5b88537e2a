"""The executor on Ray Data. The only module that knows Ray.

    found photos | decode (actors) | encode (actors) | write (actor) | ledger (this process)

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
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from stair_search.engines import connect
from stair_search.engines.base import Engine
from stair_search.errors import DestinationError, UsageError
from stair_search.tokens import TokenWeights

from .decode import prepare
from .encoder import Encoder
from .job import JobSettings
from .photo import Prepared, Result, Work
from .stages import Executor, Ready, Requests, Run, encode, ready, sent

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


class Shares(NamedTuple):
    """How CPUs are divided: encoders of so many CPUs each, decoders of one.

    The writer waits for the network and takes none.
    """

    encoders: int
    cpus_each: int
    decoders: int


def shares(nodes: Sequence[int]) -> Shares:
    """An encoder a node, on three quarters of its CPUs; nodes: the CPUs of each.

    What could not be scheduled is refused here, and would hang otherwise.

    >>> shares([8, 16])
    Shares(encoders=2, cpus_each=6, decoders=12)
    """
    able = [cpus for cpus in nodes if cpus >= 2]
    if not able:
        raise UsageError(
            f"--executor ray needs a node with 2 CPUs, 1 to decode and 1 to encode; Ray has "
            f"{', '.join(map(str, nodes)) or 'none'}: use --executor local"
        )
    each = min(able) - max(1, min(able) // 4)
    return Shares(len(able), each, sum(able) - len(able) * each)


@contextmanager
def executor(run: Run) -> Iterator[Executor]:
    """Joins the Ray that runs (RAY_ADDRESS), or starts one here and ends it afterwards."""
    started = not ray.is_initialized()
    if started:
        # Ray Data alone makes it warn of actors that it restarts well.
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        alive = [node for node in ray.nodes() if node["Alive"]]
        divided = shares([int(node["Resources"].get("CPU", 0)) for node in alive])
        # A block in each encoder and one behind it, one in the writer and one before it.
        most = BLOCK * run.job.encode_batch * (2 * divided.encoders + 2)
        yield Executor(partial(_execute, run, divided, most), most)
    finally:
        if started:
            ray.shutdown()


def _execute(
    run: Run, divided: Shares, most: int, works: Iterator[Work | Result]
) -> Iterator[list[Result]]:
    run.meters["decode"].workers = divided.decoders
    run.meters["encode"].workers = divided.encoders
    tables: list[Any] = []
    for found in _blocks(run.meters["find"].timed(works), BLOCK * run.job.encode_batch):
        yield _record(run, [item for item in found if isinstance(item, Result)])
        todo = [pickle.dumps(item) for item in found if isinstance(item, Work)]
        if todo:
            tables.append(ray.put(pa.table({"work": pa.array(todo, pa.large_binary())})))
    if not tables:
        return
    slots = ray.remote(num_cpus=0)(_Slots).remote(most)
    for rows in _pipeline(run, divided, tables, slots):
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
    run: Run, divided: Shares, tables: list[Any], slots: Any
) -> Iterator[dict[str, list[Any]]]:
    DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    whole = {"batch_size": None, "batch_format": "pyarrow"}
    writing = run.connect or partial(connect, run.job.url)
    rows = (
        ray.data.from_arrow_refs(tables)
        .map_batches(
            _Decode,  # as tasks, Ray would run it inside the encoders
            fn_constructor_args=(run.encoder,),
            compute=ActorPoolStrategy(size=divided.decoders),
            num_cpus=1,
            **whole,
        )
        .map_batches(
            _Encode,
            fn_constructor_args=(run.encoder, slots, run.job.encode_batch),
            compute=ActorPoolStrategy(size=divided.encoders),
            num_cpus=divided.cpus_each,
            **whole,
        )
        .map_batches(
            _Write,
            fn_constructor_args=(run.encoder, run.job, writing),
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


_DECODED = pa.schema(
    [
        ("work", pa.large_binary()),
        ("result", pa.large_binary()),
        ("pixels", pa.large_binary()),
        ("content_hash", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("decode_ms", pa.float64()),
    ]
)
_ENCODED = pa.schema(
    [
        *(field for field in _DECODED if field.name != "pixels"),
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


class _Decode:
    """Reads, hashes and decodes the photos of a block."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def __call__(self, table: Any) -> Any:
        return pa.Table.from_pylist(
            [self._row(pickle.loads(work)) for work in table.column("work").to_pylist()], _DECODED
        )

    def _row(self, work: Work) -> dict[str, Any]:
        item = prepare(work, self._encoder.prepare_image)
        if isinstance(item, Result):
            return {"result": pickle.dumps(item)}
        return {
            "work": pickle.dumps(item.work),
            "pixels": item.pixels.tobytes(),
            "content_hash": item.content_hash,
            "width": item.width,
            "height": item.height,
            "decode_ms": item.decode_ms,
        }


class _Encode:
    """Encodes the photos of a block in batches."""

    def __init__(self, encoder: Encoder, slots: Any, batch: int) -> None:
        self._encoder = encoder
        self._slots = slots
        self._batch = batch

    def __call__(self, table: Any) -> Any:
        rows = table.to_pylist()
        done = [row for row in rows if row["result"]]
        todo = [row for row in rows if not row["result"]]
        for start in range(0, len(todo), self._batch):
            done += self._encode(todo[start : start + self._batch])
        return pa.Table.from_pylist(done, _ENCODED)

    def _encode(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        photos = [_prepared(row, self._encoder.image_size) for row in rows]
        if not ray.get(self._slots.take.remote([photo.work.photo.id for photo in photos])):
            return []  # stopped: these photos are left for the next run
        started = time.perf_counter()
        answers = encode(self._encoder, photos)
        spent = (time.perf_counter() - started) * 1000 / len(rows)
        made = []
        for row, tokens in zip(rows, answers, strict=True):
            if isinstance(tokens, str):
                found: dict[str, Any] = {"reason": tokens}
            else:
                found = {"ids": tokens.ids, "weights": tokens.weights}
            made.append(row | {"encode_ms": spent} | found)
        return made


class _Write:
    """Makes documents of a block and writes them."""

    def __init__(self, encoder: Encoder, job: JobSettings, connect: Callable[[], Engine]) -> None:
        self._encoder = encoder
        self._vocabulary = encoder.vocabulary
        self._job = job
        self._engine = connect()

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

    def _item(self, row: dict[str, Any]) -> Any:
        if row["result"]:
            return pickle.loads(row["result"])
        return ready(
            _prepared(row),
            row["reason"] or TokenWeights(row["ids"], row["weights"]),
            model=self._encoder.fingerprint,
            vocabulary=self._vocabulary,
            fields=self._job.fields,
            encode_ms=row["encode_ms"],
        )

    def _sent(self, documents: list[Ready]) -> Iterator[Result]:
        for results in sent(self._engine, self._job, documents, threading.Event()):
            yield from results


def _prepared(row: dict[str, Any], size: int = 0) -> Prepared:
    """A decoded photo from its row; without its pixels where no size is given."""
    pixels = np.frombuffer(row["pixels"] if size else b"", np.uint8).reshape(size, size, 3)
    return Prepared(
        pickle.loads(row["work"]),
        row["content_hash"],
        row["width"],
        row["height"],
        pixels,
        row["decode_ms"],
    )
