"""A quick, small encoder: the colours of a photo as words. It can count and take its time."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stair_search.tokens import TokenWeights
from stair_search.vocabulary import Vocabulary

WORDS = [f"{colour}{n}" for colour in ("red", "green", "blue") for n in range(8)] + ["...", "##."]


@dataclass
class ColourEncoder:
    """name also tells the version. log: a file that gets a byte for each encoded photo.

    seconds: how long each photo takes.
    """

    name: str = "colours-1"
    log: Path | None = None
    seconds: float = 0.0
    image_size: int = 16

    device = "cpu"
    precision = "fp32"

    def memory(self) -> None:
        return None

    @property
    def fingerprint(self) -> str:
        return f"{self.name}-abc"

    @property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(WORDS)

    def prepare_image(self, image: Image.Image) -> NDArray[np.uint8]:
        assert image.mode == "RGB", image.mode
        return np.asarray(image.resize((self.image_size, self.image_size)))

    def encode_images(self, pixels: NDArray[np.uint8]) -> list[TokenWeights]:
        assert pixels.dtype == np.uint8
        assert pixels.shape[1:] == (self.image_size, self.image_size, 3)
        time.sleep(self.seconds * len(pixels))
        if self.log:
            with self.log.open("ab") as file:
                file.write(b"." * len(pixels))
                os.fsync(file.fileno())
        return [self._tokens(photo) for photo in pixels]

    def encoded(self) -> int:
        """Photos encoded since the log was begun."""
        return self.log.stat().st_size if self.log and self.log.exists() else 0

    def _tokens(self, photo: NDArray[np.uint8]) -> TokenWeights:
        shares = [
            np.bincount(photo[..., channel].ravel() // 32, minlength=8) / photo[..., channel].size
            for channel in range(3)
        ]
        return TokenWeights.from_dense(np.concatenate([*shares, [0.5, 0.25]]))
