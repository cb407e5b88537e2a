"""`kill -9` of a real process in each of three stages: the losses are those of one that lived."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.train, pytest.mark.slow]

STAGES = ("masked", "frozen", "joint")
KILLED_AT = 3
"""Steps are saved every two: one is done again."""


def begin(pairs: Path, images: Path, run: Path, *until: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.training.victim", pairs, images, run, *until]
    return subprocess.Popen(
        [str(part) for part in command],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )


def lines(run: Path) -> dict[str, list[dict[str, Any]]]:
    found = {}
    for number, stage in enumerate(STAGES, 1):
        log = (run / "stages" / f"{number}-{stage}" / "log.jsonl").read_text().splitlines()
        found[stage] = [json.loads(line) for line in log]
        for line in found[stage]:
            del line["seconds"]
    return found


def test_killed_in_every_stage_and_none_the_worse(
    pairs: Path, package_photos: list[Path], tmp_path: Path
) -> None:
    images = package_photos[0].parent
    assert begin(pairs, images, tmp_path / "lived").wait(300) == 0
    for stage in STAGES:
        process = begin(pairs, images, tmp_path / "killed", stage, KILLED_AT)
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        process.send_signal(signal.SIGKILL)
        assert process.wait(30) == -signal.SIGKILL
    assert begin(pairs, images, tmp_path / "killed").wait(300) == 0
    lived, killed = lines(tmp_path / "lived"), lines(tmp_path / "killed")
    assert [line["step"] for line in lived["masked"]] == [1, 2, 3, 4, 4, 5, 5]
    for stage in STAGES:
        assert killed[stage] == lived[stage], stage
    weights = "stages/3-joint/model/model.safetensors"
    assert (tmp_path / "killed" / weights).read_bytes() == (
        tmp_path / "lived" / weights
    ).read_bytes()
