"""Settings of an index while it is filled: changed where they may be, and put back always."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stair_search.engines import connect
from stair_search.engines.base import Engine
from stair_search.ingest import verify
from stair_search.mappings import index_body
from stair_search.tokens import TokenWeights
from tests.conftest import Engines
from tests.ingest.conftest import Job, MakeJob, counts, make_photo
from tests.ingest.killing import bound_of, start
from tests.ingest.proxy import proxy_to
from tests.ingest.standin import ColourEncoder

pytestmark = pytest.mark.engines

WHILE = {"refresh_interval": "-1", "number_of_replicas": "0"}


@dataclass
class Watching(ColourEncoder):
    """Looks at the index while photos are encoded."""

    job: Job | None = None
    seen: list[dict[str, Any]] = field(default_factory=list)

    def encode_images(self, pixels: NDArray[np.uint8]) -> list[TokenWeights]:
        assert self.job is not None
        self.seen.append(told(self.job))
        return super().encode_images(pixels)


def told(job: Job) -> dict[str, Any]:
    found = job.engine.settings(job.settings.index)
    return {name: found.get(name) for name in WHILE}


@pytest.fixture(params=["opensearch", "elasticsearch7"])
def place(request: pytest.FixtureRequest, engines: Engines) -> str:
    return engines.url(request.param)


@pytest.fixture
def job(place: str, photos: Path, make_job: MakeJob, index_name: str) -> Iterator[Job]:
    job = make_job(photos, url=place, index=index_name)
    job.engine = connect(place, timeout=5)
    yield job
    job.engine.close()


def watched(job: Job) -> Watching:
    encoder = Watching(job=job)
    job.encoder = encoder
    return encoder


def test_an_index_of_its_own_is_filled_without_refresh_and_replicas(job: Job, photos: Path) -> None:
    encoder = watched(job)
    assert counts(job()) == (6, 0, 0)
    assert encoder.seen == [WHILE]
    after = told(job)
    assert after["refresh_interval"] is None and after["number_of_replicas"] == "1"
    make_photo(photos / "new.jpg", "pink")
    assert counts(job()) == (1, 6, 0)  # it has been filled once: people may search it now
    assert encoder.seen == [WHILE, after]


def test_that_of_others_is_left_alone_unless_asked_for(job: Job) -> None:
    body = index_body(job.engine.info.product)
    body["settings"]["index"]["refresh_interval"] = "30s"
    job.engine.create(job.settings.index, body)
    before, encoder = told(job), watched(job)
    assert counts(job()) == (6, 0, 0)
    assert encoder.seen == [before] and before["refresh_interval"] == "30s"
    encoder.name = "colours-1"
    make_photo(Path(job.settings.sources[0]) / "new.jpg", "pink")
    job(load_settings=True)
    assert encoder.seen[-1] == WHILE
    assert told(job) == before


def test_they_are_put_back_when_the_run_fails(job: Job, place: str) -> None:
    with proxy_to(place) as proxy:
        proxy.faults.extend([403] * 10)
        engine: Engine = connect(proxy.url, timeout=2)
        job.engine = engine
        with pytest.raises(Exception, match="403"):
            job(url=proxy.url)
        assert told(job)["refresh_interval"] is None


def test_they_are_put_back_by_what_comes_next_after_a_kill(
    job: Job, photos: Path, tmp_path: Path
) -> None:
    for n in range(100):
        make_photo(photos / f"more{n}.png", f"rgb({n}, 9, 9)")
    process = start(job.settings, tmp_path / "log")
    bound_of(process)
    process.kill()
    process.wait()
    assert told(job) == WHILE
    verify(job.settings.home, job.engine)
    assert told(job)["refresh_interval"] is None
    assert counts(job())[2] == 0
    assert told(job) == {"refresh_interval": None, "number_of_replicas": "1"}
