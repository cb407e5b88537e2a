from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Cli

pytestmark = pytest.mark.train

TINY = Path(__file__).parents[1] / "training" / "tiny.toml"


@pytest.fixture
def pairs(package_photos: list[Path], tmp_path: Path) -> Path:
    rows = ["image,caption,split"]
    for i, photo in enumerate(package_photos[:12]):
        rows.append(f"{photo.name},a photo of chair {i},{'val' if i > 8 else 'train'}")
    (tmp_path / "pairs.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "pairs.csv"


@pytest.fixture
def options(pairs: Path, package_photos: list[Path], tmp_path: Path) -> list[object]:
    places: list[object] = ["--pairs", pairs, "--images", package_photos[0].parent]
    return [*places, "--out", tmp_path / "run", "--cache", tmp_path / "cache"]


def test_a_run_by_command(
    cli: Cli, options: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    from stair_search.encoders import torch_model

    chosen, devices = torch_model.chosen_device, set[str | None]()

    def recorded(device: str | None) -> str:
        devices.add(device)
        return chosen(device)

    monkeypatch.setattr(torch_model, "chosen_device", recorded)
    command = ["train", TINY, *options, "--device", "cpu", "--set", "stages.*.steps=2"]
    planned = cli(*command, "--dry-run")
    assert planned.exit_code == 0, planned.output
    assert "already trained" not in planned.stdout and "joint" in planned.stdout
    assert not (tmp_path / "run").exists()
    result = cli(*command, "--format", "json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert list(found) == ["run", "model", "stages"]
    assert [stage["name"] for stage in found["stages"]] == ["masked", "frozen", "joint"]
    for stage in found["stages"]:
        assert list(stage) == ["name", "steps", "seconds", "loss", "validation"]
        assert stage["steps"] == 2
        assert set(stage["validation"]["text_to_image"]) == {"R@1", "R@5", "R@10"}
    report = tmp_path / "run" / "report.html"
    assert devices == {"cpu"}  # the report keeps off a GPU, too
    assert "run 3-joint" in report.read_text("utf-8")
    written = report.stat().st_mtime_ns
    again = cli(*command)
    assert again.exit_code == 0 and report.stat().st_mtime_ns == written
    assert f"the model is in {found['model']}" in again.stdout
    assert cli(*command, "--dry-run").stdout.count("already trained") == 3
    other = cli(*command, "--seed", 5)
    assert other.exit_code == 2
    assert "seed: 0 there, 5 here" in other.stderr
    about = json.loads(cli("models", found["model"], "--format", "json").stdout)
    assert (about["kind"], about["name"]) == ("stair", "tiny")


def test_what_cannot_be_trained_ends_with_2(
    cli: Cli, options: list[object], pairs: Path, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    result = cli("train", "tall", *options)
    assert result.exit_code == 2
    assert "no recipe 'tall'" in result.stderr and "small" in result.stderr
    result = cli("train", TINY, *options, "--set", "stages.0.stepz=3")
    assert result.exit_code == 2
    assert "unknown setting stages.0.stepz" in result.stderr
    pairs.write_text("image,caption\nnone.jpg,a dog\n")
    result = cli("train", TINY, *options)
    assert result.exit_code == 2
    assert "lacks 1 photos" in result.stderr


def test_models_lists_models_and_recipes(cli: Cli, tmp_path: Path) -> None:
    found = json.loads(cli("models", "--format", "json").stdout)
    assert "starter" in [model["name"] for model in found["models"]]
    recipes = {recipe["name"]: recipe["about"] for recipe in found["recipes"]}
    assert {"paper", "paper-clip", "small", "small-text-free"} <= set(recipes)
    assert all(recipes.values())
    table = cli("models").stdout
    assert all(name in table for name in recipes)
    told = json.loads(cli("models", "starter", "--format", "json").stdout)
    assert (told["name"], told["form"], told["image"]["size"]) == ("starter", "light (ONNX)", 260)
    empty = cli("models", tmp_path)
    assert empty.exit_code == 4
    assert "neither model.json" in empty.stderr


def test_listing_takes_no_torch() -> None:

    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from stair_search.cli import main; main(['models'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "small" in done.stdout


def test_training_without_torch_says_what_to_install(options: list[object]) -> None:
    command = [str(part) for part in ["train", TINY, *options]]
    code = (
        "import sys; sys.modules['torch'] = None\n"
        f"from stair_search.cli import main; main({command!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert "torch is not installed: pip install 'stair-search[train]'" in done.stderr
