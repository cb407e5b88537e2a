"""How much a cluster is asked at once, found by trying: as much as it takes, and no more.

The number of requests under way grows by one after as many clean answers, and is halved when one is
refused (additive increase, multiplicative decrease: Chiu and Jain 1989). It shrinks by one when a
document takes twice the time that it took at best: then requests wait for each other, and more of
them would make others' searches slow and this job no quicker.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SLOW = 2.0
"""Times the best time of an answer."""

NEW = 0.2
"""Share of the latest answer in the mean."""

Clock = Callable[[], float]


class Limit:
    """most: requests under way at once, at most. May be used by several threads."""

    def __init__(self, most: int, clock: Clock = time.monotonic) -> None:
        self.now = 1
        self._most, self._clock = most, clock
        self._busy = self._clean = 0
        self._mean: float | None = None
        self._best = float("inf")
        self._largest = 0
        self._shrunk = -float("inf")
        self._free = threading.Condition()

    @contextmanager
    def turn(self, stop: threading.Event) -> Iterator[Turn]:
        """Waits until one more request may be sent. A stop lets all go on."""
        with self._free:
            while self._busy >= self.now and not stop.is_set():
                self._free.wait(0.1)
            self._busy += 1
        turn = Turn(self, self._clock())
        try:
            yield turn
        finally:
            with self._free:
                self._busy -= 1
                self._free.notify_all()

    def _answered(self, documents: int, started: float) -> None:
        with self._free:
            if documents > 2 * self._largest:  # what was known is of requests of another size
                self._mean, self._best = None, float("inf")
            self._largest = max(self._largest, documents)
            if 2 * documents > self._largest:  # small ones are quick by themselves
                seconds = self._clock() - started
                mean = seconds if self._mean is None else NEW * seconds + (1 - NEW) * self._mean
                self._mean, self._best = mean, min(self._best, mean)
                if mean > SLOW * self._best:
                    self._shrink(self.now - 1, started)
                    return
            if self._busy < self.now:
                return  # what is not used up says nothing of more
            self._clean += 1
            if self._clean >= self.now and self.now < self._most:
                self.now, self._clean = self.now + 1, 0

    def _refused(self, started: float) -> None:
        with self._free:
            self._shrink(self.now // 2, started)

    def _shrink(self, to: int, started: float) -> None:
        """What was sent before the last time tells of the time before it."""
        self._clean = 0
        if started >= self._shrunk:
            self.now, self._shrunk = max(1, to), self._clock()


class Turn:
    """A request under way."""

    def __init__(self, limit: Limit, started: float) -> None:
        self._limit, self._started = limit, started

    def answered(self, documents: int) -> None:
        """All of it was taken."""
        self._limit._answered(documents, self._started)

    def refused(self) -> None:
        """The engine was busy, or gave no answer."""
        self._limit._refused(self._started)


class Throttle:
    """per_second: documents, at most; None for no bound. May be used by several threads."""

    def __init__(self, per_second: float | None, clock: Clock = time.monotonic) -> None:
        self._per_second, self._clock = per_second, clock
        self._sent = clock()
        self._lock = threading.Lock()

    def wait(self, documents: int, stop: threading.Event) -> None:
        """Returns when these documents may be sent: then no more than that have been sent in the
        time until now. At once after a stop.
        """
        if self._per_second is None:
            return
        with self._lock:
            now = self._clock()
            self._sent = max(now, self._sent) + documents / self._per_second
            wait = self._sent - now
        stop.wait(wait)
