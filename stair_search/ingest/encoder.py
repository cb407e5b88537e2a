"""What ingest needs of an encoder; `stair_search.encoders.load_encoder` gives one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

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

    def prepare_image(self, image: Image) -> Pixels:
        """An RGB photo of any size as the model wants it, uint8 [S, S, 3]."""

    def encode_images(self, pixels: Pixels) -> Sequence[TokenWeights]:
        """One TokenWeights for each of uint8 [n, S, S, 3]."""


def load(name: str) -> Encoder:
    """The encoder of this name, using one CPU a call: executors call it once for each.

    Raises ModelError where there is none.
    """
    from stair_search.encoders import load_encoder  # brings the encoder's runtime

    return load_encoder(name, threads=1)
