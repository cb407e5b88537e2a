"""The image side of a DualEncoder as it is used: pixels in, weights or vectors out.

What follows from the parameters alone (the head's rows of the embedding table, gathered and
centred) is computed once. Tower and head are held in one precision; the maximum over the positions,
the activation and what comes out are float32.

This is for inference. Tower and head are the model's own, so that nothing is held twice: after a
`precision` below float32 the model's text side goes on as it was, its image side through here
alone.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from .dual_encoder import DualEncoder
from .token_head import TokenHead


class ImageSide(nn.Module):
    """uint8 [b, s, s, 3] to float32 [b, o] weights of tokens, or [b, d] vectors at length 1."""

    def __init__(self, model: DualEncoder, precision: torch.dtype) -> None:
        super().__init__()
        self.precision = precision
        self.register_buffer("mean", model.mean)  # float32: a photo is rounded once, at the end
        self.register_buffer("deviation", model.deviation)
        head = model.image_head
        table = bias = None
        if isinstance(head, TokenHead):
            # before the head is rounded
            table = head.table().detach().to(precision)
            bias = head.bias.detach().clone()
        self.register_buffer("table", table)
        self.register_buffer("bias", bias)
        self.tower = model.image_tower.to(precision)
        self.head = head.to(precision)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        # uint8 on the way to the device; [b, s, s, 3] seen as [b, 3, s, s] is channels_last already
        scaled = pixels.permute(0, 3, 1, 2).to(self.mean.dtype) / 255
        states = self.tower(((scaled - self.mean) / self.deviation).to(self.precision))
        if self.table is None:
            return functional.normalize(self.head(states).float(), dim=1)
        hidden = self.head.transform(states.hidden)
        best = best_scores(hidden, self.table, self.head.config.chunk) + self.bias
        return torch.log1p(torch.relu(best))


def best_scores(hidden: torch.Tensor, table: torch.Tensor, chunk: int) -> torch.Tensor:
    """Hidden [b, p, h], table [o, h] -> float32 [b, o]: max over p of hidden[b, p] . table[o].

    As `max_logits` where all positions are there, without what the way back needs, and without a
    look at the mask, for which the host would wait. chunk: outputs whose scores exist at once, 0
    for all.
    """
    b, p, _ = hidden.shape
    flat = hidden.flatten(0, 1)
    parts = [
        (flat @ rows.T).view(b, p, -1).amax(dim=1).float()
        for rows in (table.split(chunk) if chunk else [table])
    ]
    return torch.cat(parts, dim=1)


def strongest_tokens(
    weights: torch.Tensor, ids: torch.Tensor, top_k: int | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights [b, o] of the outputs `ids` [o] -> ids int32 [b, k], rising, and weights [b, k].

    Where a photo has fewer than k tokens some of its weights are 0. top_k None: k is what the
    photo with the most of them has, for which the host waits.

    >>> strongest_tokens(torch.tensor([[0.5, 0.0, 2.0]]), torch.tensor([7, 8, 3]), 2)
    (tensor([[3, 7]], dtype=torch.int32), tensor([[2.0000, 0.5000]]))
    """
    k = int((weights > 0).sum(dim=1).max()) if top_k is None else min(top_k, weights.shape[1])
    top = weights.topk(k, dim=1, sorted=False)
    found, order = ids[top.indices].to(torch.int32).sort(dim=1)
    return found, top.values.gather(1, order)
