"""How many photos an encoder is given at once: found by a probe, halved where memory ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from stair_search.encoders.device import Memory, is_out_of_memory

from .encoder import Encoder

ON_CPU = 8
"""A CPU gains nothing from more (docs/figures.md), and a photo waits for its batch."""

SMALLEST, LARGEST = 8, 1024
GAIN = 1.05
"""A batch of twice the size must be so much quicker to be worth its memory."""

ROOM = 0.9
"""The share of a GPU's memory that may be taken: what is not a probe's photo may need more."""

LEAST_SECONDS = 0.25
"""Each size is measured for so long."""


class BatchSize:
    """now: photos at once, from now on at most. Shared by threads."""

    def __init__(self, now: int, tell: Callable[[str], None]) -> None:
        self.now = now
        self._tell = tell
        self._lock = threading.Lock()

    def shrink(self, failed: int) -> None:
        """So many at once were too many. Said once, however many threads have found it out."""
        with self._lock:
            smaller = max(1, failed // 2)
            if smaller >= self.now:
                return
            self.now = smaller
        self._tell(
            f"out of memory with {failed} photos at once: encoded {self.now} at once from now on"
        )


class Probe(NamedTuple):
    """photos_per_second: None where the smallest batch was too large already."""

    size: int
    photos_per_second: float | None = None
    memory: Memory | None = None

    def __str__(self) -> str:
        """As it is reported.

        >>> str(Probe(64, 812.4, Memory(3_100_000_000, 80_000_000_000)))
        'batch 64: 812 photos/s, 3.1 of 80.0 GB'
        """
        if self.photos_per_second is None:
            return f"batch {self.size}"
        of = self.memory
        held = f", {of.used / 1e9:.1f} of {of.total / 1e9:.1f} GB" if of else ""
        return f"batch {self.size}: {self.photos_per_second:.0f} photos/s{held}"


def probe(rate: Callable[[int], float], memory: Callable[[], Memory | None]) -> Probe:
    """Doubles the batch for as long as that pays and memory is there.

    rate: photos a second in batches of this size; raises an error of memory. memory: what was taken
    until now.
    """
    best = Probe(SMALLEST)
    size = SMALLEST
    while size <= LARGEST:
        try:
            found = rate(size)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            break
        if best.photos_per_second and found < GAIN * best.photos_per_second:
            break
        best = Probe(size, found, memory())
        if best.memory and 2 * best.memory.used > ROOM * best.memory.total:
            break
        size *= 2
    return best


def rate(encoder: Encoder, callers: int, size: int, least: float = LEAST_SECONDS) -> float:
    """Photos a second that so many threads get out of an encoder, in batches of this size."""
    side = encoder.image_size
    photo = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    batch = np.broadcast_to(photo, (size, side, side, 3))
    with ThreadPoolExecutor(callers) as pool:

        def encode(times: int) -> None:
            for _ in pool.map(encoder.encode_images, [batch] * times):
                pass

        encode(callers)  # memory is taken and kernels are chosen
        times, began = 0, time.perf_counter()
        while time.perf_counter() - began < least:
            encode(4 * callers)
            times += 4 * callers
        return times * size / (time.perf_counter() - began)
