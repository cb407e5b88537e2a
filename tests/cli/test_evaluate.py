from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import Cli


@pytest.fixture
def pairs(package_photos: list[Path], tmp_path: Path) -> Path:
    rows = ["image,caption,split"]
    rows += [f'{p.name},"a photo, named {p.stem}",test' for p in package_photos[:3]]
    rows += [f"{package_photos[0].name},a chair,test", f"{package_photos[3].name},a bed,train"]
    (tmp_path / "captions.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "captions.csv"


def test_the_shape_of_the_contract(cli: Cli, pairs: Path, package_photos: list[Path]) -> None:
    at = ["--pairs", pairs, "--images", package_photos[0].parent]
    result = cli("evaluate", "retrieval", *at, "--split", "test", "--format", "json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert list(found) == [
        "model",
        "text_encoder",
        "images",
        "captions",
        "text_to_image",
        "image_to_text",
        "active_tokens",
    ]
    assert (found["images"], found["captions"]) == (3, 4)
    for way in ("text_to_image", "image_to_text"):
        assert list(found[way]) == ["R@1", "R@5", "R@10"]
        assert all(0 <= value <= 100 for value in found[way].values())
    assert list(found["active_tokens"]) == ["image", "text"]
    table = cli("evaluate", "retrieval", *at)
    assert "4 photos, 5 captions" in table.stdout
    assert "R@10" in table.stdout


def test_what_cannot_be_measured_ends_with_2(cli: Cli, pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    at = ["evaluate", "retrieval", "--pairs", pairs, "--images", tmp_path / "photos"]
    result = cli(*at)
    assert result.exit_code == 2
    assert "lacks 4 photos" in result.stderr
    assert cli(*at, "--split", "nope").exit_code == 2
    pairs.write_text("image,caption\nbad.jpg,a dog\n")
    (tmp_path / "photos" / "bad.jpg").write_text("no photo")
    result = cli(*at)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "bad.jpg: not a photo" in result.stderr
