"""A Ray of several machines, each its own processes on this one: joined, and losing one."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray")

import ray
from ray.cluster_utils import Cluster

from stair_search.engines import connect
from stair_search.errors import DestinationError, UsageError
from stair_search.ingest import JobSettings, Progress, run, verify
from tests.ingest.conftest import MakeJob, counts, make_photo
from tests.ingest.standin import ColourEncoder

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(300)]

PHOTOS = 300


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    made = Cluster()
    made.add_node(num_cpus=1, include_dashboard=False)
    try:
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


@pytest.fixture
def many(tmp_path: Path) -> Path:
    for n in range(PHOTOS):
        make_photo(tmp_path / "many" / f"{n:03}.png", f"rgb({n % 256}, {n // 2}, 7)")
    return tmp_path / "many"


@pytest.mark.engines
def test_a_machine_is_lost(
    cluster: Cluster, many: Path, tmp_path: Path, opensearch_url: str, index_name: str
) -> None:
    other = cluster.add_node(num_cpus=1)
    job = JobSettings(
        (str(many),),
        opensearch_url,
        index_name,
        executor="ray",
        ray_address=cluster.address,
        folder=tmp_path / "job",
    )
    encoder = ColourEncoder(log=tmp_path / "encoded.log", seconds=0.05)
    told: list[str] = []
    killed_at: list[int] = []

    def tell(progress: Progress) -> None:
        if progress.notice:
            told.append(progress.notice)
        if progress.indexed >= PHOTOS / 4 and not killed_at:
            killed_at.append(progress.indexed)
            cluster.remove_node(other, allow_graceful=False)

    engine = connect(opensearch_url)
    report = run(job, engine, encoder=encoder, progress=tell)
    assert PHOTOS / 4 <= killed_at[0] < PHOTOS
    assert counts(report) == (PHOTOS, 0, 0)
    assert verify(job.home, engine) == (PHOTOS, PHOTOS, [], [])
    assert engine.count(index_name) == PHOTOS
    engine.close()
    bounds = [re.search(r"at most (\d+) photos would be encoded again", line) for line in told]
    bound = next(int(found[1]) for found in bounds if found)
    assert 0 <= encoder.encoded() - PHOTOS <= bound
    assert any("Ray lost a worker" in line for line in told)


def test_encoders_on_parts_of_gpus(
    cluster: Cluster, many: Path, make_job: MakeJob, tmp_path: Path
) -> None:
    """Ray takes our word for what GPUs there are; none is used."""
    cluster.add_node(num_cpus=2, num_gpus=1)
    made: dict[str, Any] = {}
    for name, told in {"cpu": {}, "gpu": {"num_gpus": 0.5}}.items():
        job = make_job(
            many,
            url=f"sqlite:{tmp_path / name}.db",
            index=name,
            folder=tmp_path / name,
            executor="ray",
            ray_address=cluster.address,
            **told,
        )
        job.engine = connect(f"sqlite:{tmp_path / name}.db")
        report = job()
        assert counts(report) == (PHOTOS, 0, 0)
        assert report.stages["encode"]["devices"] == ["cpu"]
        workers = {stage: about["workers"] for stage, about in report.stages.items()}
        assert (workers["decode"], workers["encode"]) == ((3, 3) if name == "cpu" else (3, 2))
        made[name] = job.documents("stair", "stair_hash", "width")
        job.engine.close()
    assert made["cpu"] == made["gpu"]


def test_a_gpu_of_one_machine_is_no_word_for_ray(many: Path, make_job: MakeJob) -> None:
    with pytest.raises(UsageError, match=r"'cuda:1' is of one machine; on Ray --num-gpus says"):
        make_job(many, executor="ray", device="cuda:1")()


def test_no_room_is_told_at_once(cluster: Cluster, many: Path, make_job: MakeJob) -> None:
    job = make_job(many, executor="ray", ray_address=cluster.address, num_gpus=1)
    with pytest.raises(UsageError, match=r"1 GPUs of one machine, and of Ray's 0 \(at most 0"):
        job()


@pytest.mark.parametrize(
    ("address", "error", "said"),
    [
        ("ray://head:10001", UsageError, "ray job submit"),
        ("127.0.0.1:1", DestinationError, "no Ray answers at 127.0.0.1:1"),
    ],
)
def test_an_address_without_a_ray(
    many: Path, make_job: MakeJob, address: str, error: type[Exception], said: str
) -> None:
    started = time.monotonic()
    with pytest.raises(error, match=said):
        make_job(many, executor="ray", ray_address=address)()
    assert time.monotonic() - started < 60, "left hanging"


def test_an_encoder_that_ends_its_process(cluster: Cluster, many: Path, tmp_path: Path) -> None:
    """Told, and not tried for ever."""
    code = f"""
from stair_search.errors import StairError
from stair_search.ingest import JobSettings, run
from stair_search.engines import connect
from tests.ingest.standin import ColourEncoder
class Dies(ColourEncoder):
    def encode_images(self, pixels):
        import os
        os._exit(1)
job = JobSettings(({str(many)!r},), "sqlite:{tmp_path}/d.db", "p", executor="ray",
    ray_address={cluster.address!r}, folder=__import__("pathlib").Path({str(tmp_path)!r}) / "j")
try: run(job, connect(job.url), encoder=Dies())
except StairError as error: print("TOLD", error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=250)
    assert "TOLD Ray lost its workers 3 times before a photo was finished" in done.stdout, done
