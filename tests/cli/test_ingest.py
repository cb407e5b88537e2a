"""ingest, job and index together, from the shell's side."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from stair_search.engines import connect

from .conftest import Cli


@pytest.fixture
def folder(package_photos: list[Path], tmp_path: Path) -> Path:
    """Three photos, one of them broken, and a text that is none."""
    place = tmp_path / "photos"
    place.mkdir()
    for photo in package_photos[:2]:
        shutil.copy(photo, place)
    (place / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    (place / "notes.txt").write_text("not looked at")
    return place


def report(cli: Cli, *args: str | Path, code: int) -> dict[str, Any]:
    result = cli(*args, "--format", "json")
    assert result.exit_code == code, result.output
    told: dict[str, Any] = json.loads(result.stdout)
    return told


def test_from_a_folder_to_a_hit(cli: Cli, engine_url: str, index_name: str, folder: Path) -> None:
    at = ["--url", engine_url, "--index", index_name]
    first = report(cli, "ingest", folder, *at, code=1)
    assert list(first) == [
        "job",
        "seen",
        "indexed",
        "unchanged",
        "failed",
        "seconds",
        "images_per_second",
        "bottleneck",
        "stages",
    ]
    assert (first["seen"], first["indexed"], first["failed"]) == (3, 2, 1)
    again = report(cli, "ingest", folder, *at, code=1)
    assert (again["job"], again["indexed"], again["unchanged"]) == (first["job"], 0, 2)

    verified = report(cli, "job", "verify", *at, code=0)
    assert verified == {"expected": 2, "present": 2, "missing": [], "stale": []}

    (listed,) = json.loads(cli("job", "list", "--format", "json").stdout)
    assert listed["job"] == first["job"]
    assert listed["report"]["failed"] == 1

    photo = min(path for path in folder.glob("*.[jp][pn]g") if path.name != "cut.jpg")
    shutil.copy(photo, folder / "cut.jpg")
    retried = report(cli, "job", "retry", *at, code=0)
    assert (retried["seen"], retried["indexed"], retried["failed"]) == (1, 1, 0)

    found = report(cli, "search", "--image", photo, "--size", "2", *at, code=0)
    inside = report(cli, "search", f'photo:"{photo}"', "--size", "2", *at, code=0)
    assert inside["hits"] == found["hits"]
    same = {Path(hit["source"]["image"]).name for hit in found["hits"]}
    assert same == {photo.name, "cut.jpg"}
    assert found["hits"][0]["score"] == pytest.approx(1, abs=0.01)
    # a document is meant by its id as by the path that is shown
    by_id = report(cli, "search", "--like", found["hits"][0]["id"], *at, code=0)
    by_path = report(cli, "search", "--like", found["hits"][0]["source"]["image"][7:], *at, code=0)
    assert by_path["hits"] == by_id["hits"]
    told = report(cli, "explain", "--image", photo, "--id", photo, *at, code=0)
    assert told["matched"]


def test_notes_name_the_job_and_what_to_do(cli: Cli, folder: Path, tmp_path: Path) -> None:
    at = ["--url", f"sqlite:{tmp_path / 'x.db'}", "--job", str(tmp_path / "job")]
    result = cli("ingest", folder, *at)
    assert result.exit_code == 1
    assert "3 photos" in result.stdout
    assert str(tmp_path / "job") in result.stdout
    assert "failures.ndjson" in result.stderr
    assert "job retry --job" in result.stderr
    assert "1 photos failed:\n- 1 × " in result.stderr
    assert (folder / "cut.jpg").as_uri() in result.stderr
    listed = cli("job", "retry", "--dry-run", "--job", tmp_path / "job")
    assert "cut.jpg" in listed.stdout
    listed = cli("job", "retry", "--dry-run", "--job", tmp_path / "job", "--format", "json")
    (failure,) = json.loads(listed.stdout)
    assert failure["uri"] == (folder / "cut.jpg").as_uri()


def test_an_id_cannot_move_the_cursor(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "photos.csv").write_text("image,caption,id\n/nowhere/x.jpg,gone,a\x1b[2J\n")
    at = ["--url", f"sqlite:{tmp_path / 'x.db'}", "--job", str(tmp_path / "job")]
    cli("ingest", tmp_path / "photos.csv", *at)
    listed = cli("job", "retry", "--dry-run", "--job", tmp_path / "job")
    assert "a\\x1b[2J: " in listed.stdout


def test_advice_on_stale_documents_is_what_helps(cli: Cli, folder: Path, tmp_path: Path) -> None:
    at = ["--url", f"sqlite:{tmp_path / 'x.db'}"]
    (folder / "cut.jpg").unlink()
    assert cli("ingest", folder, *at).exit_code == 0
    (listed,) = json.loads(cli("job", "list", "--format", "json").stdout)
    with closing(sqlite3.connect(Path(listed["job"]) / "ledger.db")) as ledger:
        ledger.execute("DELETE FROM photos")
        ledger.commit()
    result = cli("job", "verify")
    assert result.exit_code == 1
    assert "stale" in result.stdout
    assert "retry" not in result.stderr
    assert "ingest the folders again" in result.stderr
    assert cli("ingest", folder, *at).exit_code == 0
    assert cli("job", "verify").exit_code == 0


def test_photos_that_are_gone(cli: Cli, folder: Path, tmp_path: Path) -> None:
    (folder / "cut.jpg").unlink()
    at = ["--url", f"sqlite:{tmp_path / 'stair.db'}", "--job", tmp_path / "job"]
    assert cli("ingest", folder, *at).exit_code == 0
    gone = sorted(folder.iterdir())[0]
    gone.unlink()
    dry = cli("ingest", folder, "--delete-missing", "--dry-run", *at)
    assert ", 1 to be deleted\n" in dry.stdout
    assert gone.name in dry.stderr
    told = cli("ingest", folder, "--delete-missing", "--format", "json", *at)
    assert json.loads(told.stdout)["deleted"] == 1
    for photo in folder.iterdir():
        photo.unlink()
    left = cli("ingest", folder, "--delete-missing", *at)
    assert (left.exit_code, "is it mounted?" in left.stderr) == (1, True)
    assert cli("ingest", folder, "--max-delete", "9", *at).exit_code == 2
    assert cli("ingest", folder, "--delete-missing", "--max-delete", "9", *at).exit_code == 0
    assert json.loads(cli("job", "verify", "--format", "json", *at[2:]).stdout)["expected"] == 0


def test_jobs_are_listed_with_their_last_run(cli: Cli, folder: Path, tmp_path: Path) -> None:
    cli("ingest", folder, "--url", f"sqlite:{tmp_path / 'stair.db'}")
    (listed,) = json.loads(cli("job", "list", "--format", "json").stdout)
    began = datetime.fromisoformat(listed["last_run"])
    assert abs((datetime.now(UTC) - began).total_seconds()) < 600
    assert listed["state"] == "with failures"
    heading, row = cli("job", "list").stdout.splitlines()
    assert heading.startswith("last run          state          photos")
    assert row.startswith(f"{began.astimezone():%Y-%m-%d %H:%M}  with failures  3")


@pytest.mark.slow
def test_a_table_shows_the_first_of_many_that_are_missing(
    cli: Cli, package_photos: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    for n in range(23):
        shutil.copy(package_photos[0], tmp_path / "photos" / f"{n:02}{package_photos[0].suffix}")
    at = ["--url", f"sqlite:{tmp_path / 'stair.db'}", "--job", tmp_path / "job"]
    assert cli("ingest", tmp_path / "photos", *at).exit_code == 0
    engine = connect(str(at[1]))
    engine.delete("photos", [name for name, _ in engine.scan("photos", [])])
    engine.close()
    told = cli("job", "verify", *at[2:])
    assert told.exit_code == 1
    first, *shown, more = told.stdout.splitlines()
    assert first == "23 expected, 0 present"
    assert len(shown) == 20
    assert more == f"missing  3 more: {tmp_path / 'job' / 'missing.ndjson'}"
    assert len((tmp_path / "job" / "missing.ndjson").read_text().splitlines()) == 23
    assert f"job retry --job {tmp_path / 'job'}" in told.stderr
    as_json = json.loads(cli("job", "verify", "--format", "json", *at[2:]).stdout)
    assert {name: as_json[name] for name in ("expected", "present", "stale")} == {
        "expected": 23,
        "present": 0,
        "stale": [],
    }
    assert len(as_json["missing"]) == 23


def test_a_dry_run_writes_nothing(cli: Cli, folder: Path, tmp_path: Path) -> None:
    result = cli("ingest", folder, "--url", f"sqlite:{tmp_path / 'x.db'}", "--dry-run")
    assert result.exit_code in (0, 1), result.output
    assert "nothing was written" in result.stderr
    assert not (tmp_path / "x.db").exists()
    assert "no jobs yet" in cli("job", "list").stderr


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["/nowhere"], "/nowhere"),
        ([], "Missing argument"),
        (["{}", "--captions", "/nowhere.csv"], "/nowhere.csv"),
        (["{}/bad.csv"], "image"),
        (["{}", "--executor", "spark"], "spark"),
    ],
)
def test_what_cannot_be_ingested_ends_with_2(
    cli: Cli, tmp_path: Path, args: list[str], told: str
) -> None:
    (tmp_path / "bad.csv").write_text("picture,words\na.jpg,dog\n")
    filled = [arg.format(tmp_path) for arg in args]
    result = cli("ingest", *filled, "--url", f"sqlite:{tmp_path / 'x.db'}")
    assert result.exit_code == 2, result.output
    assert told in result.stderr
    assert result.stdout == ""


def test_jobs_that_are_none(cli: Cli, tmp_path: Path) -> None:
    for command in ("retry", "verify"):
        result = cli("job", command)
        assert result.exit_code == 2
        assert "there is no job yet" in result.stderr
        result = cli("job", command, "--job", tmp_path)
        assert result.exit_code == 2
        assert "no job's folder" in result.stderr


def test_a_destination_that_is_down_ends_with_3(cli: Cli, folder: Path) -> None:
    result = cli("ingest", folder, "--url", "http://127.0.0.1:1")
    assert (result.exit_code, result.stdout) == (3, "")
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_csv_brings_captions_and_columns(
    cli: Cli, package_photos: list[Path], tmp_path: Path
) -> None:
    rows = ["image,caption,licence"]
    rows += [f"{photo},photo number {n},cc{n}" for n, photo in enumerate(package_photos[:3])]
    (tmp_path / "photos.csv").write_text("\n".join(rows) + "\n/nowhere/x.jpg,gone,cc9\n")
    at = ["--url", f"sqlite:{tmp_path / 'x.db'}"]
    told = report(cli, "ingest", tmp_path / "photos.csv", *at, code=1)
    assert (told["indexed"], told["failed"]) == (3, 1)
    found = report(
        cli, "search", "--match", "caption:number", "--filter", "licence=cc1", *at, code=0
    )
    assert [hit["source"]["caption"] for hit in found["hits"]] == ["photo number 1"]


def test_a_job_of_another_index_is_not_taken_for_it(cli: Cli, folder: Path, tmp_path: Path) -> None:
    at = ["--url", f"sqlite:{tmp_path / 'x.db'}"]
    cli("ingest", folder, *at)
    refused = cli("job", "verify", "--index", "other")
    assert refused.exit_code == 2
    assert "wrote to index 'photos', not to 'other'" in refused.stderr
    assert cli("job", "verify", "--index", "photos").exit_code == 0


def test_one_folder_by_two_names_is_one_job(cli: Cli, folder: Path, tmp_path: Path) -> None:
    at = ["--url", f"sqlite:{tmp_path / 'x.db'}"]
    first = report(cli, "ingest", folder, *at, code=1)
    again = report(cli, "ingest", folder / ".." / folder.name, *at, code=1)
    assert (again["job"], again["indexed"]) == (first["job"], 0)


@pytest.mark.slow
def test_a_service_that_is_stopped_keeps_what_is_encoded(
    package_photos: list[Path], tmp_path: Path
) -> None:
    """SIGTERM is what systemd and containers send."""
    many = tmp_path / "many"
    many.mkdir()
    for n in range(600):
        shutil.copy(package_photos[n % 4], many / f"{n:03}{package_photos[n % 4].suffix}")
    command: list[str | Path] = [sys.executable, "-m", "stair_search.cli", "ingest", many]
    command += ["--job", tmp_path / "job", "--url", f"sqlite:{tmp_path / 'x.db'}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "encoded again" in line:
            break
    engine = connect(f"sqlite:{tmp_path / 'x.db'}")
    while engine.count("photos") == 0 and process.poll() is None:
        time.sleep(0.02)
    engine.close()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 130
    told = json.loads((tmp_path / "job" / "report.json").read_text())
    assert 0 < told["indexed"] < 600


def test_what_cannot_encode_is_refused_before_anything_is_made(
    cli: Cli, folder: Path, tmp_path: Path
) -> None:
    at = [str(folder), "--url", f"sqlite:{tmp_path / 'stair.db'}", "--model", "starter"]
    for options, said in (
        (["--device", "cuda:7"], "device 'cuda:7' is not there: this machine has cpu"),
        (["--device", "tpu"], "device 'tpu': known are auto, cpu, cuda and cuda:N"),
        (["--precision", "fp16"], "precision fp16 needs the torch folder of a model"),
        (["--compile"], "torch.compile needs the torch folder of a model"),
    ):
        result = cli("ingest", *at, *options)
        assert result.exit_code == 2 and said in result.stderr, result.output
    assert not (tmp_path / "stair.db").exists()
    told = report(cli, "ingest", *at, "--device", "cpu", "--encode-batch", "3", code=1)
    assert told["stages"]["encode"]["batch"] == 3
