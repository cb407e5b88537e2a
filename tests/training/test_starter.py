"""A whole training run on photos of one colour each: train, export, load, search."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stair_search.encoders import load_encoder

pytestmark = pytest.mark.train

COLOURS = {"red": (220, 30, 30), "green": (20, 160, 40), "blue": (30, 40, 200), "white": (245,) * 3}
PLACES = ("a {} wall", "paint in {} on the ground", "the {} door of a house")


def make_data(folder: Path, photos: int) -> None:
    chance = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    rows = ["image,caption,split"]
    for i in range(photos):
        name = list(COLOURS)[i % len(COLOURS)]
        colour = np.clip(np.array(COLOURS[name]) + chance.integers(-15, 15, 3), 0, 255)
        noise = chance.integers(-9, 9, (64, 64, 3))
        pixels = np.clip(colour + noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{i}.png")
        split = "val" if i >= photos - 8 else "train"
        rows += [f"{i}.png,{place.format(name)},{split}" for place in PLACES]
    (folder / "captions.csv").write_text("\n".join(rows) + "\n")


def test_train_export_load_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stair_search.training import sentences, starter
    from stair_search.training.captions import join, read_captioned

    # vectors of all 30,522 tokens take a minute: here those of the captions' words will do
    vectors = sentences.sentence_vectors
    monkeypatch.setattr(
        starter,
        "sentence_vectors",
        lambda texts, cache: (
            vectors(texts, cache)
            if len(texts) < 1000
            else np.random.default_rng(0).normal(size=(len(texts), 384)).astype(np.float32)
        ),
    )
    make_data(tmp_path / "walls", 40)
    data = [read_captioned(tmp_path / "walls", split) for split in ("train", "val")]
    trained = starter.train(join([data[0]]), data[1], tmp_path / "cache", least=3, epochs=30)
    starter.export(trained, tmp_path / "model")

    encoder = load_encoder(str(tmp_path / "model"))
    assert encoder.fingerprint.startswith("starter-v0-")
    for name, colour in COLOURS.items():
        asked = encoder.encode_text(f"a wall that is {name}")
        scores = {}
        for other in COLOURS:
            photo = Image.new("RGB", (50, 80), COLOURS[other])
            (tokens,) = encoder.encode_images(encoder.prepare_image(photo)[None])
            scores[other] = asked.dot(tokens)
        assert max(scores, key=lambda other: scores[other]) == name, (colour, scores)


def test_features_are_computed_once(tmp_path: Path) -> None:
    from stair_search.training.captions import read_captioned
    from stair_search.training.features import photo_features

    make_data(tmp_path / "walls", 12)
    photos = read_captioned(tmp_path / "walls", "val").photos
    first = photo_features(photos, "plain", tmp_path / "cache")
    assert first.shape == (8, 1280)
    (kept,) = (tmp_path / "cache").iterdir()
    written = kept.stat().st_mtime_ns
    again = photo_features(photos, "plain", tmp_path / "cache")
    assert kept.stat().st_mtime_ns == written
    assert np.abs(first - again).max() < 0.01
    photo_features(photos, "flip", tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 2
