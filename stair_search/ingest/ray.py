"""The executor on Ray Data. The only module that knows Ray.

    find (this process) | decode and encode (an actor a CPU) | write (an actor a machine) | ledger
    find (this process) | decode (an actor a CPU) | encode (an actor a GPU) | write | ledger

Blocks of photos are handed to Ray while it works, and only as many as may be encoded again after a
crash: Ray bounds what waits between two steps by bytes alone, and tokens are small. An actor that
is lost takes the pipeline with it, and the next one goes on with what is not in the ledger, on the
machines that are left: an actor that is to come back where there is no room for it would be waited
for without end.
"""

from __future__ import annotations

import gc
import logging
import os
import socket
import threading
import time
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Any

from stair_search.engines import connect
from stair_search.engines.base import Engine
from stair_search.errors import DestinationError, StairError, UsageError

from .batch import LARGEST, ON_CPU, BatchSize
from .bulk import Pace
from .decode import prepare
from .devices import found_batch
from .encoder import Encoder
from .groups import Found, cut, gathered
from .job import JobSettings
from .photo import GroupWork, Loaded, Prepared, Ready, Result, Work
from .pipe import as_done, merged
from .placement import Placement, placed
from .policy import Policy
from .read import READERS, is_remote, read
from .reading.reader import Reader
from .stages import FLUSH_SECONDS, Executor, Requests, Run, encode, ready, sent

try:
    import pyarrow as pa
    import ray
    from ray.data import ActorPoolStrategy, DataContext, Datasource
    from ray.data.block import BlockMetadata
    from ray.data.datasource import ReadTask
    from ray.exceptions import GetTimeoutError, RayError, RayTaskError
    from ray.util.queue import Queue
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from . import blocks
except ImportError as missing:
    raise UsageError(
        f"--executor ray needs Ray Data: pip install 'stair-search[ray]' ({missing})"
    ) from None

_log = logging.getLogger(__name__)

# To whoever writes such a program, not to whoever runs it.
warnings.filterwarnings("ignore", message=".*(ray_remote_args|minimum number of concurrent actors)")
warnings.filterwarnings("ignore", module=r"ray\.")

BLOCK_SECONDS = 1.0
"""What an encoder should need for a block: long beside Ray's part in it, short beside a crash."""

START_SECONDS = 600.0
"""Actors that have not started by then, with their models, never will."""

BACK_SECONDS = 60.0
"""Until Ray has noticed that a machine is gone."""

TRIES = 3
"""Pipelines, one after the other, in which no photo was finished."""


@contextmanager
def executor(run: Run) -> Iterator[Executor]:
    """Joins the Ray of --ray-address or RAY_ADDRESS, or starts one here for the run."""
    started = not ray.is_initialized()
    if started:
        _join(run.job.ray_address)
    try:
        place = _placed(run.job)
        gpus = ray.available_resources().get("GPU", 0)
        if gpus and not place.gpus and run.job.device != "cpu":
            run.notices.put(f"Ray has {gpus:g} free GPUs, encoding on CPUs: --num-gpus takes them")
        # a block in each worker and one behind it, and one that is being recorded
        workers = place.encoders + place.decoders + place.writers * place.requests
        most = max(_largest(run.job), run.largest_group) * (2 * workers + 1)
        yield Executor(partial(_execute, run, place, most), most)
    finally:
        if started:
            ray.shutdown()


def _join(address: str | None) -> None:
    if address and address.startswith("ray://"):
        raise UsageError(
            f"Ray's client cannot stream ({address}): start the command on a machine of the "
            f"cluster with --ray-address auto, or by `ray job submit`"
        )
    # Ray Data alone makes it warn of actors that are lost.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    # left to itself it waits for minutes for what the last cluster on this machine was
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    new = {"include_dashboard": False} if address == "local" else {}
    try:
        _must_answer(address)
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **new)
    except (OSError, RuntimeError, ValueError) as error:
        said = str(error).strip().splitlines()[0]
        raise DestinationError(f"Ray cannot be joined or started: {said}") from None


