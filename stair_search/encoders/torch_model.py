"""The encoder of a torch folder, on the CPU or a GPU.

This module is imported when such a folder is opened, and torch with it. A batch stays on the
device: only the strongest tokens are copied back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from stair_search.errors import ModelError
from stair_search.models.config import ModelConfig
from stair_search.models.dual_encoder import DualEncoder
from stair_search.models.files import fingerprint, from_pretrained
from stair_search.tokens import TokenWeights
from stair_search.vocabulary import Vocabulary

from .encoder import DenseEncoder, Encoder
from .light import chosen_text
from .wordpiece import WordPiece

BATCH = 64
"""Photos or texts that are on the device at once."""


def load_torch(
    name: str, threads: int | None, device: str | None, text: str | None
) -> TorchEncoder | TorchDenseEncoder:
    """Raises ModelError: no such device, no such text encoder, no fit folder."""
    place = chosen_device(device)
    if threads is not None:
        torch.set_num_threads(threads)
    model = from_pretrained(name, device=place).eval()
    given = (name, threads, device, text)
    if model.config.kind == "clip":
        return TorchDenseEncoder(model, place, fingerprint(name), given)
    return TorchEncoder(model, place, fingerprint(name), given)


def chosen_device(device: str | None) -> str:
    """For "auto" and None the first GPU, or the CPU where there is none.

    Raises ModelError for a device that is not there.
    """
    if device in (None, "auto"):
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = str(device).partition(":")
    there = ["cpu", *(f"cuda:{n}" for n in range(torch.cuda.device_count()))]
    if device == "cpu" or (kind == "cuda" and f"cuda:{number or 0}" in there):
        return str(device)
    raise ModelError(f"device {device!r} is not there: this machine has {', '.join(there)}")


class _Model:
    """A DualEncoder on its device, fed in batches."""

    def __init__(self, model: DualEncoder, device: str) -> None:
        self.model = model
        self.device = device

    def images(self, batch: NDArray[np.uint8]) -> Iterator[Any]:
        """uint8 [n, S, S, 3] to weights or vectors [b, o|d], a batch at a time, on the device."""
        for at in range(0, len(batch), BATCH):
            with torch.inference_mode():
                pixels = torch.tensor(batch[at : at + BATCH], device=self.device)
                states = self.model.image_states(self.model.normalise(pixels))
                found = self.model.encode_image(states)
            yield found

    def texts(self, texts: Sequence[str], prompted: bool) -> Iterator[tuple[list[int], Any]]:
        """Places of texts, and their weights or vectors [b, o|d], on the device."""
        prompt = None if prompted else ""
        # texts of one length side by side: less padding
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        for at in range(0, len(order), BATCH):
            part = order[at : at + BATCH]
            with torch.inference_mode():
                ids, mask = self.model.tokenise([texts[place] for place in part], prompt)
                ids, mask = ids.to(self.device), mask.to(self.device)
                found = self.model.encode_text(self.model.text_states(ids, mask), ids, mask)
            yield part, found


Given = tuple[str, int | None, str | None, str | None]
"""The arguments of `load_torch`: what travels by pickle."""


class _OfTorch:
    """What both kinds have, whatever their model gives; stands before the kind's own base."""

    _given: Given
    _model: _Model

    def __reduce__(self) -> tuple[Any, ...]:
        return (load_torch, self._given)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(self._model.model.tokens)

    @property
    def states(self) -> tuple[DualEncoder, str]:
        """The model and its device, for who has the towers' states already; see `finished`."""
        return self._model.model, self._model.device


class TorchEncoder(_OfTorch, Encoder):
    """A model of kind stair (its text encoder is the neural one) or stair-image (a static one)."""

    def __init__(self, model: DualEncoder, device: str, fingerprint: str, given: Given) -> None:
        config: ModelConfig = model.config
        there = "static" if config.text.tower is None else "neural"
        kind = chosen_text(config.name, [there], there, given[-1])
        super().__init__(config.name, fingerprint, kind, config.image.view)
        self._given = given
        self._model = _Model(model, device)
        self._ids: NDArray[np.int64] = model.outputs.cpu().numpy()

    @cached_property
    def _words(self) -> WordPiece:
        return WordPiece.of(self.vocabulary.tokens)

    def encode_texts(self, texts: Sequence[str], prompted: bool = True) -> list[TokenWeights]:
        found = [TokenWeights.empty()] * len(texts)
        known = [place for place, text in enumerate(texts) if self.knows(text)]
        for part, weights in self._model.texts([texts[place] for place in known], prompted):
            for place, tokens in zip(part, self._strongest(weights), strict=True):
                found[known[place]] = tokens
        return found

    def knows(self, text: str) -> bool:
        """Whether a text has a known word: a network has an answer to everything."""
        return bool(self._words.encode(text))

    def finished(self, weights: Any) -> list[TokenWeights]:
        """Weights [n, o] of the model's heads, as this encoder returns them."""
        return list(self._strongest(weights))

    def _encode_images(self, batch: NDArray[np.uint8]) -> list[TokenWeights]:
        return [
            tokens for weights in self._model.images(batch) for tokens in self._strongest(weights)
        ]

    def _strongest(self, weights: Any) -> Iterator[TokenWeights]:
        """Weights [b, o], which the model's head has pruned, to tokens at length 1."""
        most = int((weights > 0).sum(1).max())
        top = weights.float().topk(most, dim=1)
        for row, columns in zip(top.values.cpu().numpy(), top.indices.cpu().numpy(), strict=True):
            active = row >= np.finfo(np.float32).tiny
            ids = self._ids[columns[active]]
            order = np.argsort(ids)
            yield TokenWeights(ids[order], row[active][order]).unit()


class TorchDenseEncoder(_OfTorch, DenseEncoder):
    """A model of kind clip."""

    def __init__(self, model: DualEncoder, device: str, fingerprint: str, given: Given) -> None:
        config: ModelConfig = model.config
        kind = chosen_text(config.name, ["neural"], "neural", given[-1])
        super().__init__(config.name, fingerprint, kind, config.image.view)
        self.dimensions = config.image.head.dimensions
        self._given = given
        self._model = _Model(model, device)

    def knows(self, text: str) -> bool:
        """Every text has a vector."""
        return True

    def finished(self, vectors: Any) -> NDArray[np.float32]:
        """Vectors [n, d] of the model's heads, as this encoder returns them."""
        return _unit(vectors)

    def encode_texts(self, texts: Sequence[str], prompted: bool = True) -> NDArray[np.float32]:
        found = np.zeros((len(texts), self.dimensions), np.float32)
        for part, vectors in self._model.texts(texts, prompted):
            found[part] = _unit(vectors)
        return found

    def _encode_images(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.concatenate([_unit(vectors) for vectors in self._model.images(batch)])


def _unit(vectors: Any) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = functional.normalize(vectors.float(), dim=1).cpu().numpy()
    return unit
