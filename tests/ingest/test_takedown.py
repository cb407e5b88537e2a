"""What was taken down is found no more, and no job brings it back."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from stair_search.engines import connect
from stair_search.engines.base import Document, Engine, Outcome
from stair_search.errors import DestinationError
from stair_search.ingest import failures, retry, verify
from stair_search.ingest.ledger import Ledger
from stair_search.ingest.photo import uri_of
from stair_search.ingest.takedown import Counts, lift, take_down
from tests.conftest import Engines
from tests.ingest.conftest import Job, MakeJob, counts, make_photo
from tests.ingest.proxy import Fault, proxy_to


@pytest.fixture
def job(engine_url: str, photos: Path, make_job: MakeJob, index_name: str) -> Iterator[Job]:
    """On each of the engines in turn."""
    job = make_job(photos, url=engine_url, index=index_name)
    job.engine = connect(engine_url)
    yield job
    job.engine.close()


def ids_of(photos: Path, *names: str) -> list[str]:
    return [uri_of(photos / name) for name in names]


def test_what_was_taken_down_does_not_come_back(
    job: Job, photos: Path, tmp_path: Path, state: Path
) -> None:
    job()
    index, gone = job.settings.index, ids_of(photos, "0.jpg", "below/1.png")
    asked = [*gone, "never-there"]
    dry = take_down(job.engine, index, asked, dry_run=True)
    assert dry == Counts(3, 2, 1, 0)
    assert len(job.documents()) == 6
    assert not (state / "kept_out.db").exists()
    assert take_down(job.engine, index, asked) == Counts(3, 2, 1, 0)
    assert job.documents().keys().isdisjoint(gone)
    assert verify(job.settings.home, job.engine) == (4, 4, [], [])
    make_photo(photos / "0.jpg", "white")  # a changed photo is the same photo
    assert counts(job(dry_run=True)) == (0, 6, 0)
    assert counts(job()) == (0, 6, 0)
    assert any("2 photos were taken down" in notice for notice in job.notices)
    assert job.encoder.encoded() == 6
    assert counts(job(folder=tmp_path / "other")) == (4, 2, 0)  # which knows nothing of it
    assert verify(tmp_path / "other", job.engine) == (4, 4, [], [])
    make_photo(photos / "never.jpg")
    assert take_down(job.engine, index, ids_of(photos, "never.jpg")) == Counts(1, 0, 1, 0)
    assert counts(job()) == (0, 7, 0)  # an id that no job knew
    assert len(job.documents()) == 4
    assert not list(failures(job.settings.home))


def test_a_takedown_can_be_lifted(job: Job, photos: Path) -> None:
    job()
    index, gone = job.settings.index, ids_of(photos, "0.jpg", "1.jpg")
    take_down(job.engine, index, gone)
    job()
    assert lift(job.engine, index, [gone[0], "never"], dry_run=True) == 1
    assert lift(job.engine, index, [gone[0], "never"]) == 1
    assert counts(job()) == (1, 5, 0)
    assert gone[0] in job.documents()
    assert gone[1] not in job.documents()
    assert verify(job.settings.home, job.engine) == (5, 5, [], [])


def test_an_index_that_is_made_anew_is_not_given_them(
    photos: Path, make_job: MakeJob, tmp_path: Path
) -> None:
    job = make_job(photos)
    job()
    take_down(job.engine, "photos", ids_of(photos, "0.jpg"))
    for file in tmp_path.glob("stair.db*"):
        file.unlink()
    job.engine = connect(job.settings.url)
    assert counts(job(dry_run=True)) == (5, 1, 0)
    assert counts(job()) == (5, 1, 0)
    assert counts(job(index="others", folder=tmp_path / "others")) == (6, 0, 0)


def test_a_photo_that_failed_and_was_taken_down_is_not_retried(
    photos: Path, make_job: MakeJob
) -> None:
    (photos / "0.jpg").write_bytes(b"no photo")
    job = make_job(photos)
    assert counts(job()) == (5, 0, 1)
    take_down(job.engine, "photos", ids_of(photos, "0.jpg"))
    make_photo(photos / "0.jpg")
    report = retry(job.settings.home, job.engine, encoder=job.encoder)
    assert counts(report) == (0, 1, 0)
    assert len(job.documents()) == 5
    assert not list(failures(job.settings.home))


def test_what_a_run_writes_after_its_takedown_goes_at_its_end(
    photos: Path, make_job: MakeJob, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The photo was on its way when it was taken down."""
    job = make_job(photos)
    (gone,) = ids_of(photos, "0.jpg")
    bulk = type(engine).bulk

    def late(
        self: Engine, index: str, documents: Sequence[Document], pipeline: str | None = None
    ) -> list[Outcome]:
        if any(document.id == gone for document in documents):
            assert take_down(self, index, [gone]) == Counts(1, 0, 1, 0)
        return bulk(self, index, documents, pipeline)

    monkeypatch.setattr(type(engine), "bulk", late)
    job()
    assert gone not in job.documents()
    assert verify(job.settings.home, engine) == (5, 5, [], [])


