"""adapt: from photos and captions to a model that ingest takes, with its report."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from stair_search.cli.photos import open_photo
from stair_search.encoders import load_encoder
from stair_search.errors import ModelError, UsageError
from stair_search.ingest.decode import decode
from stair_search.models import from_pretrained
from stair_search.models.backbones import image_backbone
from stair_search.training.adapt import workflow as module
from stair_search.training.adapt.folder import Options, Plan
from stair_search.training.adapt.workflow import adapt, plan

from .backbones import captioned, image_folder, text_folder

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory, package_photos: list[Path]) -> Options:
    """Of a first call: nothing is there yet in `out`."""
    folder = tmp_path_factory.mktemp("adapt")
    pairs = captioned(folder, package_photos[:24])
    return Options(
        str(image_folder(folder / "vit")),
        pairs,
        folder / "photos",
        folder / "mine",
        text_backbone=str(text_folder(folder / "bert")),
        steps=6,
        batch=8,
    )


@pytest.fixture(scope="module")
def planned(options: Options) -> Plan:
    return plan(options, open_photo, threads=1)


@pytest.fixture(scope="module")
def adapted(options: Options, planned: Plan) -> Options:
    """When all is done."""
    adapt(options, planned, open_photo, decode)
    return options


def test_a_plan_says_what_and_why_and_writes_nothing(tmp_path: Path, options: Options) -> None:
    there = dataclasses.replace(options, out=tmp_path / "mine")
    told = "\n".join(plan(there, open_photo, threads=1).lines())
    assert "20 photos with 40 captions, 4 photos held out; CPU, 1 threads" in told
    assert "no split in captions.csv: 4 photos are held out, chosen at random (seed 0)" in told
    assert "20 photos are few" in told
    assert "6 steps: as you asked" in told
    assert "GB of disk" in told
    assert not there.out.exists()


def test_what_is_left_in_the_folder(adapted: Options) -> None:
    out = adapted.out
    report = json.loads((out / "report.json").read_text("utf-8"))
    assert [(stage["name"], stage["dense"], stage["steps"]) for stage in report["stages"]] == [
        ("STAIR 1-masked", False, 1),
        ("STAIR 2-frozen", False, 1),
        ("STAIR 3-joint", False, 4),
        ("CLIP", True, 6),
    ]
    assert all(stage["measures"]["photos"] == 4 for stage in report["stages"])
    assert report["next_steps"][0].startswith("stair-search ingest ")
    html = (out / "report.html").read_text("utf-8")
    assert html.count("data:image/jpeg;base64,") == 4 and "no split in captions.csv" in html
    rows = list(csv.DictReader((out / "pairs.csv").open(newline="")))
    assert len(rows) == 48 and {row["split"] for row in rows} == {"train", "val"}
    assert not (out / "left-out.csv").exists()


def test_the_light_model_answers_as_the_torch_one(adapted: Options) -> None:
    light = load_encoder(str(adapted.out / "light"))
    heavy = load_encoder(str(adapted.out / "model"))
    assert light.name == "mine" and light.fingerprint == heavy.fingerprint
    photo = open_photo(adapted.images / "3.jpg")
    pixels = light.prepare_image(photo)[None]
    ours = light.vocabulary.to_dict(light.encode_images(pixels)[0])
    theirs = heavy.vocabulary.to_dict(heavy.encode_images(pixels)[0])
    assert ours == pytest.approx(theirs, abs=1e-3)


def test_the_same_call_again_changes_nothing(adapted: Options) -> None:
    def times() -> dict[Path, int]:
        return {p: p.stat().st_mtime_ns for p in adapted.out.rglob("*.json")}

    before = times()
    again = plan(adapted, open_photo)
    assert again.prepared is None and again.choice.steps == (1, 1, 4)
    adapt(adapted, again, open_photo, decode)
    assert times() == before


def test_a_report_without_its_page_is_written_again(adapted: Options) -> None:
    (adapted.out / "report.html").unlink()  # killed between the two files
    adapt(adapted, plan(adapted, open_photo), open_photo, decode)
    assert (adapted.out / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("at", ["STAIR: stage 2", "CLIP: stage 1", "tracing the text side"])
def test_stopped_anywhere_it_ends_as_if_it_had_not_been(
    tmp_path: Path, adapted: Options, planned: Plan, at: str
) -> None:
    there = dataclasses.replace(adapted, out=tmp_path / "mine")

    def stop(line: str) -> None:
        if line.startswith(at):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        adapt(there, planned, open_photo, decode, stop)
    assert not (there.out / "report.json").exists()
    adapt(there, plan(there, open_photo), open_photo, decode)
    ours, theirs = (load_file(o.out / "model" / "model.safetensors") for o in (there, adapted))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 1}, "begun with --seed 0"),
        ({"steps": 9}, "begun with --steps 6"),
        ({"unfreeze": "all"}, "begun with --unfreeze None"),
    ],
)
def test_other_options_are_refused_there(
    adapted: Options, change: dict[str, object], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        plan(dataclasses.replace(adapted, **change), open_photo)  # type: ignore[arg-type]


def test_other_captions_are_refused_there(adapted: Options) -> None:
    text = adapted.pairs.read_text()
    try:
        adapted.pairs.write_text(text + "0.jpg,one more\n")
        with pytest.raises(UsageError, match="has changed since"):
            plan(adapted, open_photo)
    finally:
        adapted.pairs.write_text(text)


def test_a_folder_with_something_else_is_refused(tmp_path: Path, options: Options) -> None:
    (tmp_path / "thesis.txt").write_text("dear")
    with pytest.raises(UsageError, match="holds something else"):
        plan(dataclasses.replace(options, out=tmp_path), open_photo)
    with pytest.raises(UsageError, match="holds something else"):
        plan(dataclasses.replace(options, out=tmp_path / "thesis.txt"), open_photo)


def test_what_cannot_be_is_said_before_photos_are_opened(tmp_path: Path, options: Options) -> None:
    def never(photo: Path) -> None:
        raise AssertionError(photo)

    there = dataclasses.replace(options, out=tmp_path / "mine")
    for change, kind, said in [
        ({"backbone": "nonesuch"}, ModelError, "nonesuch.*efficientnet-lite2"),
        ({"text_backbone": "nonesuch"}, ModelError, "nonesuch.*minilm"),
        ({"name": "a b"}, UsageError, "--name"),
        ({"minutes": 5.0}, UsageError, "exclude each other"),
    ]:
        with pytest.raises(kind, match=said):
            plan(dataclasses.replace(there, **change), never)  # type: ignore[arg-type]


def test_pickles_are_refused(tmp_path: Path, options: Options) -> None:
    folder = tmp_path / "old"
    shutil.copytree(options.backbone, folder)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="pickle"):
        plan(dataclasses.replace(options, out=tmp_path / "x", backbone=str(folder)), open_photo)


def test_broken_photos_are_left_out_by_their_reason(tmp_path: Path, options: Options) -> None:
    images = tmp_path / "photos"
    shutil.copytree(options.images, images)
    (images / "2.jpg").write_bytes(b"no photo")
    found = plan(dataclasses.replace(options, images=images, out=tmp_path / "x"), open_photo)
    assert found.left_out == 2 and any("2 rows are left out" in line for line in found.told)
    assert found.prepared is not None and found.prepared.left_out[0].image == "2.jpg"


def test_minutes_become_steps(tmp_path: Path, options: Options) -> None:
    short = dataclasses.replace(options, steps=None, minutes=2.0, out=tmp_path / "x")
    choice = plan(short, open_photo, threads=1).choice
    assert f"{choice.total:,} steps: what 2 minutes allow for both models" in choice.why
    with pytest.raises(UsageError, match=r"--minutes 0\.0001 are too few"):
        plan(dataclasses.replace(short, minutes=0.0001), open_photo, threads=1)


@pytest.mark.slow
@pytest.mark.parametrize("unfreeze", ["last", "all"])
def test_trained_towers_learn(tmp_path: Path, options: Options, unfreeze: Any) -> None:
    there = dataclasses.replace(options, unfreeze=unfreeze, out=tmp_path / unfreeze)
    adapt(there, plan(there, open_photo, threads=1), open_photo, decode)
    tower = image_backbone(options.backbone).tower
    before = dict(tower.named_parameters())
    after = from_pretrained(there.out / "model").image_tower.state_dict()
    taught = {id(p) for p in (tower.last() if unfreeze == "last" else tower.parameters())}
    for name, value in before.items():
        if value.ndim == 2:
            assert torch.equal(value, after[name]) == (id(value) not in taught), name
    assert not list((there.out / "cache").glob("image-*.npy"))


def test_several_processes_are_refused(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="one process"):
        module._check(options)
