"""A dense encoder that is real and tiny: colours of a grid, hashed words, seeded projections."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stair_search.vocabulary import Vocabulary


class TinyDense:
    """Photos and texts to float32 [n, 16]; the same input always gives the same vector."""

    fingerprint = "tiny-dense-1"
    text_encoder = "neural"

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._project = np.random.default_rng(5).normal(size=(48, 16)).astype(np.float32)

    def prepare_image(self, image: Any) -> NDArray[np.uint8]:
        return np.asarray(image.resize((4, 4)))

    def encode_images(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        values = batch.reshape(len(batch), -1).astype(np.float32) / 255 - 0.5
        return (values @ self._project).astype(np.float32)

    def encode_texts(self, texts: Sequence[str], prompted: bool = True) -> NDArray[np.float32]:
        return np.stack([self._text(text) for text in texts])

    @staticmethod
    def _text(text: str) -> NDArray[np.float32]:
        words = text.lower().split() or [""]
        seeds = [int(hashlib.sha256(word.encode()).hexdigest()[:8], 16) for word in words]
        each = [np.random.default_rng(seed).normal(size=16) for seed in seeds]
        return np.asarray(np.sum(each, axis=0), np.float32)
