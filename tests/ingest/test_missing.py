"""`--delete-missing`: documents of photos that are gone go too, and no others."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from stair_search.engines import connect
from stair_search.engines.base import Engine, Outcome
from stair_search.errors import DestinationError, UsageError
from stair_search.ingest import JobSettings, Progress, Report, run, verify
from stair_search.ingest.job import load
from stair_search.ingest.photo import uri_of
from tests.conftest import Engines
from tests.ingest.conftest import Job, MakeJob, counts, make_photo
from tests.ingest.proxy import proxy_to


@pytest.fixture
def job(engine_url: str, photos: Path, make_job: MakeJob, index_name: str) -> Iterator[Job]:
    """On each of the engines in turn."""
    job = make_job(photos, url=engine_url, index=index_name, delete_missing=True)
    job.engine = connect(engine_url)
    yield job
    job.engine.close()


def present(job: Job) -> int:
    """Documents; they are those that the ledger tells of."""
    found = verify(job.settings.home, job.engine)
    assert found.equal
    assert len(job.documents()) == found.present
    return found.present


def refusal(report: Report) -> str:
    """Why nothing was deleted."""
    assert (report.deleted, report.exit_code) == (0, 1)
    assert report.not_deleted is not None
    return report.not_deleted


def test_what_vanished_is_deleted(job: Job, photos: Path) -> None:
    assert job().deleted == 0
    gone = uri_of(photos / "1.jpg")
    (photos / "1.jpg").unlink()
    make_photo(photos / "3.jpg", "orange")
    dry = job(dry_run=True)
    assert (counts(dry), dry.deleted) == ((1, 5, 0), 1)
    assert f"to be deleted: {gone}" in job.notices
    assert gone in job.documents()
    report = job()
    assert (counts(report), report.deleted, report.exit_code) == ((1, 5, 0), 1, 0)
    assert gone not in job.documents()
    assert load(job.settings.home).report == report
    assert report.to_dict()["deleted"] == 1
    assert present(job) == 6
    assert job().deleted == 0
    assert "deleted" not in job(delete_missing=False).to_dict()
    make_photo(photos / "1.jpg")  # no takedown
    assert counts(job()) == (1, 6, 0)


def test_a_photo_that_failed_stays(photos: Path, make_job: MakeJob) -> None:
    job = make_job(photos, delete_missing=True)
    job()
    (photos / "0.jpg").write_bytes(b"no photo")
    report = job()
    assert (counts(report), report.deleted) == ((0, 5, 1), 0)
    assert len(job.documents()) == 6
    (photos / "0.jpg").unlink()
    assert job().deleted == 1
    assert present(job) == 5


def test_a_row_that_is_gone_from_a_list(photos: Path, make_job: MakeJob) -> None:
    rows = [f"below/{n}" for n in ("0.jpg", "1.png", "2.webp")] + [f"{n}.jpg" for n in range(3)]
    csv = photos / "c.csv"
    csv.write_text("\n".join(["image,caption", *(f"{row},x" for row in rows)]))
    job = make_job(csv, delete_missing=True)
    assert counts(job()) == (6, 0, 0)
    csv.write_text("\n".join(["image,caption", *(f"{row},x" for row in rows[:4])]))
    assert job().deleted == 2
    assert present(job) == 4
    csv.write_text("\n".join(["image,caption", *(f"{row},x" for row in rows[:2]), ",y"]))
    assert "line 4: no image is named. What cannot be listed" in refusal(job())
    csv.write_text("\n".join(["image,caption", *(f"{row},x" for row in rows[:3]), "3.jpg,x,y"]))
    assert "line 5: 3 cells under 2 columns. What" in refusal(job())
    assert len(job.documents()) == 4


def test_a_photo_under_another_id_is_not_kept_twice(photos: Path, make_job: MakeJob) -> None:
    csv = photos / "c.csv"
    csv.write_text("image,id\n0.jpg,a\n1.jpg,b\n")
    columns = photos / "columns.toml"
    columns.write_text('id = "id"\n')
    job = make_job(csv, columns=columns, delete_missing=True)
    job()
    csv.write_text("image,id\n0.jpg,A\n1.jpg,B\n")
    (photos / "1.jpg").write_bytes(b"no photo")
    report = job()
    assert (counts(report), report.deleted) == ((1, 0, 1), 1)
    assert set(job.documents()) == {"A", "b"}  # b's photo cannot be written as B yet
    assert present(job) == 2


def test_a_source_that_is_empty_may_be_a_mount(
    photos: Path, make_job: MakeJob, tmp_path: Path
) -> None:
    more = tmp_path / "more"
    make_photo(more / "0.jpg", "cyan")
    job = make_job(photos, more, delete_missing=True)
    job()
    (more / "0.jpg").unlink()
    assert f"{more} holds no photos: is it mounted?" in refusal(job())
    assert f"{more} holds no photos: is it mounted?" in refusal(job(max_delete=None))
    assert any("if they are to go: --max-delete 1" in notice for notice in job.notices)
    assert len(job.documents()) == 7
    assert job(max_delete=1).deleted == 1
    assert present(job) == 6
    assert job().deleted == 0  # it is still empty, and nothing is missing


def test_more_than_half_may_be_a_mistake(make_job: MakeJob, tmp_path: Path) -> None:
    many = tmp_path / "many"
    for n in range(24):
        make_photo(many / f"{n:02}.png", f"rgb({n},0,0)")
    job = make_job(many, delete_missing=True)
    job()
    for n in range(13):
        (many / f"{n:02}.png").unlink()
    dry = job(dry_run=True)
    assert (dry.deleted, dry.not_deleted is None) == (13, False)
    assert "13 of 24 photos are missing, more than half; if they" in refusal(job())
    assert "13 photos are missing, and --max-delete is 12" in refusal(job(max_delete=12))
    assert len(job.documents()) == 24
    assert job(max_delete=13).deleted == 13
    assert present(job) == 11
    (many / "23.png").unlink()
    make_photo(many / "00.png")
    assert job().deleted == 1
    for n in range(13, 23):
        (many / f"{n:02}.png").unlink()
    assert job().deleted == 10  # most, but few
    assert present(job) == 1


def test_a_folder_that_cannot_be_read(
    photos: Path, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(photos, delete_missing=True)
    job()
    listed = os.scandir

    def scandir(path: Path) -> object:
        if str(path).endswith("below"):
            raise PermissionError(13, "Permission denied")
        return listed(path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", scandir)  # root may read everything
        assert "below: the folder cannot be read: Permission denied. What" in refusal(job())
        assert "put it right" in refusal(job(max_delete=6))
    assert len(job.documents()) == 6
    assert job().deleted == 0
    assert present(job) == 6


def test_a_damaged_tar_file(photos: Path, make_job: MakeJob, tmp_path: Path) -> None:
    shard = tmp_path / "photos.tar"
    with tarfile.open(shard, "w") as tar:
        for photo in sorted(photos.glob("*.jpg")):
            tar.add(photo, photo.name)
    whole = shard.read_bytes()
    job = make_job(shard, delete_missing=True)
    assert counts(job()) == (3, 0, 0)
    shard.write_bytes(whole[:2000])
    assert "photos.tar: damaged tar file" in refusal(job(max_delete=3))
    assert len(job.documents()) == 3
    with tarfile.open(shard, "w") as tar:
        tar.add(photos / "0.jpg", "0.jpg")
    assert job().deleted == 2
    assert present(job) == 1


def test_an_interrupted_run_deletes_nothing(photos: Path, make_job: MakeJob) -> None:
    job = make_job(photos, delete_missing=True, encode_batch=1)
    job()
    (photos / "0.jpg").unlink()
    make_photo(photos / "9.jpg", "orange")

    def interrupt(progress: Progress) -> None:
        if progress.notice and progress.notice.startswith("at most"):
            os.kill(os.getpid(), signal.SIGINT)

    slow = replace(job.encoder, seconds=0.5)
    with pytest.raises(KeyboardInterrupt):
        run(job.settings, job.engine, encoder=slow, progress=interrupt)
    assert uri_of(photos / "0.jpg") in job.documents()
    assert job().deleted == 1
    assert present(job) == 6


def test_killed_in_the_middle(photos: Path, make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job(photos, delete_missing=True)
    job()
    shutil.rmtree(photos / "below")
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps(job.settings.to_dict()))
    code = f"""
