"""The encoder of a torch folder, on the CPU or a GPU.

This module is imported when such a folder is opened, and torch with it. A batch of photos goes to
the device as uint8, and the strongest tokens alone come back: no weight of a position, and of no
other token, ever reaches the host.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from stair_search.errors import UsageError
from stair_search.models.config import ModelConfig
from stair_search.models.dual_encoder import DualEncoder
from stair_search.models.files import fingerprint, from_pretrained
from stair_search.models.image_tokens import ImageSide, strongest_tokens
from stair_search.tokens import TokenWeights
from stair_search.vocabulary import Vocabulary

from .device import PRECISIONS, Memory, absent
from .encoder import DenseEncoder, Encoder
from .feed import feeder
from .light import chosen_text
from .wordpiece import WordPiece

BATCH = 64
"""Texts that are on the device at once, and photos on the CPU."""

GPU_BATCH = 1024
"""Photos that are on a GPU at once, at most."""

TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Asked(NamedTuple):
    """The arguments of `load_torch`, as they were given: what travels by pickle.

    What "auto" means is settled where an encoder is loaded: in a process that sees a GPU, the GPU.
    """

    name: str
    threads: int | None = None
    device: str | None = None
    text: str | None = None
    precision: str = "fp32"
    compile: bool = False


def load_torch(*given: Any) -> TorchEncoder | TorchDenseEncoder:
    """given: see `Asked`. Raises ModelError (no such text encoder, no fit folder) and UsageError
    (no such device, a precision that it cannot compute in).
    """
    asked = Asked(*given)
    device = chosen_device(asked.device)
    precision = chosen_precision(asked.precision, device)
    if asked.threads is not None:
        torch.set_num_threads(asked.threads)
    model = _Model(from_pretrained(asked.name, device=device).eval(), device, precision, asked)
    kind = TorchDenseEncoder if model.config.kind == "clip" else TorchEncoder
    return kind(model, fingerprint(asked.name))


def chosen_device(device: str | None) -> str:
    """For "auto" and None the first GPU, or the CPU where there is none; else "cpu" or "cuda:N".

    Raises UsageError for a device that is not there.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    there = ["cpu", *(f"cuda:{n}" for n in range(count))]
    if device in (None, "auto"):
        return there[1] if count else "cpu"
    wanted = "cuda:0" if device == "cuda" else str(device)
    if wanted not in there:
        raise absent(str(device), there)
    return wanted


def chosen_precision(precision: str, device: str) -> str:
    """For "auto" bf16 on a GPU that computes in it, fp16 on another, fp32 on the CPU.

    Raises UsageError for what the device cannot do.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"precision {precision!r}: known are {', '.join(PRECISIONS)}")
    if device == "cpu":
        return "fp32" if precision == "auto" else precision
    with torch.cuda.device(device):
        # with emulation all would say yes
        half = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if precision == "bf16" and half != "bf16":
        name = torch.cuda.get_device_name(device)
        raise UsageError(f"{device}, a {name}, does not compute in bf16: take fp16 or fp32")
    return half if precision == "auto" else precision


class _Model:
    """A DualEncoder on its device, fed in batches."""

    def __init__(self, model: DualEncoder, device: str, precision: str, asked: Asked) -> None:
        self.model, self.config = model, model.config
        self.device, self.precision, self.asked = device, precision, asked
        side: Any = ImageSide(model, TYPES[precision]).eval()
        if device != "cpu":
            # the layout that tensor cores take, and that pixels have already
            side = side.to(memory_format=torch.channels_last)
        self._side = torch.compile(side) if asked.compile else side
        self._feed = feeder(self._answer, device)

    def _answer(self, pixels: Any) -> tuple[Any, ...]:
        """Of a token head ids int32 [n, k] and weights [n, k], of a dense one vectors [n, d]."""
        if self.asked.compile:
            if len(pixels) == 1:  # for the compiler 0 and 1 are constants: one photo is two
                return tuple(part[:1] for part in self._answer(pixels.repeat(2, 1, 1, 1)))
            torch._dynamo.mark_dynamic(pixels, 0)  # a last batch needs no compiling of its own
        found = self._side(pixels)
        if self.model.outputs is None:
            return (found,)
        return strongest_tokens(found, self.model.outputs, self.config.image.head.top_k)

    def images(self, batch: NDArray[np.uint8]) -> Iterator[list[NDArray[Any]]]:
        """What `_answer` says of uint8 [n, S, S, 3], a batch at a time, in the host's memory."""
        most = BATCH if self.device == "cpu" else GPU_BATCH
        for at in range(0, len(batch), most):
            yield self._feed(batch[at : at + most])

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


class _OfTorch:
    """What both kinds have, whatever their model gives; stands before the kind's own base."""

    _model: _Model

    def __reduce__(self) -> tuple[Any, ...]:
        return (load_torch, tuple(self._model.asked))

    @cached_property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(self._model.model.tokens)

    @property
    def device(self) -> str:
        return self._model.device

    @property
    def precision(self) -> str:
        return self._model.precision

    def memory(self) -> Memory | None:
        if self.device == "cpu":
            return None
        # not the GPU's total: others may be on it
        free, _ = torch.cuda.mem_get_info(self.device)
        total = free + torch.cuda.memory_reserved(self.device)
        return Memory(torch.cuda.max_memory_reserved(self.device), total)

    @property
    def states(self) -> tuple[DualEncoder, str]:
        """The model and its device, for who has the towers' states already; see `finished`. Of an
        encoder in fp32.
        """
        return self._model.model, self._model.device


class TorchEncoder(_OfTorch, Encoder):
    """A model of kind stair (its text encoder is the neural one) or stair-image (a static one)."""

    def __init__(self, model: _Model, fingerprint: str) -> None:
        config: ModelConfig = model.config
        there = "static" if config.text.tower is None else "neural"
        kind = chosen_text(config.name, [there], there, model.asked.text)
        super().__init__(config.name, fingerprint, kind, config.image.view)
        self._model = model

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
        return [tokens for found in self._model.images(batch) for tokens in _tokens(*found)]

    def _strongest(self, weights: Any) -> Iterator[TokenWeights]:
        """Weights [b, o], which the model's head has pruned, to tokens at length 1."""
        found = strongest_tokens(weights.float(), self._model.model.outputs, None)
        return _tokens(*(part.cpu().numpy() for part in found))


def _tokens(ids: NDArray[np.int32], weights: NDArray[np.float32]) -> Iterator[TokenWeights]:
    """Rising ids [b, k] and their weights to tokens at length 1; weights of 0 are none.

    Raises ValueError for weights that are no numbers.
    """
    if not np.isfinite(weights).all():
        raise ValueError("the model's weights are no numbers: try --precision fp32")
    for row, places in zip(weights, ids, strict=True):
        active = row >= np.finfo(np.float32).tiny
        yield TokenWeights(places[active], row[active]).unit()


class TorchDenseEncoder(_OfTorch, DenseEncoder):
    """A model of kind clip."""

    def __init__(self, model: _Model, fingerprint: str) -> None:
        config: ModelConfig = model.config
        kind = chosen_text(config.name, ["neural"], "neural", model.asked.text)
        super().__init__(config.name, fingerprint, kind, config.image.view)
        self.dimensions = config.image.head.dimensions
        self._model = model

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
        return np.concatenate([vectors for (vectors,) in self._model.images(batch)])


def _unit(vectors: Any) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = functional.normalize(vectors.float(), dim=1).cpu().numpy()
    return unit
