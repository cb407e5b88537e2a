"""A DualEncoder's two sides as ONNX graphs, as `stair_search.encoders.folder` describes them.

Token heads give all weights: what a photo or a question keeps is settled where the graph is run.
torch.export traces each side once; what a head would compute anew at each call from its parameters
alone (its rows of the embedding table, centred) is computed here and stored.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from stair_search.models.dual_encoder import DualEncoder
from stair_search.models.max_logits import max_logits_plain
from stair_search.models.states import States

OPSET = 18
TRACED_TEXTS, TRACED_TOKENS = 3, 7
"""Any size serves but 0 and 1, which torch.export takes for constants."""


class _Head(nn.Module):
    """A TokenHead whose outputs rise, without top_k: Eq. 4 and 5 and nothing else."""

    def __init__(self, head: Any, order: torch.Tensor) -> None:
        super().__init__()
        self.dense, self.norm = head.dense, head.norm
        self.table = nn.Parameter(head.table()[order].clone())
        self.bias = nn.Parameter(head.bias[order].clone())

    def forward(self, states: States) -> torch.Tensor:
        hidden = self.norm(functional.gelu(self.dense(states.hidden)))
        scores = max_logits_plain(hidden, states.mask, self.table, self.bias)
        return torch.log1p(torch.relu(scores))


class _Side(nn.Module):
    ids: torch.Tensor

    def __init__(self, model: DualEncoder, tower: nn.Module, head: nn.Module) -> None:
        super().__init__()
        assert model.outputs is not None
        ids, order = model.outputs.sort()
        self.tower, self.head = tower, _Head(head, order)
        self.register_buffer("ids", ids.to(torch.int32))


class MoreTokens(NamedTuple):
    """Tokens that a photo carries beside those of the head: log(1 + relu(state @ weight + bias)).

    state: the tower's first, the mean of its map where the model has a grid. ids: int64 [c], none
    of the model's outputs; weight: float32 [h, c]; bias: float32 [c].
    """

    ids: NDArray[np.int64]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


class _Images(_Side):
    def __init__(self, model: DualEncoder, more: MoreTokens | None) -> None:
        super().__init__(model, model.image_tower, model.image_head)
        self.more: nn.Linear | None = None
        if more is not None:
            self.more = nn.Linear(*more.weight.shape)
            self.more.weight.data = torch.from_numpy(more.weight.T.copy())
            self.more.bias.data = torch.from_numpy(more.bias)
            ids = torch.from_numpy(more.ids).to(torch.int32)
            self.ids, order = torch.cat([self.ids, ids]).sort()
            self.register_buffer("order", order)
        # (x / 255 - mean) / deviation as one product and one sum
        self.register_buffer("factor", 1 / (255 * model.deviation))
        self.register_buffer("offset", -model.mean / model.deviation)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        scaled = pixels.permute(0, 3, 1, 2).to(self.factor.dtype) * self.factor + self.offset
        states = self.tower(scaled)
        weights = self.head(states)
        if self.more is not None:
            more = torch.log1p(torch.relu(self.more(states.hidden[:, 0])))
            weights = torch.cat([weights, more], 1)[:, self.order]
        return weights, self.ids.clone()


class _Texts(_Side):
    def __init__(self, model: DualEncoder) -> None:
        assert model.text_tower is not None and model.text_head is not None
        super().__init__(model, model.text_tower, model.text_head)

    def forward(
        self, tokens: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return self.head(self.tower(tokens, mask)), self.ids.clone()


def image_graph(model: DualEncoder, more: MoreTokens | None = None) -> Any:
    """onnx.ModelProto: pixels uint8 [n, S, S, 3] -> weights float32 [n, T], ids int32 [T]."""
    size = model.config.image.size
    pixels = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    with _positions_once(model.image_tower):
        return _graph(_Images(model, more), {"pixels": pixels}, [{0: torch.export.Dim.DYNAMIC}])


def text_graph(model: DualEncoder) -> Any:
    """onnx.ModelProto: tokens int64 [n, t], mask bool [n, t] -> weights, ids as of an image."""
    shape = (TRACED_TEXTS, TRACED_TOKENS)
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    return _graph(
        _Texts(model),
        {
            "tokens": torch.zeros(shape, dtype=torch.int64),
            "mask": torch.ones(shape, dtype=torch.bool),
        },
        [free, free],
    )


def _graph(side: nn.Module, inputs: dict[str, torch.Tensor], free: list[dict[int, Any]]) -> Any:
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            side.eval(),
            tuple(inputs.values()),
            input_names=list(inputs),
            output_names=["weights", "ids"],
            dynamic_shapes=tuple(free),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    return program.model_proto


@contextmanager
def _positions_once(tower: nn.Module) -> Iterator[None]:
    """SigLIP 2 (NaFlex) scales its positions for each photo of a batch in a Python loop, which
    would be traced for one size of batch. All photos have one shape here: once is enough.
    """
    found = [part for part in tower.modules() if hasattr(part, "resize_positional_embeddings")]
    for part in found:
        scale = part.resize_positional_embeddings
        part.resize_positional_embeddings = lambda positions, shapes, max_length, scale=scale: (
            scale(positions, shapes[:1], max_length)
        )
    try:
        yield
    finally:
        for part in found:
            del part.resize_positional_embeddings


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells at length what concerns its makers alone."""
    loggers = [
        logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")
    ]
    levels = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)
