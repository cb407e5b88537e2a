"""Which devices encode, who calls them, and how many photos each is given at once.

Executors share it: the local one has an encoder for each GPU, Ray an actor for each.
"""

from __future__ import annotations

import os
import queue
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from stair_search.encoders.device import gpus

from .batch import ON_CPU, Probe, probe, rate
from .encoder import Encoder

GPU_CALLERS = 2
"""Threads a GPU: one's batch is computed while the other's photos and tokens are under way."""


def on_gpu(encoder: Encoder) -> bool:
    return encoder.device != "cpu"


def callers(encoder: Encoder) -> int:
    """Threads that keep one encoder busy.

    A thread a CPU with an encoder that uses one beats one thread with an encoder that uses all:
    nobody waits for anybody inside a photo.
    """
    return GPU_CALLERS if on_gpu(encoder) else os.cpu_count() or 1


def on_each_gpu(
    encoder: Encoder, device: str, again: Callable[[str], Encoder] | None
) -> list[Encoder]:
    """The encoder, and where `device` does not name one GPU of several, one on each of the others.

    again: makes another on a device; None where there can be none.
    """
    if again is None or not on_gpu(encoder) or device not in ("auto", "cuda"):
        return [encoder]
    return [encoder, *(again(f"cuda:{number}") for number in range(1, gpus()))]


def found_batch(encoder: Encoder, asked: int | None) -> Probe:
    """What was asked for; else what a probe finds on a GPU, in a few seconds."""
    if asked is not None:
        return Probe(asked)
    if not on_gpu(encoder):
        return Probe(ON_CPU)
    return probe(partial(rate, encoder, callers(encoder)), encoder.memory)


class Pool:
    """Encoders of one model, a device each; a batch goes to one that is free."""

    def __init__(self, encoders: Sequence[Encoder]) -> None:
        self.devices = [encoder.device for encoder in encoders]
        self.callers = sum(map(callers, encoders))
        self._free: queue.SimpleQueue[Encoder] = queue.SimpleQueue()
        for encoder in encoders:
            for _ in range(callers(encoder)):
                self._free.put(encoder)

    @contextmanager
    def free(self) -> Iterator[Encoder]:
        """Waits for one."""
        encoder = self._free.get()
        try:
            yield encoder
        finally:
            self._free.put(encoder)
