"""stair-search adapt: what is typed and what is seen."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from stair_search.cli import main
from tests.training.adapt.backbones import captioned, image_folder, text_folder

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory, package_photos: list[Path]) -> list[str]:
    """The command but for --out; a photo is missing, and one caption is empty."""
    folder = tmp_path_factory.mktemp("adapt")
    pairs = captioned(folder, package_photos[:20])
    with pairs.open("a") as lines:
        lines.write("gone.jpg,a dog\n0.jpg,  \n")
    told = {
        "--backbone": image_folder(folder / "vit"),
        "--text-backbone": text_folder(folder / "bert"),
        "--pairs": pairs,
        "--images": folder / "photos",
        "--steps": 4,
        "--threads": 1,
    }
    return ["adapt", *(str(part) for pair in told.items() for part in pair)]


def test_a_dry_run_prints_the_plan(typed: list[str], tmp_path: Path) -> None:
    out = tmp_path / "mine"
    found = CliRunner().invoke(main, [*typed, "--out", str(out), "--dry-run"])
    assert found.exit_code == 0, found.output
    assert "2 rows are left out, listed in left-out.csv" in found.stdout
    assert "1 rows: the photo is missing (first: gone.jpg)" in found.stdout
    assert "for STAIR in three stages" in found.stdout
    assert not out.exists()
    told = json.loads(
        CliRunner()
        .invoke(main, [*typed, "--out", str(out), "--dry-run", "--format", "json"])
        .stdout
    )
    assert told["choice"]["steps"] == [1, 1, 2] and told["cost"]["disk"] > 0


def test_mistakes_are_told_in_a_line(typed: list[str], tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "mine")]
    found = CliRunner().invoke(main, [*typed, *out, "--backbone", "nonesuch"])
    assert found.exit_code == 4 and "efficientnet-lite2" in found.stderr
    found = CliRunner().invoke(main, [*typed, *out, "--validation-split", "mine"])
    assert found.exit_code == 2 and "no split 'mine'" in found.stderr
    (tmp_path / "one.csv").write_text("image,caption\n0.jpg,a dog\n")
    found = CliRunner().invoke(main, [*typed, *out, "--pairs", str(tmp_path / "one.csv")])
    assert found.exit_code == 2 and "needs at least 12" in found.stderr
    assert not (tmp_path / "mine").exists()


@pytest.mark.slow
def test_an_evening_in_a_minute(typed: list[str], tmp_path: Path) -> None:
    """Killed while it trains, started again, and the model is one that ingest and search take."""
    out = tmp_path / "mine"
    command = [sys.executable, "-m", "stair_search.cli", *typed, "--out", str(out)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    first = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    while first.poll() is None and not list(out.glob("runs/stair/stages/1-masked/stage.json")):
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    assert not (out / "report.json").exists()
    again = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert again.returncode == 1, again.stderr  # rows were left out
    assert "goes on where it was" in again.stderr and "2 rows were left out" in again.stderr
    lines = again.stdout.splitlines()
    assert lines[1].startswith("STAIR 1-masked") and lines[4].startswith("CLIP")
    assert f"stair-search ingest {typed[typed.index('--images') + 1]}" in again.stdout
    assert (out / "left-out.csv").read_text().count("\n") == 3

    url = ["--url", f"sqlite:{tmp_path / 'stair.db'}", "--model", str(out / "light")]
    images = typed[typed.index("--images") + 1]
    assert CliRunner().invoke(main, ["ingest", images, *url]).exit_code == 0
    hits = CliRunner().invoke(main, ["search", "a dog on the beach", *url, "--format", "json"])
    assert hits.exit_code == 0 and json.loads(hits.stdout)["hits"]
