"""Reports of runs, from tiny real models: what is measured is what the evaluation itself says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stair_search.encoders import load_any_encoder, load_encoder
from stair_search.errors import TrainingError, UsageError
from stair_search.evaluation.encode import encode_photos
from stair_search.evaluation.measure import measure as measure_by_engine
from stair_search.evaluation.pairs import Pairs
from stair_search.ingest.decode import decode
from stair_search.models import save_pretrained
from stair_search.models.towers import ImageTower
from stair_search.training.report.measures import MOST_PHOTOS, HeldOut, evenly
from stair_search.training.report.runs import finished, measure_runs, write_report
from tests.models import tiny

from .made import HOSTILE

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def held_out(package_photos: list[Path]) -> HeldOut:
    words = ("dog", "cat", "car", HOSTILE)
    captions = [f"{word} on the beach" for word in words for _ in range(6)]
    return evenly(Pairs(package_photos[:12], captions, [i // 2 for i in range(24)]), "val")


def make_run(
    folder: Path, kind: str, names: list[str], trains: tuple[str, ...] = ("image", "text")
) -> Path:
    for name in names:
        stage = folder / "stages" / name
        stage.mkdir(parents=True)
        save_pretrained(tiny.model(kind), stage / "model")
        about = {"name": name, "kind": kind, "steps": 20, "seconds": 1.5, "finished": True}
        (stage / "stage.json").write_text(json.dumps(about))
        entries: list[dict[str, Any]] = [
            {"step": 10, "terms": {"contrastive": 2.0}, "lambda": {"image": 1e-4, "text": 1e-4}},
            {"step": 20, "validation": {"text_to_image": {"R@1": 10.0}}, "warnings": ["collapsed"]},
            {"step": 20, "terms": {"contrastive": 1.0}, "lambda": {"image": 1e-3, "text": 2e-3}},
        ]
        lines = [json.dumps(entry) for entry in entries]
        (stage / "log.jsonl").write_text("\n".join(lines) + "\n")
    stage_of = {
        "name": "of_a_run",
        "steps": 20,
        "rate": 0.1,
        "trains": list(trains),
        "freezes": ["text"],
        "losses": {"taught": 0.0},
    }
    stages = [stage_of | {"own_only": "masked" in name} for name in names]
    stages += [stages[-1]] * 9  # "10-joint"
    recipe = {"model": {"kind": kind}, "stages": stages, "batch": 8}
    about = {"name": "tiny", "recipe": recipe, "seed": 7, "device": "cpu"}
    (folder / "run.json").write_text(json.dumps(about))
    return folder


def test_a_run_is_reported_stage_by_stage(tmp_path: Path, held_out: HeldOut) -> None:
    run = make_run(tmp_path / "run", "stair", ["1-masked", "2-frozen", "10-joint"])
    report = write_report(run, held_out, decode)
    assert [stage.name for stage in report.stages] == [
        "run 1-masked",
        "run 2-frozen",
        "run 10-joint",
    ]
    stage = report.stages[0]
    assert stage.terms == {"contrastive": [(10.0, 2.0), (20.0, 1.0)]}  # the later one counts
    assert stage.validation == {"text to image R@1": [(20.0, 10.0)]}
    assert stage.penalty == {"image": 1e-3, "text": 2e-3}
    assert report.warnings[0] == "run 1-masked: collapsed"
    assert stage.settings == {
        "batch": "8",
        "rate": "0.1",
        "trains": "image",
        "captions": "own tokens only",
    }
    assert ("seed", "7") in report.facts
    assert json.loads((run / "report.json").read_text())["stages"][2]["measures"]["photos"] == 12
    html = (run / "report.html").read_text("utf-8")
    assert html.count('src="data:image/jpeg;base64,') == 10
    assert "<script" not in html and "&lt;script&gt;" in html


def test_figures_are_those_of_the_engine(tmp_path: Path, held_out: HeldOut) -> None:
    """Ranked by cosine here, by the embedded engine there; ties fall against the model here."""
    run = make_run(tmp_path / "run", "stair", ["1-joint"])
    ((stage,), photos) = measure_runs({"STAIR": run}, held_out, decode, lambda text: None)
    encoder = load_encoder(str(run / "stages" / "1-joint" / "model"))
    encoded = encode_photos(encoder, held_out.pairs.photos, decode)
    engine = measure_by_engine(encoder, held_out.pairs, encoded)
    assert stage.measures is not None and stage.measures.sparsity is not None
    mine = stage.measures.image_to_text
    assert (mine.at_1.value, mine.at_5.value) <= (*engine.image_to_text[:2],)
    assert mine.at_1.low <= mine.at_1.value <= mine.at_1.high
    active = stage.measures.sparsity.image
    assert sum(active) / len(active) == pytest.approx(engine.image_tokens)
    assert stage.measures.sparsity.outputs == len(tiny.TOKENS)
    assert photos[0].tokens["STAIR"] == encoder.vocabulary.to_dict(encoded[0])
    assert photos[0].captions == held_out.pairs.captions[:2]


@pytest.mark.parametrize("kind", ["stair", "clip", "stair-image"])
def test_frozen_towers_see_held_out_photos_once(
    tmp_path: Path, held_out: HeldOut, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads = ("image_head", "text_head", "temperature")
    pairs = held_out.pairs._replace(captions=["\u96fb", "", *held_out.pairs.captions[2:]])
    held_out = held_out._replace(pairs=pairs)
    trained = make_run(tmp_path / "trained", kind, ["1-one"])
    frozen = make_run(tmp_path / "frozen", kind, ["1-one", "2-two"], heads)
    anew, _ = measure_runs({"": trained}, held_out, decode, print, tmp_path / "cache")
    assert not any((tmp_path / "cache").glob("image-*.npy"))
    seen: list[int] = []
    forward = ImageTower.forward

    def counted(tower: ImageTower, pixels: Any) -> Any:
        seen.append(len(pixels))
        return forward(tower, pixels)

    monkeypatch.setattr(ImageTower, "forward", counted)
    kept, _ = measure_runs({"": frozen}, held_out, decode, print, tmp_path / "cache")
    assert sum(seen) == len(pairs.photos)
    for stage in kept:
        found, wanted = stage.measures, anew[0].measures
        assert found is not None and wanted is not None
        assert found.text_to_image == wanted.text_to_image
        if wanted.sparsity is not None and found.sparsity is not None:
            assert found.sparsity.text[:2] == [0, 0]
            assert found.sparsity.text == wanted.sparsity.text
            # states are kept in float16: a weight of next to nothing may be none
            off = np.subtract(found.sparsity.image, wanted.sparsity.image)
            assert np.abs(off).max() <= 1


def test_captions_are_masked_where_they_were_in_training(tmp_path: Path, held_out: HeldOut) -> None:
    run = make_run(tmp_path / "run", "stair", ["1-masked", "2-joint"])
    stages, _ = measure_runs({"STAIR": run}, held_out, decode, lambda text: None)
    masked, free = (stage.measures.sparsity for stage in stages if stage.measures)
    assert masked is not None and free is not None
    assert max(masked.text) <= 5 and min(free.text) > 5  # "dog on the beach" has four
    assert masked.image == free.image


def test_a_dense_baseline_stands_beside(tmp_path: Path, held_out: HeldOut) -> None:
    stair = make_run(tmp_path / "stair", "stair", ["1-masked"])
    clip = make_run(tmp_path / "clip", "clip", ["1-joint"])
    stages, photos = measure_runs(
        {"STAIR": stair, "CLIP": clip}, held_out, decode, lambda text: None
    )
    assert [(stage.name, stage.dense) for stage in stages] == [("STAIR", False), ("CLIP", True)]
    assert stages[1].measures is not None and stages[1].measures.sparsity is None
    assert stages[1].measures.words is not None
    assert list(photos[0].tokens) == ["STAIR"]
    assert load_any_encoder(str(clip / "stages" / "1-joint" / "model")).name == "tiny"


def test_without_held_out_photos_there_are_curves_alone(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "stair", ["1-masked"])
    report = write_report(run, None, decode)
    assert report.stages[0].measures is None and report.photos == []
    assert report.notes == [
        "Nothing was measured: the pairs have no photos that were held out of training."
    ]
    assert "contrastive" in (run / "report.html").read_text("utf-8")


def test_a_run_without_a_finished_stage_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no finished stage"):
        finished(tmp_path)


def test_of_many_photos_some_are_measured_evenly() -> None:
    pairs = Pairs(
        [Path(str(i)) for i in range(5000)], ["a"] * 10000, [i // 2 for i in range(10000)]
    )
    found = evenly(pairs, "test")
    assert len(found.pairs.photos) == MOST_PHOTOS and found.of == 5000
    assert found.pairs.photos[0] == Path("0") and found.pairs.photos[-1] == Path("4999")
    assert found.pairs.owner == [i // 2 for i in range(2 * MOST_PHOTOS)]


def test_a_name_in_odd_bytes_can_be_told(tmp_path: Path, package_photos: list[Path]) -> None:
    odd = tmp_path / "caf\udce9.jpg"
    odd.write_bytes(package_photos[0].read_bytes())
    run = make_run(tmp_path / "run", "stair", ["1-masked"])
    write_report(run, evenly(Pairs([odd], ["a dog"], [0]), "val"), decode)
    assert "caf\\udce9.jpg" in (run / "report.html").read_text("utf-8")
    told = json.loads((run / "report.json").read_text("utf-8"))
    assert told["photos"][0]["name"] == odd.name


def test_a_report_that_cannot_be_written_says_what_is_whole(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "stair", ["1-masked"])
    (run / "report.html").mkdir()
    with pytest.raises(TrainingError, match=r"report\.html cannot be written: .*models are whole"):
        write_report(run, None, decode)
    assert not list(run.glob(".report*"))
