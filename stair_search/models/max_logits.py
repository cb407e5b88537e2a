"""The largest score of each output over all positions, without b x p x o scores in memory.

    values[b, o] = max over p of hidden[b, p] . weight[o]

For 256 photos of 197 positions and 30,522 outputs the scores alone take 6 GB in float32, and
autograd keeps them for the way back. Here the vocabulary is cut into chunks; what is kept is each
output's best position.

The way back needs no scores: an output's gradient goes to one position, so that both gradients are
sums over at most b x o products instead of b x p x o, and gradients of zero cost nothing (after a
ReLU most are zero). The sums are those of `embedding_bag`: sorted, hence the same in every run.

A masked position is never the best. Where all are masked the value is -inf and has no gradient.
Among equal scores one position gets the whole gradient, the one that torch.max names; the plain
form does the same.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

GROUPS = 4
"""Of rows by length."""


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
    values = _by_length(hidden, mask, weight, chunk)
    # one bias for all positions: it may as well be added after the maximum
    return values + bias


def max_logits_plain(
    hidden: torch.Tensor, mask: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
) -> torch.Tensor:
    """The same in one product, for small vocabularies, export and as a reference."""
    scores = torch.einsum("bph,oh->bpo", hidden, weight)
    best = scores.masked_fill(~mask[..., None], -torch.inf).max(dim=1).values
    return best.to(torch.promote_types(best.dtype, torch.float32)) + bias


def _by_length(
    hidden: torch.Tensor, mask: torch.Tensor, weight: torch.Tensor, chunk: int
) -> torch.Tensor:
    """Rows of like length together: a batch is as wide as its longest text, half of it padding."""
    last = (mask * torch.arange(1, mask.shape[1] + 1, device=mask.device)).amax(dim=1)
    order = last.argsort(stable=True)
    ends: list[int] = last[order].tolist()
    values: torch.Tensor
    if len(ends) < GROUPS or ends[0] == ends[-1]:
        values = _MaxLogits.apply(hidden, mask, weight, chunk)
        return values
    parts, done = [], 0
    for rows in order.chunk(GROUPS):
        done += len(rows)
        longest = max(1, ends[done - 1])
        part = hidden[rows, :longest], mask[rows, :longest]
        parts.append(_MaxLogits.apply(*part, weight, chunk))
    values = torch.cat(parts)[order.argsort()]
    return values


class _MaxLogits(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, mask: torch.Tensor, weight: torch.Tensor, chunk: int
    ) -> torch.Tensor:
        b, p, _ = hidden.shape
        o = len(weight)
        wide = torch.promote_types(hidden.dtype, torch.float32)
        values = hidden.new_empty(b, o, dtype=wide)
        # two bytes a position: half of what values take
        best = torch.empty(
            b, o, dtype=torch.int16 if p < 2**15 else torch.int32, device=hidden.device
        )
        flat, dark = hidden.flatten(0, 1), ~mask[..., None]
        for at in range(0, o, chunk):
            scores = (flat @ weight[at : at + chunk].T).view(b, p, -1)
            found = scores.masked_fill_(dark, -torch.inf).max(dim=1)
            values[:, at : at + chunk] = found.values
            best[:, at : at + chunk] = found.indices
        ctx.save_for_backward(hidden, mask, weight, best)
        ctx.chunk = chunk
        return values

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        hidden, mask, weight, best = ctx.saved_tensors
        b, p, h = hidden.shape
        flat = hidden.flatten(0, 1)
        wide = torch.promote_types(hidden.dtype, torch.float32)
        to_hidden = torch.zeros(b * p, h, dtype=wide, device=hidden.device)
        to_weight = torch.zeros_like(weight)
        seen = mask.any(dim=1)[:, None]
        for at in range(0, len(weight), ctx.chunk):
            part = slice(at, at + ctx.chunk)
            rows, outputs = ((gradient[:, part] != 0) & seen).nonzero(as_tuple=True)
            if not len(rows):
                continue
            share = gradient[:, part][rows, outputs].to(hidden.dtype)
            positions = rows * p + best[:, part][rows, outputs]
            if ctx.needs_input_grad[0]:
                to_hidden += _sums(positions, outputs, share, b * p, weight[part])
            if ctx.needs_input_grad[2]:
                to_weight[part] = _sums(outputs, positions, share, len(weight[part]), flat)
        return (
            to_hidden.view(b, p, h).to(hidden.dtype) if ctx.needs_input_grad[0] else None,
            None,
            to_weight if ctx.needs_input_grad[2] else None,
            None,
        )


def _sums(
    into: torch.Tensor, rows: torch.Tensor, share: torch.Tensor, count: int, table: torch.Tensor
) -> torch.Tensor:
    """[count, h]: at place i the sum of share[n] * table[rows[n]] over all n with into[n] == i."""
    order = into.argsort(stable=True)
    ends = torch.bincount(into, minlength=count).cumsum(0)
    starts = torch.cat([ends.new_zeros(1), ends[:-1]])
    return functional.embedding_bag(
        rows[order], table, starts, mode="sum", per_sample_weights=share[order]
    )
