"""A run on two processes, started as on a cluster, against the same run on one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import TINY

pytestmark = [pytest.mark.train, pytest.mark.slow]

LAUNCH = (
    *("-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1"),
    *("--mixed_precision", "no", "--dynamo_backend", "no", "-m", "stair_search.cli"),
)


def train(
    start: tuple[str, ...], pairs: Path, images: Path, run: Path
) -> subprocess.CompletedProcess[str]:
    # dropout is drawn anew on each process
    settings = ["--set", "model.image.head.dropout=0.0", "--format", "json", "--device", "cpu"]
    places = ["--pairs", pairs, "--images", images, "--out", run, "--cache", run.parent / "cache"]
    command = [sys.executable, *start, "train", TINY, *places, *settings]
    return subprocess.run(
        [str(part) for part in command],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )


def test_two_processes_train_as_one(
    pairs: Path, package_photos: list[Path], tmp_path: Path
) -> None:
    images = package_photos[0].parent
    two = train(LAUNCH, pairs, images, tmp_path / "two")
    assert two.returncode == 0, two.stderr
    assert len(json.loads(two.stdout)["stages"]) == 3
    one = train(("-m", "stair_search.cli"), pairs, images, tmp_path / "one")
    assert one.returncode == 0, one.stderr
    for stage in ("1-masked", "2-frozen", "3-joint"):
        found = []
        for run in ("one", "two"):
            text = (tmp_path / run / "stages" / stage / "log.jsonl").read_text()
            lines = [json.loads(line) for line in text.splitlines()]
            found.append([line for line in lines if "loss" in line])
        assert [line["step"] for line in found[0]] == [1, 2, 3, 4, 5]
        for lone, shared in zip(*found, strict=True):
            assert shared["loss"] == pytest.approx(lone["loss"], rel=1e-4)
            assert shared["gradient"] == pytest.approx(lone["gradient"], rel=1e-3)
            assert shared["active_tokens"] == pytest.approx(lone["active_tokens"], rel=1e-3)
            assert shared["dead_tokens"] == pytest.approx(lone["dead_tokens"], abs=3)


def test_a_batch_that_cannot_be_split_is_refused(
    pairs: Path, package_photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    done = train(("-m", "stair_search.cli"), pairs, package_photos[0].parent, tmp_path / "run")
    assert done.returncode == 2
    assert "a batch of 8 cannot be split evenly over 3 processes: --set batch=6" in done.stderr
