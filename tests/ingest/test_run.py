"""A job's life: what is written, and what the same command does the second time."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import threading
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from benchmarks.verify import StandIn, make
from stair_search.engines import connect
from stair_search.engines.base import Document, Engine, Outcome, RequestError
from stair_search.errors import DestinationError, ModelError, UsageError
from stair_search.fields import Fields
from stair_search.ingest import JobSettings, Progress, failures, jobs, retry, run, verify
from stair_search.ingest.index import make_ready, must_be_own
from stair_search.ingest.job import load, locked
from stair_search.ingest.ledger import Ledger
from stair_search.ingest.photo import Photo, Place, Result, uri_of
from stair_search.mappings import index_body
from tests.ingest.conftest import Job, MakeJob, counts, make_photo
from tests.ingest.standin import ColourEncoder


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


class TestDocuments:
    def test_fields(self, photos: Path, make_job: MakeJob, engine: Engine) -> None:
        write(photos / "c.csv", "image,caption,taken by", "0.jpg,red,Ann", "0.jpg,a wall,Bo")
        make_job(photos, captions=photos / "c.csv")()
        document = engine.get("photos", uri_of(photos / "0.jpg"))
        assert document is not None
        (tokens,) = document["stair"]
        assert {"red7", "______", "##__"} <= set(tokens)
        assert document["stair_tokens"][0] in ("red7", "green0", "blue0")
        assert "..." in document["stair_tokens"]
        assert document["stair_model"] == "colours-1-abc"
        assert len(document["stair_hash"]) == 64
        assert document["image"] == uri_of(photos / "0.jpg")
        assert (document["width"], document["height"]) == (40, 30)
        assert document["caption"] == ["red", "a wall"]
        assert document["taken by"] == ["Ann", "Bo"]

    def test_size_is_that_of_the_upright_photo(self, tmp_path: Path, make_job: MakeJob) -> None:
        photo = make_photo(tmp_path / "p" / "0.jpg", size=(40, 30))
        from PIL import Image

        exif = Image.Exif()
        exif[0x0112] = 6
        Image.open(photo).save(photo, exif=exif)
        job = make_job(photo)
        job()
        ((_, document),) = job.documents("width", "height").items()
        assert (document["width"], document["height"]) == (30, 40)

    def test_other_field_names(self, photos: Path, make_job: MakeJob) -> None:
        job = make_job(photos, fields=Fields(token="look", image="file"))
        job()
        for name, document in job.documents("look_model", "look_hash", "file").items():
            assert document["file"] == name
            assert set(document) == {"look_model", "look_hash", "file"}
        assert job(dry_run=True).unchanged == 6


class TestResume:
    def test_the_second_run_finds_all_unchanged(
        self, photos: Path, make_job: MakeJob, encoder: ColourEncoder, engine: Engine
    ) -> None:
        job = make_job(photos)
        assert counts(job()) == (6, 0, 0)
        assert "made" in job.notices[0]
        assert any(notice.startswith("at most ") for notice in job.notices)
        assert counts(job()) == (0, 6, 0)
        assert encoder.encoded() == 6
        assert verify(job.settings.home, engine) == (6, 6, [], [])

    def test_a_touched_photo_is_read_and_not_encoded(
        self, photos: Path, make_job: MakeJob, encoder: ColourEncoder
    ) -> None:
        job = make_job(photos)
        job()
        os.utime(photos / "0.jpg", ns=(1, 1))
        assert counts(job()) == (0, 6, 0)
        assert job().stages["decode"]["items"] == 0  # its new time is in the ledger
        assert encoder.encoded() == 6

    def test_a_changed_photo_is_encoded(
        self, photos: Path, make_job: MakeJob, encoder: ColourEncoder, engine: Engine
    ) -> None:
        job = make_job(photos)
        job()
        make_photo(photos / "0.jpg", "white")
        assert counts(job()) == (1, 5, 0)
        document = engine.get("photos", uri_of(photos / "0.jpg"))
        assert document is not None
        assert "red7" in document["stair"][0]
        assert "green7" in document["stair"][0]
        assert "green0" not in document["stair"][0]
        assert encoder.encoded() == 7

    def test_new_and_vanished_photos(self, photos: Path, make_job: MakeJob, engine: Engine) -> None:
        job = make_job(photos)
        job()
        (photos / "1.jpg").unlink()
        make_photo(photos / "3.jpg", "orange")
        assert counts(job()) == (1, 5, 0)
        assert engine.count("photos") == 7  # nothing is deleted

    def test_a_changed_caption_is_written(
        self, photos: Path, make_job: MakeJob, engine: Engine
    ) -> None:
        csv = write(photos / "c.csv", "image,caption,by", "0.jpg,red,Ann", "1.jpg,green,Ann")
        job = make_job(csv)
        assert counts(job()) == (2, 0, 0)
        write(csv, "image,caption,by", "0.jpg,crimson,", "1.jpg,green,Ann")
        assert counts(job()) == (1, 1, 0)
        document = engine.get("photos", uri_of(photos / "0.jpg"))
        assert document is not None
        assert document["caption"] == "crimson"
        assert not document.get("by")  # a field that its source has no more is emptied

    def test_a_recreated_index_is_filled_again(
        self, photos: Path, make_job: MakeJob, tmp_path: Path, encoder: ColourEncoder, url: str
    ) -> None:
        job = make_job(photos)
        job()
        job.engine.close()
        for file in tmp_path.glob("stair.db*"):
            file.unlink()
        job.engine = connect(url)
        assert job(dry_run=True).indexed == 6
        assert counts(job()) == (6, 0, 0)
        assert encoder.encoded() == 12
        assert verify(job.settings.home, job.engine).equal

    def test_another_model_is_refused_before_anything_is_encoded(
        self, photos: Path, make_job: MakeJob, tmp_path: Path
    ) -> None:
        job = make_job(photos)
        job()
        other = ColourEncoder("colours-2", log=tmp_path / "other.log")
        with pytest.raises(ModelError) as raised:
            job(encoder=other)
        assert "holds tokens of model colours-1-abc; colours-2 is colours-2-abc" in str(
            raised.value
        )
        assert raised.value.exit_code == 4
        assert other.encoded() == 0

    def test_an_index_that_cannot_hold_tokens_is_refused(
        self, photos: Path, make_job: MakeJob, engine: Engine
    ) -> None:
        engine.create("photos", {"mappings": {"properties": {"stair": {"type": "keyword"}}}})
        with pytest.raises(ModelError, match="'stair' is 'keyword', not 'rank_features'"):
            make_job(photos)()

    def test_a_broken_photo_keeps_its_document_and_is_tried_again(
        self, photos: Path, make_job: MakeJob, engine: Engine, encoder: ColourEncoder
    ) -> None:
        job = make_job(photos)
        job()
        good = (photos / "0.jpg").read_bytes()
        (photos / "0.jpg").write_bytes(good[:300])
        for _ in range(2):
            assert counts(job()) == (0, 5, 1)
        assert engine.count("photos") == 6
        assert verify(job.settings.home, engine).equal
        (photos / "0.jpg").write_bytes(good)
        assert counts(job()) == (0, 6, 0)
        assert encoder.encoded() == 6

    def test_one_photo_through_two_sources_is_one_document(
        self, photos: Path, make_job: MakeJob, engine: Engine
    ) -> None:
        csv = write(photos / "c.csv", "image,id", "0.jpg,A1")
        job = make_job(photos, photos / "below", photos / "0.jpg", csv)
        assert counts(job()) == (6, 0, 0)
        assert engine.count("photos") == 6
        assert engine.get("photos", "A1") is not None

    def test_two_photos_of_one_id_are_told_apart(self, photos: Path, make_job: MakeJob) -> None:
        one = write(photos / "1.csv", "image,id", "0.jpg,A1")
        two = write(photos / "2.csv", "image,id", "1.jpg,A1")
        job = make_job(one, two)
        assert counts(job()) == (1, 0, 1)
        (failure,) = failures(job.settings.home)
        assert failure.id == uri_of(photos / "1.jpg")
        assert failure.reason == f"its id 'A1' is that of {uri_of(photos / '0.jpg')} already"

    def test_an_empty_folder_and_an_empty_csv(self, tmp_path: Path, make_job: MakeJob) -> None:
        (tmp_path / "empty").mkdir()
        csv = write(tmp_path / "c.csv", "image,caption")
        job = make_job(tmp_path / "empty", csv)
        assert counts(job()) == (0, 0, 0)
        assert job.notices == [f"no photos in {tmp_path / 'empty'}, {csv}: no index is made"]
        assert not job.engine.exists("photos")
        assert not job.settings.home.exists()

    def test_captions_of_other_photos(self, photos: Path, make_job: MakeJob) -> None:
        csv = write(photos / "c.csv", "image,caption", "elsewhere.jpg,red")
        job = make_job(photos, captions=csv)
        assert counts(job()) == (6, 0, 0)
        assert job.notices[-1] == f"{csv} names none of the photos that were found"


class TestFolder:
    def test_one_that_cannot_be_used(self, photos: Path, make_job: MakeJob) -> None:
        with pytest.raises(UsageError, match=r"cannot be used: Not a directory"):
            make_job(photos, folder=photos / "0.jpg" / "job")()

    def test_what_it_keeps(self, photos: Path, make_job: MakeJob) -> None:
        (photos / "bad.jpg").write_bytes(b"x")
        job = make_job(photos, url="http://me:secret@host:9200/?token=secret")
        report = job()
        home = job.settings.home
        assert json.loads((home / "report.json").read_text()) == report.to_dict()
        assert set(report.to_dict()) == {
            "job",
            "seen",
            "indexed",
            "unchanged",
            "failed",
            "seconds",
            "images_per_second",
            "bottleneck",
            "stages",
        }
        assert report.exit_code == 1
        assert report.stages["encode"]["items"] == 6
        (line,) = (home / "failures.ndjson").read_text().splitlines()
        assert json.loads(line)["id"] == uri_of(photos / "bad.jpg")
        for file in home.iterdir():
            assert b"secret" not in file.read_bytes(), file

    def test_it_follows_from_sources_url_index_and_model(
        self, photos: Path, make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job = make_job(photos, folder=None)
        home = job.settings.home
        assert home.is_relative_to(tmp_path / "state" / "stair-search" / "jobs")
        assert replace(job.settings, index="other").home != home
        assert replace(job.settings, url="sqlite:other.db").home != home
        assert replace(job.settings, captions=photos / "c.csv").home == home
        monkeypatch.chdir(photos)
        assert replace(job.settings, sources=(".",)).home == home
        job()
        (past,) = jobs()
        assert past.folder == home
        assert past.settings == replace(job.settings, folder=home)
        assert past.report is not None
        assert past.report.indexed == 6

    def test_what_became_of_the_last_run(self, photos: Path, make_job: MakeJob) -> None:
        job = make_job(photos)
        before = time.time()
        job()
        home = job.settings.home
        assert load(home).state == "done"
        assert before - 1 <= load(home).began <= time.time()
        with locked(home):
            assert load(home).state == "running"
        (photos / "bad.jpg").write_bytes(b"x")
        job()
        assert load(home).state == "with failures"
        os.utime(home / "settings.json", (time.time() + 9,) * 2)  # begun anew, and killed
        assert load(home).state == "ended early"
        os.utime(home / "settings.json")
        os.utime(home / "report.json")
        assert load(home).state == "with failures"
        make_photo(photos / "new.jpg")

        def broken(
            index: str, documents: Sequence[Document], pipeline: str | None = None
        ) -> list[Outcome]:
            raise DestinationError("no more")

        job.engine.bulk = broken  # type: ignore[method-assign]
        with pytest.raises(DestinationError):
            job()
        assert load(home).state == "ended early"

    def test_of_two_jobs_that_race_one_has_made_the_index(
        self, photos: Path, make_job: MakeJob, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job = make_job(photos)
        exists = engine.exists
        answers = iter([False])  # as it was when this one looked
        engine.create("photos", index_body("sqlite"))
        monkeypatch.setattr(engine, "exists", lambda name: next(answers, exists(name)))
        assert make_ready(engine, job.settings, job.encoder, {}, {}) == (False, None)
        made = make_ready(engine, replace(job.settings, index="other"), job.encoder, {}, {})
        assert made[0]

    def test_a_job_that_runs_is_left_alone(self, photos: Path, make_job: MakeJob) -> None:
        job = make_job(photos)
        job()
        with locked(job.settings.home), pytest.raises(UsageError, match="in another process"):
            job()
        assert counts(job()) == (0, 6, 0)

    def test_no_job(self, tmp_path: Path, engine: Engine) -> None:
        with pytest.raises(UsageError, match="is no job's folder"):
            verify(tmp_path, engine)
        with pytest.raises(UsageError, match="is no job's folder"):
            next(failures(tmp_path))

    def test_a_dry_run_writes_nothing(
        self, photos: Path, make_job: MakeJob, tmp_path: Path, engine: Engine
    ) -> None:
        job = make_job(photos)
        (photos / "empty.jpg").touch()
        before = sorted(tmp_path.rglob("*"))
        assert counts(job(dry_run=True)) == (6, 0, 1)
        assert "would be made" in job.notices[0]
        assert sorted(tmp_path.rglob("*")) == before
        job()
        make_photo(photos / "0.jpg", "white")
        assert counts(job(dry_run=True)) == (1, 5, 1)
        assert counts(job()) == (1, 5, 1)

    def test_a_relative_one(
        self,
        photos: Path,
        make_job: MakeJob,
        tmp_path: Path,
        engine: Engine,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        make_job(photos)()
        monkeypatch.chdir(tmp_path)
        assert verify(Path("job"), engine).equal
        assert not list(failures(Path("job")))
        assert load(Path("job")).folder == tmp_path / "job"

    def test_sqlite_urls_of_one_file_are_one_job(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        urls = ("sqlite:x.db", "sqlite://x.db", f"sqlite:{tmp_path / 'x.db'}")
        jobs = [JobSettings((".",), url) for url in urls]
        assert {job.url for job in jobs} == {f"sqlite:{tmp_path / 'x.db'}"}
        assert len({job.home for job in jobs}) == 1

    def test_others_do_not_hide_the_good_ones(
        self, photos: Path, make_job: MakeJob, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        make_job(photos, folder=tmp_path / "jobs" / "good")()
        for name in ("settings", "report"):  # of a later version
            file = tmp_path / "jobs" / "good" / f"{name}.json"
            file.write_text(json.dumps(json.loads(file.read_text()) | {"later": 1}))
        for name, text in {"half": "{", "list": "[]", "null": '{"sources": [1]}'}.items():
            (tmp_path / "jobs" / name).mkdir()
            (tmp_path / "jobs" / name / "settings.json").write_text(text)
        (past,) = jobs(tmp_path / "jobs")
        assert past.folder.name == "good"
        assert past.report is not None
        assert len(caplog.messages) == 3

    def test_a_ledger_that_cannot_be_written_ends_the_run(
        self, photos: Path, make_job: MakeJob
    ) -> None:
        job = make_job(photos)
        job()
        make_photo(photos / "0.jpg", "white")
        with closing(sqlite3.connect(job.settings.home / "ledger.db")) as ledger:
            ledger.execute(
                "CREATE TRIGGER full BEFORE INSERT ON photos BEGIN SELECT RAISE(ABORT, 'full'); END"
            )
            with pytest.raises(DestinationError, match=r"ledger\.db cannot be written: full"):
                job()
            ledger.execute("DROP TRIGGER full")
        assert counts(job()) == (1, 5, 0)

    def test_a_reason_in_odd_bytes(self, tmp_path: Path) -> None:
        photo = Photo("a", "file:///a", Place("/a"), {})
        ledger = Ledger(None)
        ledger.record([Result(photo, "failed", "no \udcff")], model="m")
        assert list(ledger.failures()) == [("a", "file:///a", "no \\udcff")]
        ledger.close()


class TestRetryAndVerify:
    def test_only_the_failures_again(
        self, photos: Path, make_job: MakeJob, engine: Engine, encoder: ColourEncoder
    ) -> None:
        good = (photos / "0.jpg").read_bytes()
        (photos / "0.jpg").write_bytes(b"")
        (photos / "bad.jpg").write_bytes(b"x")
        job = make_job(photos)
        assert counts(job()) == (5, 0, 2)
        (photos / "0.jpg").write_bytes(good)
        make_photo(photos / "new.jpg")
        assert counts(retry(job.settings.home, engine, encoder=encoder)) == (1, 0, 1)
        assert [f.id for f in failures(job.settings.home)] == [uri_of(photos / "bad.jpg")]

    def test_what_is_missing_or_stale_is_found_and_put_right(
        self, photos: Path, make_job: MakeJob, engine: Engine, encoder: ColourEncoder
    ) -> None:
        job = make_job(photos)
        job()
        home = job.settings.home
        ids = sorted(job.documents())
        engine.delete("photos", [ids[0]])
        engine.bulk("photos", [Document(ids[1], {"stair_hash": "other"})])
        stray = uri_of(photos / "stray.jpg")
        engine.bulk("photos", [Document(stray, {"width": 1}), Document("not ours", {"width": 1})])
        for _ in range(2):
            assert verify(home, engine) == (6, 5, [ids[0]], sorted([ids[1], stray]))
        assert counts(retry(home, engine, encoder=encoder)) == (2, 0, 0)
        found = verify(home, engine)
        assert found == (6, 6, [], [stray])
        assert (found.stale.known, len(found.stale)) == (0, 1)  # no row tells of it
        assert json.loads((home / "stale.ndjson").read_text()) == stray
        assert not (home / "missing.ndjson").exists()
        engine.delete("photos", [stray])
        assert verify(home, engine).equal
        assert not (home / "stale.ndjson").exists()

    def test_a_document_that_is_found_twice_counts_once(
        self, photos: Path, make_job: MakeJob, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As behind an alias of several indices."""
        job = make_job(photos)
        job()
        scan = engine.scan
        twice = "stair_hash"

        def doubled(index: str, fields: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
            for name, found in scan(index, fields):
                yield name, found | {twice: "other"}
                yield name, found | {twice: "another"}

        monkeypatch.setattr(engine, "scan", doubled)
        found = verify(job.settings.home, engine)
        assert (found.expected, found.present, len(found.stale)) == (6, 6, 6)

    @pytest.mark.slow
    @pytest.mark.parametrize("documents", [0, 40_000])
    def test_ids_are_not_held_in_memory(self, tmp_path: Path, documents: int) -> None:
        """All are missing, or all are there and another's."""
        make(tmp_path / "job", 40_000)
        index = StandIn(documents)
        with sqlite3.connect(tmp_path / "job" / "ledger.db") as db:
            db.execute("UPDATE photos SET content_hash = 'x'")
        tracemalloc.start()
        found = verify(tmp_path / "job", cast(Engine, index))
        assert len(found.missing) + len(found.stale) >= 40_000 - 40
        assert sum(1 for _ in found.missing) == len(found.missing)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 2**20, f"{peak:,} bytes"

    def test_a_failure_whose_file_has_gone_is_told(
        self, photos: Path, make_job: MakeJob, engine: Engine, encoder: ColourEncoder
    ) -> None:
        (photos / "bad.jpg").write_bytes(b"x")
        job = make_job(photos)
        job()
        (photos / "bad.jpg").unlink()
        for _ in range(2):
            assert counts(retry(job.settings.home, engine, encoder=encoder)) == (0, 0, 1)
        (failure,) = failures(job.settings.home)
        assert failure.reason == "no source of the job has it now"
        assert counts(job()) == (0, 6, 0)
        assert not list(failures(job.settings.home))

    def test_a_user_who_may_not_refresh(
        self, photos: Path, make_job: MakeJob, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def forbidden(_: str) -> None:
            raise RequestError("not allowed", 403)

        monkeypatch.setattr(engine, "refresh", forbidden)
        job = make_job(photos)
        assert counts(job()) == (6, 0, 0)
        assert job.notices[-1] == "the photos may not be found at once: not allowed"
        assert verify(job.settings.home, engine).equal


class TestIndexMadeAnew:
    @pytest.fixture
    def anew(self, photos: Path, make_job: MakeJob, url: str) -> Iterator[Job]:
        """A job of six photos and a bad one, whose index has been deleted."""
        (photos / "bad.jpg").write_bytes(b"x")
        job = make_job(photos)
        job()
        job.engine.close()
        for file in Path(url.removeprefix("sqlite:")).parent.glob("stair.db*"):
            file.unlink()
        job.engine = connect(url)
        yield job
        job.engine.close()

    def test_retry_fills_it(self, anew: Job, encoder: ColourEncoder) -> None:
        home = anew.settings.home
        assert counts(retry(home, anew.engine, encoder=encoder)) == (6, 0, 1)
        assert verify(home, anew.engine) == (6, 6, [], [])

    def test_what_is_not_written_yet_is_missing(self, anew: Job, photos: Path) -> None:
        bad = (photos / "0.jpg").read_bytes()[:300]
        (photos / "0.jpg").write_bytes(bad)
        assert counts(anew()) == (5, 0, 2)
        assert verify(anew.settings.home, anew.engine) == (6, 5, [uri_of(photos / "0.jpg")], [])

    def test_photos_that_are_gone_are_forgotten(self, anew: Job, photos: Path) -> None:
        (photos / "0.jpg").unlink()
        (photos / "bad.jpg").unlink()
        assert counts(anew()) == (5, 0, 0)
        assert verify(anew.settings.home, anew.engine) == (5, 5, [], [])
        assert not list(failures(anew.settings.home))


class TestOtherPlaces:
    """What is not the job's index is neither written to nor believed."""

    def test_verify(self, photos: Path, make_job: MakeJob, tmp_path: Path) -> None:
        job = make_job(photos)
        job()
        home = job.settings.home
        with closing(connect(f"sqlite:{tmp_path / 'other.db'}")) as other:
            other.create("photos", index_body("sqlite", job.settings.fields))
            with pytest.raises(UsageError, match=r"'photos' in .*stair.db, not to"):
                verify(home, other)
        assert not list(failures(home))
        assert counts(job()) == (0, 6, 0)

    def test_retry(
        self, photos: Path, make_job: MakeJob, tmp_path: Path, encoder: ColourEncoder
    ) -> None:
        job = make_job(photos)
        job()
        with (
            closing(connect(f"sqlite:{tmp_path / 'other.db'}")) as other,
            pytest.raises(UsageError, match="or another --job"),
        ):
            retry(job.settings.home, other, encoder=encoder)
        assert not (tmp_path / "other.db").exists()

    @pytest.mark.parametrize(("name", "index"), [("stair.db", "other"), ("other.db", "photos")])
    def test_run(
        self, photos: Path, make_job: MakeJob, tmp_path: Path, name: str, index: str
    ) -> None:
        job = make_job(photos)
        job()
        url = f"sqlite:{tmp_path / name}"
        other = make_job(photos, url=url, index=index)
        with closing(connect(url)) as other.engine:
            for dry_run in (True, False):
                with pytest.raises(UsageError, match="or another --job"):
                    other(dry_run=dry_run)
            assert not other.engine.exists(index)
        assert counts(job()) == (0, 6, 0)

    def test_the_same_index_by_another_way(
        self, photos: Path, make_job: MakeJob, tmp_path: Path, encoder: ColourEncoder
    ) -> None:
        job = make_job(photos)
        job()
        (tmp_path / "link.db").symlink_to(tmp_path / "stair.db")
        with closing(connect(f"sqlite:{tmp_path / 'link.db'}")) as same:
            assert verify(job.settings.home, same).equal
            assert counts(retry(job.settings.home, same, encoder=encoder)) == (0, 0, 0)

    def test_one_http_address_in_two_spellings(self, make_job: MakeJob, tmp_path: Path) -> None:
        own = JobSettings((str(tmp_path),), "http://host:9200/")
        unused = cast(Engine, None)
        must_be_own(tmp_path, own, unused, "http://host", "photos")
        with pytest.raises(UsageError):
            must_be_own(tmp_path, own, unused, "http://host:9201", "photos")


class TestInterrupt:
    def test_what_is_encoded_is_written(
        self, tmp_path: Path, make_job: MakeJob, encoder: ColourEncoder, engine: Engine
    ) -> None:
        for n in range(120):
            make_photo(tmp_path / "many" / f"{n:03}.png", "red")
        encoder.seconds = 0.01
        job = make_job(tmp_path / "many", encode_batch=8)
        heard: list[Progress] = []

        def hear(progress: Progress) -> None:
            heard.append(progress)
            if encoder.encoded() >= 24 and threading.current_thread() is threading.main_thread():
                encoder.seconds = 0.0
                if not any("interrupted" in (p.notice or "") for p in heard):
                    os.kill(os.getpid(), 2)

        with pytest.raises(KeyboardInterrupt):
            run(job.settings, engine, encoder=encoder, progress=hear)
        once = encoder.encoded()
        assert 24 <= once < 120
        checked = verify(job.settings.home, engine)
        assert checked.equal
        assert checked.expected == once
        assert counts(job()) == (120 - once, once, 0)
        assert encoder.encoded() == 120

    def test_a_destination_that_is_gone(
        self, photos: Path, make_job: MakeJob, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job = make_job(photos)

        def gone(*_: object) -> None:
            raise DestinationError("the disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(engine, "bulk", gone)
            with pytest.raises(DestinationError, match="the disk is full"):
                job()
        assert counts(job()) == (6, 0, 0)
        shutil.rmtree(job.settings.home)
        assert counts(job()) == (6, 0, 0)  # without its ledger: written again, nothing twice
        assert engine.count("photos") == 6


def test_a_ledger_is_closed_while_another_thread_uses_it(tmp_path: Path) -> None:
    """As where ^C ends a run before its threads are waited for: SQLite itself would crash."""
    ended: list[str] = []

    def use(ledger: Ledger) -> None:
        try:
            while True:
                ledger.about("run")
        except sqlite3.ProgrammingError as error:
            ended.append(str(error))

    for number in range(20):
        folder = tmp_path / str(number)
        folder.mkdir()
        ledger = Ledger(folder)
        thread = threading.Thread(target=use, args=(ledger,))
        thread.start()
        time.sleep(0.005)
        ledger.close()
        thread.join(10)
    assert len(ended) == 20
    assert "closed database" in ended[0]