def test_what_a_killed_run_has_written_goes_with_the_next(
    photos: Path, make_job: MakeJob, engine: Engine, tmp_path: Path
) -> None:
    job = make_job(photos)
    job()
    ledger = Ledger(tmp_path / "job")
    settled = ledger.about("kept_out")
    (gone,) = ids_of(photos, "0.jpg")
    document = job.documents("stair", "stair_model", "stair_hash")[gone]
    take_down(engine, "photos", [gone])
    engine.bulk("photos", [Document(gone, document)])  # the killed run's, which told no ledger
    assert verify(tmp_path / "job", engine) == (5, 5, [], [gone])
    job()
    assert gone not in job.documents()
    assert verify(tmp_path / "job", engine) == (5, 5, [], [])
    assert ledger.about("kept_out") != settled
    ledger.close()


def test_what_is_lifted_before_the_next_run_comes_in_with_it(
    photos: Path, make_job: MakeJob, engine: Engine
) -> None:
    job = make_job(photos)
    job()
    (gone,) = ids_of(photos, "0.jpg")
    take_down(engine, "photos", [gone])
    assert lift(engine, "photos", [gone]) == 1
    assert lift(engine, "photos", [gone]) == 0
    assert counts(job()) == (1, 5, 0)
    assert gone in job.documents()
    assert verify(job.settings.home, engine) == (6, 6, [], [])
    assert counts(job()) == (0, 6, 0)


def test_an_id_that_no_document_can_have(photos: Path, make_job: MakeJob) -> None:
    job = make_job(photos)
    job()
    told: dict[str, str] = {}
    asked = ["x" * 513, "\udcff", *ids_of(photos, "0.jpg", "0.jpg")]
    assert take_down(job.engine, "photos", asked, failed=told.__setitem__) == Counts(3, 1, 0, 2)
    assert "513 bytes long, 512 is the most" in told["x" * 513]


def test_a_place_that_cannot_be_written_deletes_nothing(
    photos: Path, make_job: MakeJob, state: Path
) -> None:
    job = make_job(photos)
    job()
    (state / "kept_out.db").mkdir(parents=True)  # a folder where the file should be
    with pytest.raises(DestinationError, match="where takedowns are remembered, cannot"):
        take_down(job.engine, "photos", ids_of(photos, "0.jpg"))
    assert len(job.documents()) == 6


@pytest.mark.engines
@pytest.mark.parametrize("faults", [[429, 503, 502], ["cut before", "cut after"], ["stall"]])
@pytest.mark.parametrize("product", ["opensearch", "elasticsearch7"])
def test_it_goes_on_where_it_was_refused(
    product: str,
    faults: list[Fault],
    engines: Engines,
    photos: Path,
    make_job: MakeJob,
    index_name: str,
) -> None:
    job = make_job(photos, url=engines.url(product), index=index_name)
    job.engine = connect(engines.url(product))
    job()
    gone = ids_of(photos, "0.jpg", "1.jpg")
    with proxy_to(engines.url(product)) as proxy:
        proxy.faults.extend(faults)
        engine = connect(proxy.url, timeout=2)
        told = take_down(engine, index_name, gone)
        engine.close()
        assert not proxy.faults
    assert (told.asked, told.failed) == (2, 0)
    assert told.deleted + told.not_found == 2
    assert len(job.documents()) == 4
    job.engine.close()


@pytest.mark.engines
def test_requests_are_bounded(
    opensearch_url: str, photos: Path, make_job: MakeJob, index_name: str
) -> None:
    job = make_job(photos, url=opensearch_url, index=index_name)
    job.engine = connect(opensearch_url)
    job()
    ids = [f"{n:05}" + "é" * 200 for n in range(1200)]
    with proxy_to(opensearch_url) as proxy:
        proxy.largest = 400_000
        engine = connect(proxy.url)
        told = take_down(engine, index_name, [*ids, *ids_of(photos, "0.jpg")])
        engine.close()
        assert told == Counts(1201, 1, 1200, 0)
        assert len(proxy.requests) > 2
        assert max(length for length, _ in proxy.requests) <= 400_000
    job.engine.close()


@pytest.mark.ray
def test_ray_leaves_them_out_too(photos: Path, make_job: MakeJob) -> None:
    pytest.importorskip("ray")
    job = make_job(photos)
    job()
    take_down(job.engine, "photos", ids_of(photos, "0.jpg"))
    shutil.rmtree(job.settings.home)
    assert counts(job(executor="ray")) == (5, 1, 0)
    assert len(job.documents()) == 5


def test_killed_after_remembering(photos: Path, make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job(photos)
    job()
    (gone,) = ids_of(photos, "0.jpg")
    code = f"""
import os
from stair_search.engines import connect
from stair_search.engines.embedded import SqliteEngine
from stair_search.ingest.takedown import take_down
SqliteEngine.delete = lambda *_: os.kill(os.getpid(), 9)
take_down(connect({job.settings.url!r}), "photos", [{gone!r}])
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert gone in job.documents()
    assert take_down(job.engine, "photos", [gone]) == Counts(1, 1, 0, 0)
    assert counts(job()) == (0, 6, 0)
    assert gone not in job.documents()
