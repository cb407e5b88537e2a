from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stair_search.encoders import Encoder, load_encoder
from stair_search.tokens import TokenWeights

from .dense import TinyDense


@pytest.fixture(scope="session")
def starter() -> Encoder:
    return load_encoder(threads=1)


@pytest.fixture(scope="session")
def tiny_dense(starter: Encoder) -> TinyDense:
    return TinyDense(starter.vocabulary)


def decode(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data)).convert("RGB")


@pytest.fixture
def photos_at(tmp_path: Path) -> Callable[..., Path]:
    """Writes small real JPEGs of one colour at these places of a folder."""

    def write(*names: str) -> Path:
        folder = tmp_path / "photos"
        folder.mkdir(exist_ok=True)
        for number, name in enumerate(names):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (number * 37 % 256, number * 91 % 256, 60)).save(path)
        return folder

    return write


def sparse_rows(chance: np.random.Generator, n: int, v: int, values: int = 4) -> list[TokenWeights]:
    """n TokenWeights of a few values each, so that scores tie; some are empty."""
    rows = chance.integers(-values, values, size=(n, v)).clip(0)
    return [TokenWeights.from_dense(row.astype(np.float32)) for row in rows]
