"""`kill -9` at any moment, and run again: nothing lost, nothing twice."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from stair_search.engines import connect
from stair_search.ingest import JobSettings, verify
from tests.conftest import ROOT
from tests.ingest.conftest import make_photo
from tests.ingest.standin import ColourEncoder

PHOTOS = 240
SECONDS = {"local": 0.01, "ray": 0.04}
"""A photo's encoding by one of the encoders, of which there is one a CPU."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for n in range(PHOTOS):
        make_photo(tmp_path / "many" / f"{n:03}.png", f"rgb({n}, {255 - n}, 7)")
    return tmp_path / "many"


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


def kill_again_and_again(settings: JobSettings, folder: Path, tmp_path: Path, kills: int) -> None:
    """Each time a new job over the same photos, killed once or twice, run to its end, verified."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # shown where the test fails
    dice = random.Random(seed)
    engine = connect(settings.url)
    in_time = 0
    for n in range(kills):
        job = replace(settings, index=f"{settings.index}-{n}", folder=tmp_path / f"job{n}")
        log = tmp_path / f"encoded{n}.log"
        encoder = ColourEncoder(log=log)
        killed = []
        for _ in range(dice.randint(1, 2)):
            process = start(job, log)
            bound = bound_of(process)
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
            killed.append(encoder.encoded())
        process = start(job, log)
        assert bound_of(process) == bound
        assert process.wait(timeout=120) == 0
        found = verify(job.home, engine)
        assert found == (PHOTOS, PHOTOS, [], [])
        assert engine.count(job.index) == PHOTOS
        twice = encoder.encoded() - PHOTOS
        print(f"killed at {killed} encoded, {twice} encoded twice, bound {bound} each")
        assert 0 <= twice <= len(killed) * bound
    engine.close()
    print(f"{in_time} kills came in time")
    assert in_time >= kills / 2, "most runs had ended before they were killed"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_ten_times(folder: Path, tmp_path: Path, engine_url: str, index_name: str) -> None:
    settings = JobSettings((str(folder),), engine_url, index_name, bulk_documents=32)
    kill_again_and_again(settings, folder, tmp_path, 10)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.engines
@pytest.mark.timeout(600)
def test_killed_on_ray(folder: Path, tmp_path: Path, opensearch_url: str, index_name: str) -> None:
    pytest.importorskip("ray")
    settings = JobSettings((str(folder),), opensearch_url, index_name, executor="ray")
    kill_again_and_again(settings, folder, tmp_path, 3)
