"""What ingest needs of an encoder; `stair_search.encoders.load_encoder` gives one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from stair_search.encoders.device import Memory, Precision
from stair_search.tokens import TokenWeights
from stair_search.vocabulary import Vocabulary

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = NDArray[np.uint8]
"""[S, S, 3] for a photo, [n, S, S, 3] for a batch."""


class Encoder(Protocol):
    """Photos to tokens. May be used by several threads, and pickled for other processes."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def vocabulary(self) -> Vocabulary: ...

    @property
    def image_size(self) -> int: ...

    @property
    def device(self) -> str:
        """One of "cpu" and "cuda:N"."""

    @property
    def precision(self) -> str:
        """One of "fp32", "bf16" and "fp16"."""

    def memory(self) -> Memory | None:
        """Of the GPU, as far as it is known."""

    def prepare_image(self, image: Image) -> Pixels:
        """An RGB photo of any size as the model wants it, uint8 [S, S, 3]."""

    def encode_images(self, pixels: Pixels) -> Sequence[TokenWeights]:
        """One TokenWeights for each of uint8 [n, S, S, 3]."""


def load(
    name: str, device: str = "auto", precision: Precision = "auto", compile: bool = False
) -> Encoder:
    """The encoder of this name, using one CPU a call: executors call it once for each.

    Raises ModelError where there is none, UsageError where it cannot be had so.
    """
    from stair_search.encoders import load_encoder  # brings the encoder's runtime

    return load_encoder(name, 1, device, precision=precision, compile=compile)
