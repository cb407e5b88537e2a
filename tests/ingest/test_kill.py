"""`kill -9` at any moment, and run again: nothing lost, nothing twice."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from stair_search.engines import connect
from stair_search.ingest import JobSettings
from tests.ingest.killing import PHOTOS, kill, many_photos


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return many_photos(tmp_path / "many")


def kill_again_and_again(settings: JobSettings, tmp_path: Path, kills: int) -> None:
    """Each time a new job over the same photos, killed once or twice, run to its end, verified."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # shown where the test fails
    dice = random.Random(seed)
    engine = connect(settings.url)
    in_time = 0
    for n in range(kills):
        job = replace(settings, index=f"{settings.index}-{n}", folder=tmp_path / f"job{n}")
        killed = kill(job, tmp_path / f"encoded{n}.log", dice, engine)
        print(killed)
        assert killed.found == (PHOTOS, PHOTOS, [], [])
        assert engine.count(job.index) == PHOTOS
        assert 0 <= killed.twice <= killed.most
        in_time += killed.in_time
    engine.close()
    print(f"{in_time} kills came in time")
    assert in_time >= kills / 2, "most runs had ended before they were killed"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_ten_times(folder: Path, tmp_path: Path, engine_url: str, index_name: str) -> None:
    settings = JobSettings((str(folder),), engine_url, index_name, bulk_documents=32)
    kill_again_and_again(settings, tmp_path, 10)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.engines
@pytest.mark.timeout(600)
def test_killed_on_ray(folder: Path, tmp_path: Path, opensearch_url: str, index_name: str) -> None:
    pytest.importorskip("ray")
    settings = JobSettings((str(folder),), opensearch_url, index_name, executor="ray")
    kill_again_and_again(settings, tmp_path, 3)
