from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from stair_search import load_encoder
from stair_search.vocabulary import Vocabulary

from ..evaluation.dense import TinyDense
from .conftest import Cli

pytestmark = pytest.mark.slow


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
    assert list(found)[:7] == [
        "model",
        "text_encoder",
        "images",
        "captions",
        "text_to_image",
        "image_to_text",
        "active_tokens",
    ]
    for way in ("text_to_image", "image_to_text"):
        for k, (low, high) in found["intervals"][way].items():
            assert low <= found[way][k] <= high
    assert (found["images"], found["captions"]) == (3, 4)
    for way in ("text_to_image", "image_to_text"):
        assert list(found[way]) == ["R@1", "R@5", "R@10"]
        assert all(0 <= value <= 100 for value in found[way].values())
    assert list(found["active_tokens"]) == ["image", "text"]
    table = cli("evaluate", "retrieval", *at)
    assert "4 photos, 5 captions" in table.stdout
    assert "R@10" in table.stdout
    free = cli("evaluate", "retrieval", *at, "--text-encoder", "mask", "--format", "json")
    assert json.loads(free.stdout)["text_encoder"] == "mask"


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


@pytest.fixture(scope="module")
def classes(package_photos: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rooms of three kinds, six small photos each; their labels are no truth, only labels."""
    folder = tmp_path_factory.mktemp("classes")
    rooms = [path for path in package_photos if path.name.startswith("interior")]
    for number, photo in enumerate(rooms[:18]):
        place = folder / ("bed", "sofa", "dining_table")[number % 3]
        place.mkdir(exist_ok=True)
        with Image.open(photo) as opened:
            opened.thumbnail((300, 300))
            opened.save(place / photo.name)
    return folder


def test_classification(cli: Cli, classes: Path) -> None:
    at = ["evaluate", "classification", "--classes", classes]
    found = json.loads(cli(*at, "--format", "json").stdout)
    assert (found["images"], found["classes"], found["templates"]) == (18, 3, 7)
    assert found["top-5"] == 100
    low, high = found["intervals"]["top-1"]
    assert low <= found["top-1"] <= high
    table = cli(*at, "--templates", "name").stdout
    assert "18 photos, 3 classes, 1 templates" in table and "top-1: " in table
    bad = cli(*at, "--templates", "none.txt")
    assert bad.exit_code == 2 and "known are ensemble, photo, name" in bad.stderr


def test_probe(cli: Cli, classes: Path) -> None:
    at = ["evaluate", "probe", "--classes", classes, "--train-share", "0.67"]
    found = json.loads(cli(*at, "--format", "json").stdout)
    assert (found["train"], found["test"], found["classes"]) == (12, 6, 3)
    again = cli(*at).stdout
    assert "6 to test" in again and f"{found['top-1']:.1f}" in again
    bad = cli(*at[:-1], "0.01")
    assert bad.exit_code == 2 and "cannot be split" in bad.stderr


def test_interpretability(cli: Cli, classes: Path, pairs: Path, package_photos: list[Path]) -> None:
    at = ["--pairs", pairs, "--images", package_photos[0].parent]
    both = ["evaluate", "interpretability", "--classes", classes, *at]
    found = json.loads(cli(*both, "--format", "json").stdout)
    assert found["labels"]["tokens"] == found["nouns"]["any"]["tokens"] == 30522
    assert list(found["labels"])[3:7] == ["top-1", "top-10", "top-50", "top-100"]
    assert found["nouns"]["each"]["questions"] >= found["nouns"]["any"]["questions"]
    assert "any noun" in cli("evaluate", "interpretability", *at).stdout
    nothing = cli("evaluate", "interpretability")
    assert nothing.exit_code == 2 and "nothing to measure" in nothing.stderr


def test_sparsity(cli: Cli, pairs: Path, package_photos: list[Path]) -> None:
    at = ["evaluate", "sparsity", "--pairs", pairs, "--images", package_photos[0].parent]
    found = json.loads(cli(*at, "--before", "starter", "--format", "json").stdout)
    assert found["images"]["most"] <= 96 and found["texts"]["most"] <= 32
    assert found["drift"] == 0 and found["flops"] > 0
    assert found["images"]["alive"] + found["images"]["dead"] == 30522
    told = cli(*at, "--text-encoder", "mask").stdout
    assert "100.0 % of captions'" in told and "drift" not in told


def test_a_dense_model_is_told_before_photos_are_encoded(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sparse = load_encoder(threads=1)
    dense = TinyDense(sparse.vocabulary)
    monkeypatch.setattr(
        "stair_search.encoders.load_any_encoder",
        lambda name, **given: dense if name == "clip" else sparse,
    )
    (tmp_path / "captions.csv").write_text("image,caption\nbad.jpg,a dog\n")
    (tmp_path / "bad.jpg").write_text("no photo")
    at = ["evaluate", "sparsity", "--pairs", tmp_path / "captions.csv", "--images", tmp_path]
    for models, message in (
        (["--model", "clip"], "clip is a dense model: all of its dimensions are active"),
        (["--before", "clip"], "--before clip: a dense model has no tokens"),
    ):
        refused = cli(*at, *models)
        assert (refused.exit_code, refused.stdout) == (2, "") and message in refused.stderr


def test_a_table_of_models(
    cli: Cli,
    pairs: Path,
    classes: Path,
    package_photos: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sparse = load_encoder(threads=1)
    dense = TinyDense(Vocabulary(["bed", "dining", "table", "sofa", "chair", "photo"]))
    monkeypatch.setattr(
        "stair_search.encoders.load_any_encoder",
        lambda name, **given: dense if name == "clip" else sparse,
    )
    at = ["--pairs", pairs, "--images", package_photos[0].parent, "--classes", classes]
    models = ["--model", "starter", "--model", "starter:mask", "--model", "clip"]
    result = cli("evaluate", "table", *models, *at, "--format", "json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [row["name"] for row in found["rows"]] == ["starter", "starter:mask", "clip"]
    first, free, other = found["rows"]
    alone = cli("evaluate", "retrieval", *at[:4], "--format", "json")
    assert first["retrieval"] == json.loads(alone.stdout)
    assert first["probe"] == free["probe"]
    assert other["sparsity"] is None and other["retrieval"]["active_tokens"]["image"] is None
    assert other["interpretability"]["labels"]["tokens"] == 6
    assert [d["name"] for d in found["differences"]] == ["starter:mask", "clip"]
    assert found["differences"][1]["text_to_image R@1"]["points"] == pytest.approx(
        other["retrieval"]["text_to_image"]["R@1"] - first["retrieval"]["text_to_image"]["R@1"]
    )
    shown = cli("evaluate", "table", *models[2:], *at).stdout
    for title in ("zero-shot classes", "linear probe", "active tokens", "difference in points"):
        assert title in shown
    refused = cli("evaluate", "table", "--model", "clip:mask", *at)
    assert refused.exit_code == 2 and "no tokens" in refused.stderr


@pytest.mark.train
def test_a_table_of_torch_models(cli: Cli, tmp_path: Path, package_photos: list[Path]) -> None:
    """A dense and a sparse model as training leaves them, on words of their vocabulary."""
    from stair_search.models import save_pretrained
    from tests.models.tiny import model

    for kind in ("stair", "clip", "stair-image"):
        save_pretrained(model(kind), tmp_path / kind)
    words = ["dog", "cat", "car"]
    rows = [f"{p.name},a {words[i % 3]} on the beach" for i, p in enumerate(package_photos[:24])]
    (tmp_path / "captions.csv").write_text("\n".join(["image,caption", *rows]))
    for number, photo in enumerate(package_photos[:24]):
        place = tmp_path / "classes" / ("dog", "cat", "red car")[number % 3]
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(photo, place)
    at = ["--pairs", tmp_path / "captions.csv", "--images", package_photos[0].parent]
    models = [
        f"--model={tmp_path / kind}" for kind in ("stair", "stair:mask", "clip", "stair-image")
    ]
    classes = ["--classes", tmp_path / "classes", "--templates", "name"]
    result = cli("evaluate", "table", *models, *at, *classes, "--format", "json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["rows"]
    assert [row["text_encoder"] for row in found] == ["neural", "mask", "neural", "static"]
    assert [row["retrieval"]["ranked_by"] for row in found] == [
        "engine",
        "engine",
        "cosine",
        "engine",
    ]
    for row in found:
        assert row["interpretability"]["labels"]["tokens"] == 23
        assert row["probe"]["test"] == 8 and row["classification"]["top-5"] == 100


def test_a_protocol_with_another_number_of_photos_is_told_before_the_work(
    cli: Cli, pairs: Path, package_photos: list[Path]
) -> None:
    at = ["--pairs", pairs, "--images", package_photos[0].parent, "--protocol", "coco-5k"]
    for command in (["retrieval"], ["table", "--model", "starter"]):
        result = cli("evaluate", *command, *at)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "coco-5k is measured on 5,000 photos, not 4" in result.stderr


def test_a_missing_package_is_named_with_its_extra(
    cli: Cli, classes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    for name in [name for name in sys.modules if name.partition(".")[0] == "sklearn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    result = cli("evaluate", "probe", "--classes", classes)
    assert result.exit_code == 2
    assert "stair-search[evaluation]" in result.stderr
