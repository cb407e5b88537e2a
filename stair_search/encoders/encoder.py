"""What an encoder can do, whatever it runs on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stair_search.pixels import View, prepare_image
from stair_search.tokens import TokenWeights
from stair_search.vocabulary import Vocabulary

from .device import Memory

if TYPE_CHECKING:
    from PIL.Image import Image


class _Any(ABC):
    """What both kinds have.

    fingerprint: of the model that an index is written with, the same for each of its text encoders.
    text_encoder: "static" or "neural", how texts are encoded. image_size: pixels a side that the
    tower sees.
    """

    def __init__(self, name: str, fingerprint: str, text_encoder: str, view: View) -> None:
        self.name = name
        self.fingerprint = fingerprint
        self.text_encoder = text_encoder
        self.image_size = view.size
        self._view = view

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.fingerprint}>"

    @property
    @abstractmethod
    def vocabulary(self) -> Vocabulary: ...

    @property
    @abstractmethod
    def device(self) -> str:
        """Where photos are encoded: "cpu" or "cuda:N"."""

    @property
    @abstractmethod
    def precision(self) -> str:
        """In which photos are encoded: "fp32", "bf16" or "fp16".

        Not part of the fingerprint: an index may hold tokens of several (see docs/ingest.md).
        """

    @abstractmethod
    def memory(self) -> Memory | None:
        """Of the GPU; None on the CPU, and where the runtime does not tell."""

    def prepare_image(self, image: Image) -> NDArray[np.uint8]:
        """An upright RGB photo as the model wants it, uint8 [S, S, 3]; needs no session."""
        return prepare_image(image, self._view)

    def _check(self, batch: NDArray[np.uint8]) -> None:
        size = self.image_size
        if batch.dtype != np.uint8 or batch.shape[1:] != (size, size, 3):
            raise ValueError(
                f"expected uint8 [n, {size}, {size}, 3], not {batch.dtype} {list(batch.shape)}"
            )


class Encoder(_Any):
    """Photos and texts to tokens of one vocabulary; their inner product says how well two fit.

    All that comes out has Euclidean length 1. Can be pickled: only the model's place travels.
    """

    def encode_text(self, text: str) -> TokenWeights:
        """A question's tokens; none where it has no word that the model knows.

        >>> from stair_search.encoders import load_encoder
        >>> tokens = load_encoder().encode_text("a dog on the beach")
        >>> list(load_encoder().vocabulary.to_dict(tokens))[:2]
        ['beach', 'dog']
        """
        return self.encode_texts([text])[0]

    @abstractmethod
    def encode_texts(self, texts: Sequence[str], prompted: bool = True) -> list[TokenWeights]:
        """Captions or questions. prompted: with the model's prompt, if it has one, before each;
        False for a text that is no caption: what a template makes would have it twice. A table
        has no prompt, or has it in its rows: there False changes nothing.
        """

    def encode_images(self, batch: NDArray[np.uint8]) -> list[TokenWeights]:
        """uint8 [n, S, S, 3] as `prepare_image` gives them; raises ValueError for another shape."""
        self._check(batch)
        return self._encode_images(batch) if len(batch) else []

    @abstractmethod
    def _encode_images(self, batch: NDArray[np.uint8]) -> list[TokenWeights]: ...


class DenseEncoder(_Any):
    """Photos and texts to vectors float32 [n, dimensions] at length 1, as CLIP gives them.

    For comparison only: what an index holds is tokens.
    """

    dimensions: int

    @abstractmethod
    def encode_texts(self, texts: Sequence[str], prompted: bool = True) -> NDArray[np.float32]:
        """float32 [n, dimensions]; prompted: see `Encoder.encode_texts`."""

    def encode_images(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 [n, S, S, 3] as `prepare_image` gives them; raises ValueError for another shape."""
        self._check(batch)
        if not len(batch):
            return np.zeros((0, self.dimensions), np.float32)
        return self._encode_images(batch)

    @abstractmethod
    def _encode_images(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]: ...
