"""What training writes is what the encoder reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stair_search.encoders.static_text import StaticText
from stair_search.encoders.wordpiece import WordPiece

pytestmark = pytest.mark.train


def test_a_table_read_back_answers_as_it_was_written(tmp_path: Path) -> None:
    from stair_search.training.starter.export import prune_row, text_table

    pruned = prune_row(np.array([0, 1, 2, 3]), np.array([0.1, -2, 0, 1], np.float32), 2)
    assert pruned == {1: -2, 3: 1}
    table = text_table({0: {0: 1.0, 2: 0.5}, 1: {1: 2.0, 2: -0.5}}, 4)
    with (tmp_path / "text.npz").open("wb") as file:
        np.savez(file, allow_pickle=False, **table)
    text = StaticText.from_file(
        tmp_path / "text.npz",
        WordPiece({"red": 0, "dog": 1, "fox": 2, "of": 3}),
        top_k=2,
        ratio=0.3,
    )
    red = text.encode("red")
    assert red.ids.tolist() == [0, 2]
    assert red.weights == pytest.approx(np.array([1, 0.5]) / np.sqrt(1.25))
    # 0.5 - 0.5: what cancels is no token
    assert text.encode("red dog of").ids.tolist() == [0, 1]
    assert len(text.encode("of")) == 0
    assert text.encode("red dog").ids.tolist() == [0, 1]
    coarse = StaticText.from_file(
        tmp_path / "text.npz",
        WordPiece({"red": 0, "dog": 1, "fox": 2, "of": 3}),
        top_k=2,
        ratio=0.6,
    )
    assert coarse.encode("red").ids.tolist() == [0]


def test_the_tower_is_the_published_network(package_photos: list[Path]) -> None:
    import onnxruntime
    import torch

    from stair_search.training.starter.features import look, tower_model
    from stair_search.training.starter.tower import load_lite2

    photos = np.stack([look(path, "plain") for path in package_photos[:4]])
    session = onnxruntime.InferenceSession(
        tower_model().SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(["features"], {"pixels": photos})
    with torch.inference_mode():
        pixels = (torch.tensor(photos).float() - 127) / 128
        maps = load_lite2().extract_features(pixels.permute(0, 3, 1, 2))
    expected = maps.mean((2, 3)).numpy()
    # weights are stored in half precision
    assert np.abs(found - expected).max() < 0.05
    for a, b in zip(found, expected, strict=True):
        assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.9999


def test_a_mirrored_view_is_the_mirrored_photo(tmp_path: Path) -> None:
    from stair_search.training.starter.features import look

    left = Image.new("RGB", (300, 200), "black")
    left.paste("white", (0, 0, 150, 200))
    left.save(tmp_path / "left.png")
    plain, flip = (look(tmp_path / "left.png", view) for view in ("plain", "flip"))
    assert (plain[:, ::-1] == flip).all() and (plain != flip).any()
