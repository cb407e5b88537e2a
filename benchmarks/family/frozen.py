"""A trained model as the evaluation wants it, on kept states of its frozen towers.

Twenty models that share their towers look at the same thousands of photos: the towers need to see
them once. Answers are those of `load_encoder`, but for the states' float16.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stair_search.evaluation.protocols import Encoded
from stair_search.ingest.decode import decode
from stair_search.models.dual_encoder import DualEncoder
from stair_search.models.files import fingerprint, from_pretrained
from stair_search.models.states import States
from stair_search.tokens import TokenWeights
from stair_search.training.features import image_states, pad, text_states
from stair_search.vocabulary import Vocabulary

BATCH = 64


class FrozenEncoder:
    """model: a folder of `save_pretrained`. cache: where states of towers are kept."""

    def __init__(self, model: Path, cache: Path) -> None:
        self._model: DualEncoder = from_pretrained(str(model)).eval()
        self._cache = cache
        self.fingerprint = fingerprint(model)
        self.text_encoder = "static" if self._model.text_tower is None else "neural"

    @cached_property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(self._model.tokens)

    def prepare_image(self, image: Any) -> NDArray[np.uint8]:
        return self._model.prepare_image(image)

    def encode_images(self, batch: NDArray[np.uint8]) -> Any:
        with torch.inference_mode():
            pixels = self._model.normalise(torch.from_numpy(batch))
            found = self._model.encode_image(self._model.image_states(pixels))
        return self._encoded([found])

    def encode_photos(self, photos: Sequence[Path]) -> Encoded:
        hidden = image_states(
            self._model,
            photos,
            "plain",
            self._cache,
            lambda path: decode(path.read_bytes()),
        )
        found = []
        with torch.inference_mode():
            for at in range(0, len(photos), BATCH):
                part = torch.from_numpy(hidden[at : at + BATCH].astype(np.float32))
                there = torch.ones(part.shape[:2], dtype=torch.bool)
                found.append(self._model.encode_image(States(part, there)))
        return self._encoded(found)

    def encode_texts(self, texts: Sequence[str]) -> Any:
        ids, mask = self._model.tokenise(texts)
        rows = [row[there].numpy() for row, there in zip(ids, mask, strict=True)]
        kept = text_states(self._model, rows, self._cache) if self._model.text_tower else None
        found = []
        with torch.inference_mode():
            for at in range(0, len(rows), BATCH):
                part, there = pad(rows[at : at + BATCH])
                states = None
                if kept is not None:
                    hidden = torch.zeros(*part.shape, kept.hidden.shape[1])
                    first, last = kept.offsets[at], kept.offsets[min(at + BATCH, len(rows))]
                    hidden[there] = torch.from_numpy(kept.hidden[first:last].astype(np.float32))
                    states = States(hidden, there)
                found.append(self._model.encode_text(states, part, there))
        return self._encoded(found)

    def _encoded(self, found: Sequence[Any]) -> Encoded:
        rows = torch.cat(list(found)).float().numpy()
        if self._model.outputs is None:
            unit: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
            return unit
        ids = self._model.outputs.numpy()
        return [TokenWeights(ids[row > 0], row[row > 0]).unit() for row in rows]
