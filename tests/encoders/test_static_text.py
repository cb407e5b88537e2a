"""The table of a question's words, read back from its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stair_search.encoders.static_text import StaticText
from stair_search.encoders.wordpiece import WordPiece

WORDS = WordPiece({"red": 0, "dog": 1, "fox": 2, "of": 3})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """red: red 1, fox 0.5; dog: dog 2, fox -0.5."""
    path = tmp_path / "text.npz"
    np.savez(
        path,
        allow_pickle=False,
        starts=np.array([0, 2, 4, 4, 4], np.int32),
        ids=np.array([0, 2, 1, 2], np.uint16),
        weights=np.array([1, 0.5, 2, -0.5], np.float16),
    )
    return path


def test_rows_are_summed_pruned_and_brought_to_length_1(file: Path) -> None:
    text = StaticText.from_file(file, WORDS, top_k=2, ratio=0.3)
    red = text.encode("red")
    assert red.ids.tolist() == [0, 2]
    assert red.weights == pytest.approx(np.array([1, 0.5]) / np.sqrt(1.25))
    assert text.encode("red dog").ids.tolist() == [0, 1]
    # 0.5 - 0.5: what cancels is no token
    assert text.encode("red dog of").ids.tolist() == [0, 1]
    assert len(text.encode("of")) == 0


def test_a_trace_beside_the_strongest_is_no_token(file: Path) -> None:
    assert StaticText.from_file(file, WORDS, 2, ratio=0.6).encode("red").ids.tolist() == [0]
