"""Texts without a text encoder: a caption is the mask of its own tokens (STAIR, section 7.1).

Every token of the text has weight 1, at Euclidean length 1; the photo side stays as it is. Nothing
is left out, stop words neither: the photo's weights alone decide which of them count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stair_search.encoders.wordpiece import WordPiece
from stair_search.tokens import TokenWeights
from stair_search.vocabulary import Vocabulary

from .protocols import SparseEncoder


class MaskText:
    """A sparse encoder whose texts are their own tokens.

    >>> from stair_search import load_encoder
    >>> MaskText(load_encoder()).encode_texts(["dog dog"])[0].weights
    array([1.], dtype=float32)
    """

    text_encoder = "mask"

    def __init__(self, encoder: SparseEncoder) -> None:
        self._encoder = encoder
        self._cut = WordPiece.of(encoder.vocabulary.tokens)

    @property
    def fingerprint(self) -> str:
        return self._encoder.fingerprint

    @property
    def vocabulary(self) -> Vocabulary:
        return self._encoder.vocabulary

    def prepare_image(self, image: Any) -> NDArray[np.uint8]:
        return self._encoder.prepare_image(image)

    def encode_images(self, batch: NDArray[np.uint8]) -> Sequence[TokenWeights]:
        return self._encoder.encode_images(batch)

    def encode_texts(self, texts: Sequence[str], prompted: bool = True) -> list[TokenWeights]:
        """A mask has no prompt: prompted changes nothing."""
        found = [sorted(set(self._cut.encode(text))) for text in texts]
        return [TokenWeights(ids, np.ones(len(ids), np.float32)).unit() for ids in found]
