"""Runs of ingest that are killed with `kill -9` at random moments and then brought to their end."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from stair_search.engines.base import Engine
from stair_search.ingest import JobSettings, Verification, verify
from tests.conftest import ROOT
from tests.ingest.conftest import make_photo
from tests.ingest.standin import ColourEncoder

PHOTOS = 240
SECONDS = {"local": 0.01, "ray": 0.04}
"""A photo's encoding by one of the encoders, of which there is one a CPU."""


class Killed(NamedTuple):
    """A job that was killed once or twice and then came to its end.

    at: photos encoded when each kill came; in_time: kills before the run's own end; twice: photos
    encoded more than once, over all kills; bound: of these for each kill, as the run tells it.
    """

    at: list[int]
    in_time: int
    twice: int
    bound: int
    seconds: float
    found: Verification

    @property
    def most(self) -> int:
        return len(self.at) * self.bound


def many_photos(folder: Path) -> Path:
    """As many as a job has here, each in a colour of its own."""
    for n in range(PHOTOS):
        make_photo(folder / f"{n:03}.png", f"rgb({n}, {255 - n}, 7)")
    return folder


def kill(job: JobSettings, log: Path, dice: random.Random, engine: Engine) -> Killed:
    """Runs a job over `many_photos`, kills it once or twice, runs it to its end and verifies it."""
    encoder = ColourEncoder(log=log)
    began = time.monotonic()
    at, bounds, in_time = [], set(), 0
    for _ in range(dice.randint(1, 2)):
        process = start(job, log)
        bounds.add(bound_of(process))
        before = encoder.encoded()
        early = dice.random() < 0.2  # else not before something is encoded
        while not early and encoder.encoded() == before and process.poll() is None:
            time.sleep(0.02)
        # as long as the encoders, one a CPU, need for what is left
        left = max(0, PHOTOS - encoder.encoded()) / (os.cpu_count() or 1)
        time.sleep(dice.uniform(0, SECONDS[job.executor] * left))
        in_time += process.poll() is None
        process.kill()
        process.wait()
        at.append(encoder.encoded())
    process = start(job, log)
    bounds.add(bound_of(process))
    code = process.wait(timeout=120)
    assert code == 0, f"the resumed run ended with {code}"
    (bound,) = bounds
    twice = encoder.encoded() - PHOTOS
    spent = time.monotonic() - began
    return Killed(at, in_time, twice, bound, spent, verify(job.home, engine))


def start(settings: JobSettings, log: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.ingest.victim"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    told = {"settings": settings.to_dict(), "log": str(log), "seconds": SECONDS[settings.executor]}
    process.stdin.write(json.dumps(told))
    process.stdin.close()
    return process


def bound_of(process: subprocess.Popen[str]) -> int:
    """Reads on until the bound is told: from then on photos are worked on."""
    assert process.stdout is not None
    for line in process.stdout:
        if told := re.search(r"at most (\d+) photos would be encoded again", line):
            return int(told[1])
    raise AssertionError("the run told no bound")
