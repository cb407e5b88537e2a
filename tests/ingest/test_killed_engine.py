"""`kill -9` of the engine in mid-ingest: the run waits until it is back, and goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from stair_search.engines import connect
from stair_search.errors import DestinationError
from stair_search.ingest import JobSettings, Progress, run, verify
from stair_search.ingest.load import LOADING
from tests.ingest.conftest import counts, make_photo
from tests.ingest.standin import ColourEncoder
from tests.nodes import nodes

pytestmark = [pytest.mark.engines, pytest.mark.slow, pytest.mark.timeout(900)]

PHOTOS = 300


class Mortal:
    """A node of this test alone, which can be killed and started again at its port."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._recipe = replace(nodes.NODES["opensearch"], heap="512m")
        self._node = nodes.start(self._recipe, folder)
        self.url = self._node.url

    def kill(self) -> None:
        nodes.kill(self._node)

    def start(self) -> None:
        self._node = nodes.start(self._recipe, self._folder, ports=self.url.rpartition(":")[2])

    def stop(self) -> None:
        nodes.stop(self._node)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Mortal]:
    node = Mortal(tmp_path / "node")
    yield node
    node.stop()


@pytest.fixture
def job(node: Mortal, tmp_path: Path) -> JobSettings:
    for n in range(PHOTOS):
        make_photo(tmp_path / "many" / f"{n:03}.png", f"rgb({n % 256}, {n // 256}, 7)")
    return JobSettings(
        (str(tmp_path / "many"),),
        node.url,
        folder=tmp_path / "job",
        bulk_documents=10,
        documents_per_second=100,
    )


def at(indexed: int, do: Callable[[], None]) -> Callable[[Progress], None]:
    """Does it once, when so many are indexed."""
    waiting = [do]

    def hear(progress: Progress) -> None:
        if waiting and progress.indexed >= indexed:
            waiting.pop()()

    return hear


def test_a_run_outlives_its_engine(node: Mortal, job: JobSettings, tmp_path: Path) -> None:
    encoder = ColourEncoder(log=tmp_path / "encoded.log")
    engine = connect(node.url, timeout=5)
    back = threading.Thread(target=node.start)

    def kill() -> None:
        node.kill()
        back.start()

    assert counts(run(job, engine, encoder=encoder, progress=at(60, kill))) == (PHOTOS, 0, 0)
    back.join()
    assert {name: engine.settings(job.index).get(name) for name in LOADING} == {
        "refresh_interval": None,
        "number_of_replicas": "1",
    }
    assert verify(job.home, engine) == (PHOTOS, PHOTOS, [], [])
    assert engine.count(job.index) == encoder.encoded() == PHOTOS


def test_one_that_stays_away_ends_the_run_and_the_next_puts_all_right(
    node: Mortal, job: JobSettings, tmp_path: Path
) -> None:
    encoder = ColourEncoder(log=tmp_path / "encoded.log")
    engine = connect(node.url, timeout=5)
    with pytest.raises(DestinationError, match=r"took no documents for 3 s|cannot reach"):
        run(
            replace(job, retry_seconds=3.0),
            engine,
            encoder=encoder,
            progress=at(60, node.kill),
        )
    node.start()
    assert engine.settings(job.index)["refresh_interval"] == "-1"
    again = run(job, engine, encoder=encoder)
    assert (again.indexed + again.unchanged, again.failed) == (PHOTOS, 0)
    assert again.unchanged >= 60
    assert engine.settings(job.index).get("refresh_interval") is None
    assert verify(job.home, engine) == (PHOTOS, PHOTOS, [], [])
    assert engine.count(job.index) == PHOTOS
