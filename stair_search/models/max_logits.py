"""The largest score of each output over all positions, without b x p x o scores in memory.

    values[b, o] = max over p of hidden[b, p] . weight[o]

For 256 photos of 197 positions and 30,522 outputs the scores alone take 6 GB in float32, and
autograd keeps them for the way back. Here the vocabulary is cut into chunks; what is kept is each
output's best position. The way back scatters a chunk's gradients to these positions and multiplies,
as the plain form does, over the outputs whose gradient is not all zero: after a ReLU most are.

A masked position is never the best. Where all are masked the value is -inf. Among equal scores one
position gets the whole gradient, the one that torch.max names; the plain form does the same.
"""

from __future__ import annotations

from typing import Any

import torch


def max_logits(
    hidden: torch.Tensor,
    mask: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    chunk: int = 4096,
) -> torch.Tensor:
    """Hidden [b, p, h], mask bool [b, p], weight [o, h], bias [o] -> [b, o].

    chunk: outputs whose scores exist at once; 0 is the plain form. Under autocast the products are
    taken in its type, sums of gradients and the result in float32.
    """
    if not chunk:
        return max_logits_plain(hidden, mask, weight, bias)
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        half = torch.get_autocast_dtype(device)
        hidden, weight = hidden.to(half), weight.to(half)
    values: torch.Tensor = _MaxLogits.apply(hidden, mask, weight, chunk)
    # one bias for all positions: it may as well be added after the maximum
    return values + bias


def max_logits_plain(
    hidden: torch.Tensor, mask: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
) -> torch.Tensor:
    """The same in one product, for small vocabularies, export and as a reference."""
    scores = torch.einsum("bph,oh->bpo", hidden, weight)
    best = scores.masked_fill(~mask[..., None], -torch.inf).max(dim=1).values
    return best.to(torch.promote_types(best.dtype, torch.float32)) + bias


class _MaxLogits(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, mask: torch.Tensor, weight: torch.Tensor, chunk: int
    ) -> torch.Tensor:
        b, p, _ = hidden.shape
        o = len(weight)
        wide = torch.promote_types(hidden.dtype, torch.float32)
        values = hidden.new_empty(b, o, dtype=wide)
        # positions are few: two bytes each are half of what values take, not twice
        best = torch.empty(
            b, o, dtype=torch.int16 if p < 2**15 else torch.int32, device=hidden.device
        )
        flat, dark = hidden.flatten(0, 1), ~mask[..., None]
        for at in range(0, o, chunk):
            scores = (flat @ weight[at : at + chunk].T).view(b, p, -1)
            found = scores.masked_fill_(dark, -torch.inf).max(dim=1)
            values[:, at : at + chunk] = found.values
            best[:, at : at + chunk] = found.indices
        ctx.save_for_backward(hidden, weight, best)
        ctx.chunk = chunk
        return values

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        hidden, weight, best = ctx.saved_tensors
        b, p, h = hidden.shape
        wide = torch.promote_types(hidden.dtype, torch.float32)
        flat = hidden.flatten(0, 1)
        to_hidden = torch.zeros(b * p, h, dtype=wide, device=hidden.device)
        to_weight = torch.zeros_like(weight)
        # outputs that no row of the batch activates are skipped
        there = gradient.any(dim=0).nonzero()[:, 0]
        for part in there.split(ctx.chunk):
            scattered = hidden.new_zeros(b, p, len(part))
            scattered.scatter_(
                1,
                best[:, part].to(torch.int64)[:, None],
                gradient[:, part].to(hidden.dtype)[:, None],
            )
            scattered = scattered.view(b * p, -1)
            if ctx.needs_input_grad[0]:
                to_hidden += scattered @ weight[part]
            if ctx.needs_input_grad[2]:
                to_weight[part] = scattered.T @ flat
        return (
            to_hidden.view(b, p, h).to(hidden.dtype) if ctx.needs_input_grad[0] else None,
            None,
            to_weight if ctx.needs_input_grad[2] else None,
            None,
        )
