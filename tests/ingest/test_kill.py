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


def kill_again_and_again(
    settings: JobSettings, tmp_path: Path, kills: int, documents: int = PHOTOS
) -> None:
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
        assert killed.found == (documents, documents, [], [])
        assert engine.count(job.index) == documents
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
@pytest.mark.timeout(600)
def test_killed_among_groups(
    folder: Path, tmp_path: Path, engine_url: str, index_name: str
) -> None:
    """Documents of one to seven photos: whole after the resume, none written from half a group."""
    rows = ["product,image"]
    dice = random.Random(1)
    names = sorted(path.name for path in folder.iterdir())
    documents = 0
    while names:
        documents += 1
        some, names = names[: (size := dice.randint(1, 7))], names[size:]
        rows += [f"p{documents},{name}" for name in some]
    (folder / "list.csv").write_text("\n".join(rows))
    (tmp_path / "columns.toml").write_text('group = "product"\n')
    settings = JobSettings(
        (str(folder / "list.csv"),),
        engine_url,
        index_name,
        columns=tmp_path / "columns.toml",
        bulk_documents=32,
    )
    kill_again_and_again(settings, tmp_path, 5, documents)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.engines
@pytest.mark.timeout(600)
def test_killed_on_ray(folder: Path, tmp_path: Path, opensearch_url: str, index_name: str) -> None:
    pytest.importorskip("ray")
    settings = JobSettings((str(folder),), opensearch_url, index_name, executor="ray")
    kill_again_and_again(settings, tmp_path, 3)
