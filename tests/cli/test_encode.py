from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from .conftest import Cli


def test_texts_are_a_line_each_and_one_flag_takes_many(cli: Cli, tiny_model: Path) -> None:
    result = cli(
        "encode", "--text", "a dog", "the street", "--model", tiny_model, "--format", "json"
    )
    assert result.exit_code == 0, result.stderr
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert lines == [
        {"input": "a dog", "kind": "text", "tokens": {"dog": 1.0}},
        {"input": "the street", "kind": "text", "tokens": {"street": 1.0}},
    ]
    for args in (["--text", "dog", "--text", "cat"], ["--text=dog", "--text", "cat"]):
        result = cli("encode", *args, "--model", tiny_model)
        assert result.stdout == "dog\n    dog 1.00\ncat\n    cat 1.00\n"


def test_a_text_may_start_with_a_dash_or_be_empty(cli: Cli, tiny_model: Path) -> None:
    result = cli("encode", "--text=-dog", "--text", "", "--model", tiny_model)
    assert result.stdout == "-dog\n    dog 1.00\n\n    no token\n"


def test_one_bad_photo_costs_that_photo_alone(
    cli: Cli, package_photos: list[Path], tmp_path: Path
) -> None:
    good, other = package_photos[:2]
    (tmp_path / "text.jpg").write_text("no photo")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "cut.jpg").write_bytes(good.read_bytes()[:5000])
    bad = [tmp_path / name for name in ("text.jpg", "empty.jpg", "cut.jpg", "none.jpg")]
    result = cli("encode", good, *bad, tmp_path, other, "--format", "ndjson")
    assert result.exit_code == 1
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["input"] for line in lines] == [str(good), str(other)]
    for line in lines:
        assert list(line) == ["input", "kind", "tokens"]
        assert line["kind"] == "image"
        weights = list(line["tokens"].values())
        assert weights == sorted(weights, reverse=True)
        assert len(weights) > 10
    told = result.stderr.splitlines()
    assert len(told) == 5
    for line, why in zip(
        told,
        ["not a photo", "empty file", "truncated", "no such file", "not a file but a folder"],
        strict=True,
    ):
        assert line.startswith("Error: ")
        assert why in line


def test_a_file_name_in_odd_bytes(cli: Cli, package_photos: list[Path], tmp_path: Path) -> None:
    odd = tmp_path / b"caf\xe9\n.png".decode("utf-8", "surrogateescape")
    try:
        odd.write_bytes(package_photos[0].read_bytes())
    except OSError:
        pytest.skip("this file system takes no such name")
    for form in ("table", "json"):
        result = cli("encode", odd, "--format", form)
        assert result.exit_code == 0, result.stderr
        assert "caf\\udce9" in result.stdout


@pytest.mark.parametrize("suffix", [".svg", ".png", ".SVG"])
def test_a_picture(cli: Cli, tiny_model: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"cloud{suffix}"
    result = cli("encode", "--text", "dog beach", "cat", "--model", tiny_model, "--picture", out)
    assert result.exit_code == 0, result.stderr
    if suffix == ".png":
        with Image.open(out) as picture:
            assert picture.width == 900
    else:
        drawn = out.read_text()
        assert drawn.startswith("<svg")
        assert all(f">{word}</text>" in drawn for word in ("dog", "beach", "cat"))


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ([], "nothing to encode"),
        (["--text", "dog", "--picture", "x.gif"], ".svg or .png"),
        (["--text", "dog", "--picture", "/nowhere/x.svg"], "/nowhere/x.svg"),
    ],
)
def test_usage(cli: Cli, tiny_model: Path, args: list[str], told: str) -> None:
    result = cli("encode", *args, "--model", tiny_model)
    assert result.exit_code == 2
    assert told in result.stderr
