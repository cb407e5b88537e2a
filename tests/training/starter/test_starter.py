"""A whole training run on parts of five photos: train, export, load, tell them apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stair_search.encoders import load_encoder

pytestmark = pytest.mark.train

THINGS = {
    "chelsea": "cat",
    "coffee": "coffee",
    "rocket": "rocket",
    "motorcycle_left": "motorcycle",
    "flower": "flower",
}
SAID = ("a photo of a {}", "there is a {} here", "{} seen from near")


def make_data(folder: Path, photos: list[Path], parts: int) -> None:
    """Random parts of five photos as a data folder; one part of each photo in split val."""
    chance = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    rows = ["image,caption,split"]
    for photo in photos:
        thing = THINGS.get(photo.stem.partition("-")[2])
        if thing is None:
            continue
        whole = Image.open(photo).convert("RGB").resize((200, 200))
        for part in range(parts):
            left, top = chance.integers(0, 60, 2).tolist()
            name = f"{thing}-{part}.png"
            whole.crop((left, top, left + 140, top + 140)).save(folder / "images" / name)
            split = "train" if part else "val"
            rows += [f"{name},{said.format(thing)},{split}" for said in SAID]
    (folder / "captions.csv").write_text("\n".join(rows) + "\n")


def test_train_export_load_search(
    tmp_path: Path, package_photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from stair_search.training.starter import pipeline, sentences
    from stair_search.training.starter.captions import join, read_captioned

    # vectors of all 30,522 tokens take a minute: here those of the captions' words will do
    vectors = sentences.sentence_vectors
    monkeypatch.setattr(
        pipeline,
        "sentence_vectors",
        lambda texts, cache: (
            vectors(texts, cache)
            if len(texts) < 1000
            else np.random.default_rng(0).normal(size=(len(texts), 384)).astype(np.float32)
        ),
    )
    make_data(tmp_path / "things", package_photos, 12)
    data = [read_captioned(tmp_path / "things", split) for split in ("train", "val")]
    trained = pipeline.train(join([data[0]]), data[1], tmp_path / "cache", least=3, epochs=30)
    pipeline.export(trained, tmp_path / "model")

    encoder = load_encoder(str(tmp_path / "model"))
    assert encoder.fingerprint.startswith("starter-v0-")
    seen = [encoder.prepare_image(Image.open(path)) for path in data[1].photos]
    found = encoder.encode_images(np.stack(seen))
    for photo, tokens in zip(data[1].photos, found, strict=True):
        thing = photo.name.partition("-")[0]
        scores = {other: encoder.encode_text(other).dot(tokens) for other in THINGS.values()}
        assert max(scores, key=lambda other: scores[other]) == thing, scores


def test_features_are_computed_once(tmp_path: Path, package_photos: list[Path]) -> None:
    from stair_search.training.starter.captions import read_captioned
    from stair_search.training.starter.features import photo_features

    make_data(tmp_path / "things", package_photos, 2)
    photos = read_captioned(tmp_path / "things", "val").photos
    first = photo_features(photos, "plain", tmp_path / "cache")
    assert first.shape == (5, 1280)
    (kept,) = (tmp_path / "cache").iterdir()
    written = kept.stat().st_mtime_ns
    again = photo_features(photos, "plain", tmp_path / "cache")
    assert kept.stat().st_mtime_ns == written
    assert np.abs(first - again).max() < 0.01
    photo_features(photos, "flip", tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 2
