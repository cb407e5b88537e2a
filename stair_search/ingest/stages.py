"""The steps after decoding as plain functions: encode a batch, write a batch, keep the ledger."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from stair_search.engines.base import Document, Engine
from stair_search.errors import StairError
from stair_search.tokens import TokenWeights

from . import bulk
from .document import document, size
from .encoder import Encoder
from .job import JobSettings
from .ledger import Ledger
from .photo import Prepared, Result
from .pipe import Meter

FLUSH_SECONDS = 2.0
"""Documents wait for their request to fill no longer than this."""

STAGES = ("find", "decode", "encode", "bulk", "ledger")


@dataclass
class Run:
    """What the stages of one run share."""

    job: JobSettings
    engine: Engine
    encoder: Encoder
    ledger: Ledger
    stop: threading.Event = field(default_factory=threading.Event)
    meters: dict[str, Meter] = field(default_factory=lambda: {name: Meter() for name in STAGES})
    connect: Callable[[], Engine] | None = None

    def bottleneck(self, seconds: float) -> str:
        """The stage that was busy most of this time, in words."""
        name, meter = max(self.meters.items(), key=lambda item: item[1].share(seconds))
        if not meter.items:
            return ""
        several = f"{meter.workers} workers " if meter.workers > 1 else ""
        return f"{name}: {several}busy {meter.share(seconds):.0%}".replace("%", " %")


class Ready(NamedTuple):
    """A document that is to be written and what becomes of its photo then."""

    document: Document
    result: Result


def encode(encoder: Encoder, batch: Sequence[Prepared]) -> list[TokenWeights | str]:
    """The tokens of each photo; why not, where a photo cannot be encoded."""
    try:
        return list(encoder.encode_images(np.stack([photo.pixels for photo in batch])))
    except StairError:
        raise
    except Exception as error:  # the encoder's runtime may raise anything
        if len(batch) == 1:
            return [f"cannot be encoded: {type(error).__name__}: {error}"]
        return [answer for photo in batch for answer in encode(encoder, [photo])]


def ready(
    photo: Prepared, tokens: TokenWeights | str, run: Run, encode_ms: float
) -> Ready | Result:
    """A photo's document, or its failure."""
    work = photo.work
    if isinstance(tokens, str):
        return Result(work.photo, "failed", tokens)
    result = Result(
        work.photo,
        "indexed",
        None,
        work.size,
        work.mtime_ns,
        photo.content_hash,
        work.columns_hash,
        photo.decode_ms,
        encode_ms,
    )
    made = document(
        work.photo,
        tokens,
        content_hash=photo.content_hash,
        width=photo.width,
        height=photo.height,
        model=run.encoder.fingerprint,
        vocabulary=run.encoder.vocabulary,
        fields=run.job.fields,
        gone=work.gone,
    )
    return Ready(made, result)


def encoded(run: Run, items: Iterator[Prepared | Result]) -> Iterator[list[Ready | Result]]:
    """Encodes in batches; finished results pass through. After a stop nothing more is encoded."""
    batch: list[Prepared] = []
    passing: list[Ready | Result] = []

    def flush() -> list[Ready | Result]:
        made: list[Ready | Result] = list(passing)
        if batch and not run.stop.is_set():
            started = time.perf_counter()
            answers = encode(run.encoder, batch)
            spent = time.perf_counter() - started
            run.meters["encode"].add(spent, len(batch))
            each = spent / len(batch) * 1000
            made += [ready(p, a, run, each) for p, a in zip(batch, answers, strict=True)]
        batch.clear()
        passing.clear()
        return made

    for item in items:
        if isinstance(item, Result):
            passing.append(item)
        else:
            batch.append(item)
        if len(batch) >= run.job.encode_batch or len(passing) >= 256:
            yield flush()
    yield flush()


def written(run: Run, batches: Iterator[list[Ready | Result]]) -> Iterator[list[Result]]:
    """Writes documents in bounded requests and enters each answer into the ledger at once."""
    pending: list[Ready] = []
    final: list[Result] = []
    held, since = 0, time.monotonic()

    def record(results: list[Result]) -> list[Result]:
        with run.meters["ledger"].busy(len(results)):
            run.ledger.record(results, model=run.encoder.fingerprint)
        return results

    def send() -> Iterator[list[Result]]:
        nonlocal held, since
        documents, held, since = list(pending), 0, time.monotonic()
        pending.clear()
        for results in sent(run, documents):
            yield record(results)

    for batch in batches:
        for item in batch:
            if isinstance(item, Result):
                final.append(item)
                continue
            bytes_ = size(item.document)
            if pending and held + bytes_ > run.job.bulk_bytes:
                yield from send()
            pending.append(item)
            held += bytes_
            if len(pending) >= run.job.bulk_documents:
                yield from send()
        late = time.monotonic() - since > FLUSH_SECONDS
        if final and (late or len(final) >= 256):
            yield record(final)
            final = []
        if pending and late:
            yield from send()
    if final:
        yield record(final)
    if pending:
        yield from send()


def sent(run: Run, documents: Sequence[Ready]) -> Iterator[list[Result]]:
    """One request and its repetitions: what became of each photo."""
    waiting = {ready.document.id: ready.result for ready in documents}
    meter = run.meters["bulk"]
    answers = bulk.write(
        run.engine,
        run.job.index,
        [ready.document for ready in documents],
        retry_seconds=run.job.retry_seconds,
        stop=run.stop,
    )
    for outcomes in meter.timed(answers):
        meter.items += len(outcomes) - 1  # counted in documents, not in answers
        yield [
            waiting[o.id]
            if o.ok
            else Result(waiting[o.id].photo, "failed", f"{run.engine.info.product}: {o.error}")
            for o in outcomes
        ]
