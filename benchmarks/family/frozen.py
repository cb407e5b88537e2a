"""A trained model as the evaluation wants it, on kept states of its frozen towers.

Twenty models that share their towers look at the same thousands of photos: the towers need to see
them once. Answers are those of `load_any_encoder`, but for the states' float16.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from stair_search.encoders.torch_model import load_torch
from stair_search.evaluation.protocols import Encoded
from stair_search.ingest.decode import decode
from stair_search.training.report.vectors import photo_vectors, text_vectors
from stair_search.vocabulary import Vocabulary

log = logging.getLogger(__name__)


class FrozenEncoder:
    """model: a folder of `save_pretrained`. cache: where states of towers are kept. own_only: texts
    are masked to their own tokens, as the model was trained (stage 1, Eq. 8). most: of a photo's
    and of a text's tokens, the strongest; all unless given.
    """

    def __init__(
        self, model: Path, cache: Path, own_only: bool = False, most: tuple[int, int] | None = None
    ) -> None:
        self._encoder = load_torch(str(model), None, "cpu", None)
        self._cache, self._own_only = cache, own_only
        self._most = most
        self.fingerprint = self._encoder.fingerprint
        self.text_encoder = self._encoder.text_encoder

    @cached_property
    def vocabulary(self) -> Vocabulary:
        return self._encoder.vocabulary

    def encode_photos(self, photos: Sequence[Path]) -> Encoded:
        found = photo_vectors(self._encoder, photos, decode, self._cache, log.debug)
        return _pruned(found, self._most and self._most[0])

    def encode_texts(self, texts: Sequence[str], prompted: bool = True) -> Any:
        found = text_vectors(self._encoder, texts, self._cache, log.debug, self._own_only, prompted)
        return _pruned(found, self._most and self._most[1])


def _pruned(found: Encoded, most: int | None) -> Encoded:
    if most is None or isinstance(found, np.ndarray):
        return found
    return [tokens.prune(top_k=most) for tokens in found]
