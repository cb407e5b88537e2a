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
SHORT = ("stages.0.steps=40", "stages.0.warmup=4", "batch=16", "model.least=3", "views=['plain']")


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


def test_train_export_load_search(tmp_path: Path, package_photos: list[Path]) -> None:
    from stair_search.training.data import read_data
    from stair_search.training.starter.pairs import write_pairs
    from stair_search.training.starter.pipeline import export, run_all

    make_data(tmp_path / "things", package_photos, 12)
    data = read_data(write_pairs(tmp_path, tmp_path / "pairs.csv", ["things"]), tmp_path)
    trained = run_all(data, tmp_path / "runs", tmp_path / "cache", SHORT)
    export(trained, data, tmp_path / "model", tmp_path / "cache")

    assert data.validation is not None
    photos = data.validation.photos
    both = {text: load_encoder(str(tmp_path / "model"), text=text) for text in ("static", "neural")}
    seen = [both["static"].prepare_image(Image.open(path)) for path in photos]
    found = both["static"].encode_images(np.stack(seen))
    for encoder in both.values():
        assert encoder.fingerprint.startswith("starter-v1-")
        for photo, tokens in zip(photos, found, strict=True):
            thing = photo.name.partition("-")[0]
            scores = {other: encoder.encode_text(other).dot(tokens) for other in THINGS.values()}
            assert max(scores, key=lambda other: scores[other]) == thing, scores

    # "zebra" is on none of these photos; the tower's classifier knows it
    zebra = both["static"].encode_text("zebra")
    assert both["static"].vocabulary.tokens[zebra.ids[zebra.weights.argmax()]] == "zebra"
    # stop words and punctuation say nothing
    assert len(both["static"].encode_text("of the, with a")) == 0


def test_photos_carry_names_of_classes_beside_the_heads_tokens(tmp_path: Path) -> None:
    import onnxruntime
    import torch

    from stair_search.training.export.graphs import MoreTokens, image_graph
    from tests.models.tiny import model

    made = model(outputs=[9, 5, 12])
    hidden, added = made.image_tower.hidden, np.array([7, 10])
    more = MoreTokens(added, np.ones((hidden, 2), np.float32), np.array([0, -100], np.float32))
    size = made.config.image.size
    pixels = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    session = onnxruntime.InferenceSession(
        image_graph(made, more).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    weights, ids = session.run(None, {"pixels": pixels})
    assert ids.tolist() == [5, 7, 9, 10, 12]
    with torch.no_grad():
        states = made.image_states(made.normalise(torch.from_numpy(pixels)))
        expected = torch.log1p(torch.relu(states.hidden[:, 0].sum(1))).numpy()
        head = made.encode_image(states).numpy()
    np.testing.assert_allclose(weights[:, 1], expected, atol=1e-5)
    assert (weights[:, 3] == 0).all() and expected.any()
    np.testing.assert_allclose(weights[:, [2, 0, 4]], head, atol=1e-5)
