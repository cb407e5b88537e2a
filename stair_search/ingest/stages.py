"""The steps after decoding as plain functions: encode a batch, write a batch, keep the ledger."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np

from stair_search.encoders.device import is_out_of_memory
from stair_search.engines.base import Engine
from stair_search.errors import StairError
from stair_search.fields import Fields
from stair_search.tokens import TokenWeights
from stair_search.vocabulary import Vocabulary

from . import bulk
from .batch import ON_CPU, BatchSize
from .devices import Pool
from .document import document, rules, size
from .encoder import Encoder
from .groups import Found, Gathering
from .job import JobSettings
from .ledger import Ledger
from .photo import GroupWork, Prepared, Ready, Result
from .pipe import Meter
from .policy import Policy
from .reading.reader import Reader
from .senders import Senders

FLUSH_SECONDS = 2.0
"""Documents wait for their request to fill no longer than this."""

STAGES = ("find", "read", "decode", "encode", "bulk", "ledger")


@dataclass
class Run:
    """What the stages of one run share.

    again: makes another encoder of the same model on a device. devices: that encode, once the
    executor knows them. notices: to be told to the caller.
    """

    job: JobSettings
    engine: Engine
    encoder: Encoder
    ledger: Ledger
    reader: Reader
    pace: bulk.Pace
    policy: Policy
    largest_group: int = 1
    stop: threading.Event = field(default_factory=threading.Event)
    meters: dict[str, Meter] = field(default_factory=lambda: {name: Meter() for name in STAGES})
    connect: Callable[[], Engine] | None = None
    again: Callable[[str], Encoder] | None = None
    devices: list[str] = field(default_factory=list)
    notices: queue.SimpleQueue[str] = field(default_factory=queue.SimpleQueue)
    batch: BatchSize = field(init=False)

    def __post_init__(self) -> None:
        self.batch = BatchSize(self.job.encode_batch or ON_CPU, self.notices.put)


class Executor(NamedTuple):
    """Who does the work of a run.

    execute: brings every photo to its final state; yields results that are in the ledger already.
    in_flight: photos that may be encoded and not yet in the ledger, at most.
    """

    execute: Callable[[Iterator[Found]], Iterator[list[Result]]]
    in_flight: int


def encode(
    encoder: Encoder, batch: Sequence[Prepared], size: BatchSize | None = None
) -> list[TokenWeights | str]:
    """The tokens of each photo; why not, where a photo cannot be encoded.

    size: shrinks where that many do not fit into memory; None: it is forgotten after this batch.
    """
    size = size or BatchSize(len(batch), lambda _: None)
    answers: list[TokenWeights | str] = []
    while len(answers) < len(batch):
        answers += _encoded(encoder, batch[len(answers) :][: size.now], size)
    return answers


def _encoded(
    encoder: Encoder, batch: Sequence[Prepared], size: BatchSize
) -> list[TokenWeights | str]:
    """As `encode`; no answers where the batch is to be tried again, smaller."""
    try:
        return list(encoder.encode_images(np.stack([photo.pixels for photo in batch])))
    except StairError:
        raise
    except Exception as error:  # the encoder's runtime may raise anything
        too_large = is_out_of_memory(error)
        reason = f"cannot be encoded: {type(error).__name__}: {' '.join(str(error).split())}"
    # after the except clause: until its end the error holds the tensors that filled the memory
    if len(batch) == 1:
        return [reason]
    if too_large:
        size.shrink(len(batch))
        return []
    return [answer for photo in batch for answer in _encoded(encoder, [photo], size)]


def ready(
    photo: Prepared,
    tokens: TokenWeights | str,
    *,
    model: str,
    vocabulary: Vocabulary,
    fields: Fields,
    policy: Policy,
    encode_ms: float,
) -> Ready | Result:
    """A photo's document, or its failure; its part of the document that it shares."""
    work = photo.work
    if isinstance(tokens, str):
        return Result(work.photo, "failed", tokens)
    result = Result(
        work.photo,
        "indexed",
        None,
        work.version,
        photo.content_hash,
        work.columns_hash,
        photo.decode_ms,
        encode_ms,
    )
    alone = work.photo if work.photo.group is None else work.photo._replace(columns={})
    made = document(
        alone,
        policy.apply(tokens),
        content_hash=photo.content_hash,
        width=photo.width,
        height=photo.height,
        model=model,
        vocabulary=vocabulary,
        fields=fields,
        gone=work.gone,
    )
    if work.photo.group is None:
        return Ready(made, (result,))
    return result._replace(part=made.fields, rules=rules(fields, policy, model))


