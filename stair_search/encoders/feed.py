"""Photos to a device and what it says of them back, so that a GPU has no pause between two batches.

Two threads may call at once. On a GPU one's batch is computed while the other's is on its way (in
pinned memory, on a stream of its own) or its answers are read: a thread waits for its own batch
alone, asleep. Batches are computed one after the other on one stream, so that memory is needed for
one at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Compute = Callable[[Any], tuple[Any, ...]]
"""uint8 [n, s, s, 3] on the device to small tensors there."""

Answers = list[NDArray[Any]]


def feeder(compute: Compute, device: str) -> Callable[[NDArray[np.uint8]], Answers]:
    """What brings uint8 [n, s, s, 3] to the device, and brings back what `compute` makes of it."""
    return _Gpu(compute, device) if device != "cpu" else partial(_on_cpu, compute)


@torch.inference_mode()  # type: ignore[untyped-decorator]
def _on_cpu(compute: Compute, batch: NDArray[np.uint8]) -> Answers:
    return [part.numpy() for part in compute(torch.tensor(batch))]


def to_host(parts: Iterable[Any]) -> list[Any]:
    """On their way into pinned memory: not to be read before the stream has come so far."""
    return [part.to("cpu", non_blocking=True) for part in parts]


class _Gpu:
    def __init__(self, compute: Compute, device: str) -> None:
        self._compute = compute
        self._copying, self._computing = torch.cuda.Stream(device), torch.cuda.Stream(device)
        self._turn = threading.Lock()
        # the weights came by the default stream, for which the others do not wait
        torch.cuda.synchronize(device)

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def __call__(self, batch: NDArray[np.uint8]) -> Answers:
        with torch.cuda.stream(self._copying):
            pixels = pinned(batch).to(self._copying.device, non_blocking=True)
            copied = self._copying.record_event()
        with self._turn, torch.cuda.stream(self._computing):
            self._computing.wait_event(copied)
            # made on another stream: its memory must not be given away before this one is done
            pixels.record_stream(self._computing)
            answers = to_host(self._compute(pixels))
            # blocking: the thread sleeps until then, and leaves its core to those that decode
            done = self._computing.record_event(torch.cuda.Event(blocking=True))
        done.synchronize()
        return [part.numpy() for part in answers]


def pinned(batch: NDArray[np.uint8]) -> Any:
    """A copy in memory that the GPU reads by itself."""
    held = torch.empty(batch.shape, dtype=torch.uint8, pin_memory=True)
    held.numpy()[:] = batch
    return held