import json, os
from pathlib import Path
from stair_search.engines import connect
from stair_search.ingest import JobSettings, run
from stair_search.ingest.ledger import Ledger
from tests.ingest.standin import ColourEncoder
Ledger.forget = lambda *_: os.kill(os.getpid(), 9)
settings = JobSettings.from_dict(json.loads(Path({str(settings)!r}).read_text()))
run(settings, connect(settings.url), encoder=ColourEncoder())
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert len(job.documents()) == 3  # gone, and the ledger does not know it yet
    assert not verify(job.settings.home, job.engine).equal
    assert job().deleted == 3
    assert present(job) == 3


def test_retry_deletes_nothing(photos: Path, make_job: MakeJob) -> None:
    from stair_search.ingest import retry

    job = make_job(photos, delete_missing=True)
    job()
    (photos / "0.jpg").unlink()
    assert retry(job.settings.home, job.engine, encoder=job.encoder).deleted is None
    assert len(job.documents()) == 6


def test_what_the_engine_does_not_delete(
    photos: Path, make_job: MakeJob, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(photos, delete_missing=True)
    job()
    (photos / "0.jpg").unlink()
    with monkeypatch.context() as patched:
        patched.setattr(
            type(engine), "delete", lambda _self, _index, ids: [Outcome(ids[0], 400, "no")]
        )
        with pytest.raises(DestinationError, match=r"0\.jpg' cannot be deleted: no"):
            job()
    assert present(job) == 6
    assert job().deleted == 1


@pytest.mark.engines
@pytest.mark.parametrize("product", ["opensearch", "elasticsearch7"])
def test_it_backs_off(
    product: str, engines: Engines, photos: Path, make_job: MakeJob, index_name: str
) -> None:
    with proxy_to(engines.url(product)) as proxy:
        job = make_job(photos, url=proxy.url, index=index_name, delete_missing=True)
        job.engine = connect(proxy.url, timeout=2)
        job()
        (photos / "0.jpg").unlink()
        proxy.faults.extend([429, "cut after", 503])
        assert job().deleted == 1
        assert not proxy.faults
        assert present(job) == 5
        job.engine.close()


@pytest.mark.ray
def test_on_ray(photos: Path, make_job: MakeJob) -> None:
    pytest.importorskip("ray")
    job = make_job(photos, delete_missing=True, executor="ray")
    job()
    (photos / "0.jpg").unlink()
    assert job().deleted == 1
    assert present(job) == 5


def test_the_bound_alone(photos: Path) -> None:
    with pytest.raises(UsageError, match="goes with --delete-missing"):
        JobSettings((str(photos),), max_delete=3)
