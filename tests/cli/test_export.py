from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import Cli

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from stair_search.models import save_pretrained
    from tests.models.tiny import model

    folder = tmp_path_factory.mktemp("trained") / "model"
    save_pretrained(model(), folder)
    return folder


def tokens(cli: Cli, model: Path, *more: str) -> dict[str, float]:
    args = ("encode", "--text", "a dog on the beach", "--model", model, "--format", "json", *more)
    result = cli(*args)
    assert result.exit_code == 0, result.stderr
    found: dict[str, float] = json.loads(result.stdout)["tokens"]
    return found


def test_a_model_leaves_a_light_folder(cli: Cli, trained: Path, tmp_path: Path) -> None:
    captions = tmp_path / "captions.csv"
    captions.write_text("image,caption\na.jpg,a dog on the beach\nb.jpg,\nb.jpg,the red car\n")
    result = cli("export", trained, "--out", tmp_path / "light", "--captions", captions)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    assert "about 2 captions" in result.stderr
    assert f"--model {tmp_path / 'light'}" in result.stderr
    own = tokens(cli, trained)
    neural = tokens(cli, tmp_path / "light", "--text-encoder", "neural")
    assert neural == pytest.approx(own, abs=1e-5)
    static = tokens(cli, tmp_path / "light")
    assert static == tokens(cli, tmp_path / "light", "--text-encoder", "static") != neural
    assert cli("export", trained, "--out", tmp_path / "light").exit_code == 2


def test_captions_that_cannot_be_read(cli: Cli, trained: Path, tmp_path: Path) -> None:
    for name, raw, said in (
        ("a.csv", b"image,text\nx,y\n", "has no column caption"),
        ("b.csv", b"caption\n\xff\xfe\n", "cannot be read"),
        ("c.txt", b"\xff\xfe\n", "cannot be read"),
    ):
        (tmp_path / name).write_bytes(raw)
        result = cli("export", trained, "--out", tmp_path / "x", "--captions", tmp_path / name)
        assert result.exit_code == 2 and said in result.stderr
    assert not (tmp_path / "x").exists()


def test_what_is_no_trained_model(cli: Cli, tiny_model: Path, tmp_path: Path) -> None:
    result = cli("export", tiny_model, "--out", tmp_path / "x")
    assert result.exit_code == 2 and "light" in result.stderr
    (tmp_path / "empty").mkdir()
    result = cli("export", tmp_path / "empty", "--out", tmp_path / "x")
    assert result.exit_code == 4 and "config.json" in result.stderr
    assert cli("export", tmp_path / "none", "--out", tmp_path / "x").exit_code == 2


def test_a_text_encoder_that_a_model_lacks(cli: Cli, tiny_model: Path, sqlite: list[str]) -> None:
    for args in (
        ("encode", "--text", "dog"),
        ("search", "dog", *sqlite),
        ("explain", "dog", "--id", "1", *sqlite),
    ):
        result = cli(*args, "--model", tiny_model, "--text-encoder", "neural")
        assert result.exit_code == 4, result.stderr
        assert "has no neural text encoder: it has static" in result.stderr


def test_a_dense_model_is_refused_where_an_index_is_written_or_asked(
    cli: Cli, sqlite: list[str], tmp_path: Path
) -> None:
    from stair_search.models import save_pretrained
    from tests.models.tiny import model

    save_pretrained(model("clip"), tmp_path / "clip")
    for args in (
        ("search", "dog", *sqlite),
        ("search", "dog", "--url", f"sqlite:{tmp_path / 'none.db'}"),
        ("ingest", tmp_path, *sqlite),
        ("encode", "--text", "x"),
    ):
        result = cli(*args, "--model", tmp_path / "clip")
        assert result.exit_code == 4, result.stderr
        assert "gives dense vectors of 12 numbers, no tokens" in result.stderr


def test_what_the_model_indexed_is_found_by_its_light_form(
    cli: Cli, trained: Path, package_photos: list[Path], tmp_path: Path
) -> None:
    url = ("--url", f"sqlite:{tmp_path / 'stair.db'}")
    job = ("--job", str(tmp_path / "job"))
    result = cli("ingest", *package_photos[:3], *url, *job, "--model", trained, "--format", "json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["indexed"] == 3
    cli("export", trained, "--out", tmp_path / "light")
    ask = ("search", "--image", package_photos[0], *url, "--format", "json", "--model")
    by_torch, by_light = (
        json.loads(cli(*ask, one).stdout) for one in (trained, tmp_path / "light")
    )
    assert by_light["hits"] and [hit["id"] for hit in by_light["hits"]] == [
        hit["id"] for hit in by_torch["hits"]
    ]
    for one, other in zip(by_light["hits"], by_torch["hits"], strict=True):
        assert one["score"] == pytest.approx(other["score"], abs=1e-4)
