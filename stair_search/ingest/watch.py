"""A run as those see it who wait for it: counts, the time that is left, and what limits it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from .count import count
from .job import Progress, Report
from .photo import Result, State
from .pipe import Meter
from .sources import Sources
from .stages import Run

WINDOW = 60.0
"""Seconds: the time that is left follows from what was done in them. Photos that have not changed
are passed quickly, and often stand together.
"""

BUSY = 0.8
"""A stage that is busy for so much of the time limits the others."""

REMEDIES = {
    "find": "a quicker disk for the photos would help",
    "read": "the servers or stores that the photos lie on, or the way to them, give no more",
    "decode": "more CPUs would help, or smaller photos",
    "encode": "more CPUs or a GPU would help, or more machines (--executor ray)",
    "bulk": "the engine takes no more",
    "ledger": "a quicker disk for the job's folder would help",
}


def bottleneck(
    meters: Mapping[str, Meter], seconds: float, throttled: bool = False, on_gpu: bool = False
) -> str:
    """The stage that was busy most of this time, in words; what would help where it is the limit.

    throttled: a bound on documents per second is set. on_gpu: photos are encoded there.
    """
    shares = {name: meter.share(seconds) for name, meter in meters.items()}
    name = max(shares, key=lambda one: shares[one])
    meter = meters[name]
    if not meter.items:
        return ""
    several = f"{meter.workers} workers " if meter.workers > 1 else ""
    told = f"{name}: {several}busy {_percent(shares[name])}"
    if shares[name] < BUSY:
        return told
    remedy = REMEDIES[name]
    if name == "bulk" and throttled:
        remedy = "--max-docs-per-second holds it back"
    if name == "encode" and on_gpu:
        remedy = "more GPUs would help, or more machines (--executor ray)"
    others = [one for one in ("encode", "bulk") if one != name and meters[one].items]
    idle = ", ".join(f"{one} idle {_percent(1 - shares[one])}" for one in others)
    return f"{told}; {idle}: {remedy}" if idle else f"{told}: {remedy}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


class Watch:
    """Counts final states and watches the stages of a run.

    sources: are counted beside it; None where not all of them are gone through.
    """

    def __init__(
        self,
        run: Run,
        sources: Sources | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counts: dict[State, int] = {"indexed": 0, "unchanged": 0, "failed": 0}
        self.total: int | None = None
        self.last = Progress()
        self.run, self._clock, self._started = run, clock, clock()
        self._past: deque[tuple[float, int]] = deque([(self._started, 0)])
        if sources is not None:
            threading.Thread(target=self._count, args=(sources,), daemon=True).start()

    def _count(self, sources: Sources) -> None:
        self.total = count(sources, self.run.stop)

    def add(self, results: list[Result]) -> None:
        """Photos in their final state."""
        for result in results:
            self.counts[result.state] += 1

    def progress(self) -> Progress:
        """How far it is; kept as `last` for other threads."""
        now = self._clock()
        seen, indexed, unchanged, failed = self._told()
        if now - self._past[-1][0] >= 1:
            self._past.append((now, seen))
        while len(self._past) > 2 and now - self._past[1][0] > WINDOW:
            self._past.popleft()
        self.last = Progress(
            seen,
            indexed,
            unchanged,
            failed,
            now - self._started,
            self._bottleneck(now),
            total=self.total,
            seconds_left=self._left(now, seen),
        )
        return self.last

    def _told(self) -> tuple[int, int, int, int]:
        indexed, unchanged, failed = self.counts.values()
        return indexed + unchanged + failed, indexed, unchanged, failed

    def _left(self, now: float, seen: int) -> float | None:
        then, before = self._past[0]
        if self.total is None or seen <= before or now - then < 1:
            return None
        return max(0, self.total - seen) * (now - then) / (seen - before)

    def _bottleneck(self, now: float) -> str:
        throttled = self.run.job.documents_per_second is not None
        on_gpu = any(device != "cpu" for device in self.run.devices)
        return bottleneck(self.run.meters, now - self._started, throttled, on_gpu)

    def report(self) -> Report:
        """How it ended."""
        now = self._clock()
        seconds = now - self._started
        stages: dict[str, dict[str, Any]] = {
            name: {
                "busy_seconds": round(meter.seconds, 3),
                "busy": round(meter.share(seconds), 3),
                "items": meter.items,
                "workers": meter.workers,
            }
            for name, meter in self.run.meters.items()
        }
        stages["encode"]["devices"] = self.run.devices
        if self.run.job.executor == "local":  # Ray's encoders choose for themselves
            stages["encode"] |= {
                "precision": self.run.encoder.precision,
                "batch": self.run.batch.now,
            }
        return Report(
            str(self.run.job.home),
            *self._told(),
            round(seconds, 3),
            round(self.counts["indexed"] / seconds, 2) if seconds else 0.0,
            self._bottleneck(now),
            stages,
        )