def _must_answer(address: str) -> None:
    """Ray tries for minutes. Raises DestinationError."""
    host, colon, port = address.rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise DestinationError(f"no Ray answers at {address}: {error}") from None


def _placed(job: JobSettings) -> Placement:
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    free = ray.available_resources()
    return placed(free, nodes, gpus=job.num_gpus, requests=job.bulk_requests)


def _largest(job: JobSettings) -> int:
    """Photos in a block, at most: a request's, or some batches of an encoder for which those are
    few.
    """
    batch = job.encode_batch or (LARGEST // 2 if job.num_gpus else ON_CPU)
    return max(job.bulk_documents, 2 * batch)


def _execute(
    run: Run, place: Placement, most: int, works: Iterator[Found]
) -> Iterator[list[Result]]:
    feed = _Feed(most, run.batch.now, _largest(run.job))
    try:
        yield from merged(_found(run, feed, works), _worked(run, feed, place))
    finally:
        feed.close()


def _found(run: Run, feed: _Feed, works: Iterator[Found]) -> Iterator[list[Result]]:
    """Hands out blocks; yields what needs no work."""
    try:
        for block in cut(run.meters["find"].timed(works), lambda: feed.size, FLUSH_SECONDS):
            yield _recorded(run, [item for item in block if isinstance(item, Result)])
            if not feed.put([item for item in block if not isinstance(item, Result)]):
                return
    finally:
        feed.end()


def _worked(run: Run, feed: _Feed, place: Placement) -> Iterator[list[Result]]:
    """What becomes of what is handed out, by one pipeline after the other until all is done."""
    failed = 0
    try:
        while failed < TRIES and feed.wait(place.encoders * run.batch.now):
            failed, said = failed + 1, "it ended before its time"
            try:
                for results in _pipeline(run, feed, place):
                    yield results
                    failed = 0
            except RayError as error:
                said = _said(error, place)
            if not feed:
                continue
            run.notices.put(f"Ray lost a worker, going on with what is left: {said}")
            place = _replaced(run.job)
        if failed == TRIES:
            raise DestinationError(
                f"Ray lost its workers {TRIES} times before a photo was finished: {said}. What was "
                f"finished is kept; run the same command again to go on"
            )
    finally:
        feed.close()


def _said(error: RayError, place: Placement) -> str:
    """Why a machine or a process is gone; raises what is no matter of that."""
    if isinstance(error, RayTaskError):
        cause = error.cause
        raise cause if isinstance(cause, StairError) else error
    if isinstance(error, GetTimeoutError):
        raise DestinationError(
            f"Ray did not start {place.encoders} encoders in {START_SECONDS:.0f} s; free now: "
            f"{ray.available_resources()}"
        )
    return str(error).strip().splitlines()[0]


def _replaced(job: JobSettings) -> Placement:
    """What can be had now. Waits until Ray has noticed which machines are gone, and what the actors
    of the last pipeline have left free.
    """
    gc.collect()  # an error and its traceback hold each other, and the actors
    until = time.monotonic() + BACK_SECONDS
    while True:
        try:
            if _all_answer() or time.monotonic() > until:
                return _placed(job)
        except UsageError:
            if time.monotonic() > until:
                raise
        time.sleep(0.5)


def _all_answer() -> bool:
    """Whether those machines answer that Ray holds for alive."""
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    here = ray.remote(num_cpus=0, max_retries=0)(_here)
    asked = [here.options(scheduling_strategy=_on(node)).remote() for node in nodes]
    answers, _ = ray.wait(asked, num_returns=len(asked), timeout=5)
    try:
        return len(ray.get(answers)) == len(nodes)
    except RayError:
        return False


def _here() -> None:
    pass


def _on(node: str) -> NodeAffinitySchedulingStrategy:
    return NodeAffinitySchedulingStrategy(node, soft=False)


def _recorded(run: Run, results: list[Result]) -> list[Result]:
    with run.meters["ledger"].busy(len(results)):
        run.ledger.record(results, model=run.encoder.fingerprint)
    return results


class _Feed:
    """Blocks of photos for Ray: no more of them than `most` photos are under way at once.

    Under way is what was handed out and is not in the ledger; a new pipeline gets that first.
    size: photos in a block, `least` at first, so that few photos make work for many. Used by the
    thread that finds photos and the one that gets what became of them.
    """

    def __init__(self, most: int, least: int, largest: int) -> None:
        self.size = least
        self._most, self._least, self._largest = most, least, largest
        self._under_way: dict[tuple[type, str], Work | GroupWork] = {}
        self._queue: Queue | None = None
        self._ended = self._closed = False
        self._changed = threading.Condition()

    def put(self, works: list[Work | GroupWork]) -> bool:
        """Waits for room; False once closed."""
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._closed
                    or not self._under_way
                    or len(self._under_way) + len(works) <= self._most
                )
            )
            if self._closed:
                return False
            if works:
                self._under_way |= {_key(work): work for work in works}
                if self._queue is not None:
                    self._queue.put(blocks.of_works(works))
                self._changed.notify_all()
            return True

    def end(self) -> None:
        """No more is found."""
        with self._changed:
            self._ended = True
            if self._queue is not None:
                self._queue.put(None)
            self._changed.notify_all()

    def close(self) -> None:
        """No more is wanted."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def wait(self, photos: int) -> bool:
        """Until so many are under way, or some and no more come for a while; False where all is
        done.
        """
        with self._changed:
            while not (self._under_way or self._ended or self._closed):
                self._changed.wait()
            self._changed.wait_for(
                lambda: self._ended or self._closed or len(self._under_way) >= photos,
                FLUSH_SECONDS,
            )
            return bool(self._under_way) and not self._closed

    def begin(self, where: NodeAffinitySchedulingStrategy) -> Queue:
        """A queue of blocks for a new pipeline, None after the last."""
        with self._changed:
            self._queue = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": where})
            for block in cut(self._under_way.values(), lambda: self.size):
                works = [one for one in block if not isinstance(one, Result)]
                self._queue.put(blocks.of_works(works))
            if self._ended:
                self._queue.put(None)
            return self._queue

    def finish(self) -> None:
        """The pipeline is no more."""
        with self._changed:
            if self._queue is not None:
                self._queue.shutdown(force=True)
            self._queue = None

    def done(self, results: Collection[Result]) -> None:
        """These photos are in the ledger."""
        spent = [r.decode_ms + r.encode_ms for r in results if r.decode_ms and r.encode_ms]
        with self._changed:
            for result in results:
                self._under_way.pop((Work, result.photo.id), None)
                self._under_way.pop((GroupWork, result.photo.group or ""), None)
            if spent:
                each = sum(spent) / len(spent) / 1000
                self.size = int(min(max(BLOCK_SECONDS / each, self._least), self._largest))
            self._changed.notify_all()

    def __len__(self) -> int:
        return len(self._under_way)


def _key(work: Work | GroupWork) -> tuple[type, str]:
    return type(work), work.id if isinstance(work, GroupWork) else work.photo.id


class _Found(Datasource):  # type: ignore[misc]  # Ray has no types
    """Blocks as the queue gives them."""

    def __init__(self, queue: Queue) -> None:
        super().__init__()
        self._queue = queue

    def estimate_inmemory_data_size(self) -> None:
        return None

    def get_read_tasks(
        self,
        parallelism: int,
        per_task_row_limit: int | None = None,
        data_context: DataContext | None = None,
    ) -> list[ReadTask]:
        about = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
        return [ReadTask(partial(_taken, self._queue), about)]


def _taken(queue: Queue) -> Iterator[Any]:
    while (block := queue.get()) is not None:
        yield block


def _pipeline(run: Run, feed: _Feed, place: Placement) -> Iterator[list[Result]]:
    """What becomes of photos, once it is in the ledger."""
    job = run.job
    run.meters["read"].workers = place.preparers * READERS
    run.meters["decode"].workers = place.preparers
    run.meters["encode"].workers = place.encoders
    run.meters["bulk"].workers = place.writers * place.requests
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.target_max_block_size = 1  # bytes: each row goes on at once, and a row is a block
    context.wait_for_min_actors_s = int(START_SECONDS)
    for name in ("ray.data", "ray"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    here = _on(ray.get_runtime_context().get_node_id())
    # a file of SQLite is written where it lies; its path is whole, Ray may run in another folder
    writing = run.connect or partial(connect, job.url)
    bound = {}
    if job.url.startswith("sqlite:"):
        writing, bound = partial(connect, job.url), {"scheduling_strategy": here}
    rate = job.documents_per_second
    pace = partial(Pace, place.requests, rate and rate / place.writers)
    rows = ray.data.read_datasource(
        _Found(feed.begin(here)),
        override_num_blocks=1,
        ray_remote_args={"num_cpus": 0, "max_retries": 0, "scheduling_strategy": here},
    )
    if place.decoders:
        rows = _mapped(rows, _Decode, (run.encoder, run.reader), place.decoders)
        encoding = (run.encoder, job.encode_batch)
        rows = _mapped(rows, _Encode, encoding, place.encoders, num_cpus=0, num_gpus=place.gpus)
    else:
        both = (run.encoder, run.reader, job.encode_batch)
        rows = _mapped(rows, _DecodeEncode, both, place.encoders)
    rows = _mapped(
        rows,
        _Write,
        (run.encoder, job, run.policy, writing, pace),
        place.writers,
        calls=place.requests,
        num_cpus=0,
        **bound,
    )
    batches = rows.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
    try:
        for table in batches:
            for written in blocks.written_of(table):
                if written.device not in run.devices:
                    run.devices.append(written.device)
                    if place.gpus and written.device == "cpu":
                        run.notices.put(
                            "encoders hold GPUs and encode on CPUs: `stair-search doctor` on their "
                            "machine says why"
                        )
                yield _taken_in(run, feed, written)
                if written.refused:
                    raise DestinationError(written.refused)
    finally:
        feed.finish()


def _mapped(
    rows: Any,
    step: type,
    told: tuple[Any, ...],
    workers: int,
    *,
    calls: int = 1,
    num_cpus: float = 1,
    **options: Any,
) -> Any:
    return rows.map_batches(
        step,
        fn_constructor_args=told,
        compute=ActorPoolStrategy(
            size=workers, max_concurrent_calls_per_actor=calls, enable_true_multi_threading=True
        ),
        batch_size=1,
        batch_format="pyarrow",
        num_cpus=num_cpus,
        max_restarts=0,
        **options,
    )


def _taken_in(run: Run, feed: _Feed, written: blocks.Written) -> list[Result]:
    results = written.results
    for stage, spent in (
        ("decode", [result.decode_ms for result in results]),
        ("encode", [result.encode_ms for result in results]),
    ):
        known = [ms for ms in spent if ms is not None]
        run.meters[stage].add(sum(known) / 1000, len(known))
    remote = sum(result.photo.place.remote for result in results)
    run.meters["read"].add(written.read_ms / 1000, remote)
    run.meters["bulk"].add(written.bulk_ms / 1000, sum(r.state == "indexed" for r in results))
    _recorded(run, results)
    feed.done(results)
    return results


class _Decode:
    """Reads and decodes the photos of a block."""

    def __init__(self, encoder: Encoder, reader: Reader) -> None:
        self._encoder, self._reader = encoder, reader

    def __call__(self, table: pa.Table) -> pa.Table:
        return blocks.of_decoded(self.decoded(table))

    def decoded(self, table: pa.Table) -> blocks.Decoded:
        encoder = self._encoder
        found = blocks.Decoded([], [], 0.0)
        spent: list[float] = []

        def got(work: Work) -> Loaded | Result:
            started = time.perf_counter()
            loaded = read(work, self._reader)
            spent.append((time.perf_counter() - started) * 1000)
            return loaded

        works = blocks.works_of(table)
        for item in as_done(got, works, is_remote, READERS, ahead=READERS):
            if isinstance(item, GroupWork):
                found.final.append(item)
                continue
            loaded = read(item, self._reader) if isinstance(item, Work) else item
            made = prepare(loaded, encoder.prepare_image, encoder.image_size)
            if isinstance(made, Result):
                found.final.append(made)
            else:
                found.photos.append(made)
        return found._replace(read_ms=sum(spent))


class _Encode:
    """Encodes the photos of a block in batches."""

    def __init__(self, encoder: Encoder, batch: int | None) -> None:
        self._encoder = encoder
        self._batch = BatchSize(found_batch(encoder, batch).size, _log.warning)

    def __call__(self, table: pa.Table) -> pa.Table:
        return self.encoded(blocks.decoded_of(table))

    def encoded(self, found: blocks.Decoded) -> pa.Table:
        photos = found.photos
        answers: list[blocks.Answer] = []
        encode_ms: list[float] = []
        while len(answers) < len(photos):
            batch = photos[len(answers) :][: self._batch.now]
            started = time.perf_counter()
            answers += encode(self._encoder, batch, self._batch)
            spent = (time.perf_counter() - started) * 1000
            encode_ms += [spent / len(batch)] * len(batch)
        return blocks.of_encoded(found, answers, encode_ms, self._encoder.device)


class _DecodeEncode:
    """Both in one process, so that no pixels travel."""

    def __init__(self, encoder: Encoder, reader: Reader, batch: int | None) -> None:
        self._decode, self._encode = _Decode(encoder, reader), _Encode(encoder, batch)

    def __call__(self, table: pa.Table) -> pa.Table:
        return self._encode.encoded(self._decode.decoded(table))


class _Write:
    """Makes documents of a block and writes them. Called by several threads."""

    def __init__(
        self,
        encoder: Encoder,
        job: JobSettings,
        policy: Policy,
        connect: Callable[[], Engine],
        pace: Callable[[], Pace],
    ) -> None:
        self._encoder = encoder
        self._vocabulary = encoder.vocabulary
        self._job, self._policy = job, policy
        self._engine, self._pace = connect(), pace()

    def __call__(self, table: pa.Table) -> pa.Table:
        found = blocks.encoded_of(table)
        results: list[Result] = []
        started = time.perf_counter()
        refused = None
        requests = Requests(self._job)
        made = (self._ready(*photo) for photo in found.photos)
        try:
            for item in gathered(chain(found.final, made), self._job.fields):
                if isinstance(item, Result):
                    results.append(item)
                    continue
                for full in requests.add(item):
                    results += self._sent(full)
            results += self._sent(requests.rest())
        except DestinationError as error:
            refused = str(error)  # what was taken before it goes into the ledger all the same
        spent = (time.perf_counter() - started) * 1000
        return blocks.of_written(
            blocks.Written(results, found.read_ms, spent, refused, found.device)
        )

    def _ready(self, photo: Prepared, answer: blocks.Answer, encode_ms: float) -> Ready | Result:
        return ready(
            photo,
            answer,
            model=self._encoder.fingerprint,
            vocabulary=self._vocabulary,
            fields=self._job.fields,
            policy=self._policy,
            encode_ms=encode_ms,
        )

    def _sent(self, documents: list[Ready]) -> Iterator[Result]:
        for results in sent(self._engine, self._job, documents, self._pace, threading.Event()):
            yield from results