class Requests:
    """Gathers documents for requests of bounded size, in bytes first and in photos second."""

    def __init__(self, job: JobSettings) -> None:
        self._job = job
        # at a low rate a second's worth at once, so that the rate is one
        rate = job.documents_per_second
        self._most = (
            job.bulk_documents if rate is None else min(job.bulk_documents, math.ceil(rate))
        )
        self._bytes = self._photos = 0
        self._held: list[Ready] = []

    def add(self, one: Ready) -> Iterator[list[Ready]]:
        """Takes a document; yields what is full then."""
        bytes_, photos = size(one.document), len(one.results)
        over = self._bytes + bytes_ > self._job.bulk_bytes or self._photos + photos > self._most
        if self._held and over:
            yield self.rest()
        self._held.append(one)
        self._bytes += bytes_
        self._photos += photos
        if self._photos >= self._most:
            yield self.rest()

    def rest(self) -> list[Ready]:
        """What is held, be it full or not."""
        held, self._held, self._bytes, self._photos = self._held, [], 0, 0
        return held


Batch = tuple[list[Prepared], list[Result | GroupWork]]


def batches(
    items: Iterator[Prepared | Result | GroupWork | None], size: int | Callable[[], int]
) -> Iterator[Batch]:
    """Photos in batches for the encoder; what is none passes beside them, None is left out."""
    now = size if callable(size) else lambda: size
    photos: list[Prepared] = []
    final: list[Result | GroupWork] = []
    for item in items:
        if isinstance(item, Prepared):
            photos.append(item)
        elif item is not None:
            final.append(item)
        if len(photos) >= now() or len(final) >= 256:
            yield photos, final
            photos, final = [], []
    yield photos, final


def encoded(run: Run, encoders: Pool, batch: Batch) -> list[Ready | Result | GroupWork]:
    """The batch's documents. After a stop nothing more is encoded, and its photos are dropped."""
    photos, final = batch
    if not photos or run.stop.is_set():
        return list(final)
    with encoders.free() as encoder:
        started = time.perf_counter()
        answers = encode(encoder, photos, run.batch)
        spent = time.perf_counter() - started
    run.meters["encode"].add(spent, len(photos))
    return [
        *final,
        *(
            ready(
                photo,
                tokens,
                model=run.encoder.fingerprint,
                vocabulary=run.encoder.vocabulary,
                fields=run.job.fields,
                policy=run.policy,
                encode_ms=spent / len(photos) * 1000,
            )
            for photo, tokens in zip(photos, answers, strict=True)
        ),
    ]


def written(
    run: Run, batches: Iterator[list[Ready | Result | GroupWork]]
) -> Iterator[list[Result]]:
    """Writes documents in bounded requests, several at a time, and enters each answer into the
    ledger at once, in the caller's thread.
    """
    requests, gathering = Requests(run.job), Gathering(run.job.fields)
    senders = Senders(partial(_sent, run), run.job.bulk_requests)
    run.meters["bulk"].workers = run.job.bulk_requests
    final: list[Result] = []
    since = time.monotonic()

    def record(results: list[Result]) -> list[Result]:
        with run.meters["ledger"].busy(len(results)):
            run.ledger.record(results, model=run.encoder.fingerprint)
        return results

    def send(documents: list[Ready]) -> Iterator[list[Result]]:
        nonlocal since
        since = time.monotonic()
        if documents:
            yield from map(record, senders.add(documents))

    try:
        for batch in batches:
            for item in (whole for one in batch for whole in gathering.add(one)):
                if isinstance(item, Result):
                    final.append(item)
                else:
                    for full in requests.add(item):
                        yield from send(full)
            yield from map(record, senders.known())
            late = time.monotonic() - since > FLUSH_SECONDS
            if final and (late or len(final) >= 256):
                yield record(final)
                final = []
            if late:
                yield from send(requests.rest())
        yield record(final)
        yield from send(requests.rest())
        yield from map(record, senders.rest())
    finally:
        senders.close()
        for results in senders.known():  # what was taken is taken, whatever has ended the run
            record(results)


def _sent(run: Run, documents: list[Ready]) -> Iterator[list[Result]]:
    answers = sent(run.engine, run.job, documents, run.pace, run.stop)
    yield from run.meters["bulk"].timed(answers, count=len)


def sent(
    engine: Engine,
    job: JobSettings,
    documents: Sequence[Ready],
    pace: bulk.Pace,
    stop: threading.Event,
) -> Iterator[list[Result]]:
    """One request and its repetitions: what became of each photo, as it becomes known."""
    waiting = {ready.document.id: ready.results for ready in documents}
    for outcomes in bulk.write(
        engine,
        job.index,
        [ready.document for ready in documents],
        pipeline=job.pipeline,
        pace=pace,
        retry_seconds=job.retry_seconds,
        stop=stop,
    ):
        yield [
            result if o.ok else refused(result, f"{engine.info.product}: {o.error}")
            for o in outcomes
            for result in waiting[o.id]
        ]


def refused(result: Result, reason: str) -> Result:
    """A photo whose document the engine has not taken; one that has failed keeps its own reason."""
    return Result(result.photo, "failed", result.reason or reason)
