"""Token heads that start where a ridge regression onto the captions' words ends.

A head at random weights has to find out first which of its directions is which token, and in one
stage it never does. The regression knows; the head's layers are set so that they compute it:

    scores = X A e^T,  A = (X^T X + r I)^-1 X^T Y e (e^T e + I)^-1

X: standardised mean states; Y: words of a photo's captions, rarer ones counting more (IDF), less
their mean; e: the head's table. GELU is kept to its straight part by a bias, the layer norm's
factor brings the scores to deviation 1, and the head's bias leaves top_k tokens above zero.

Axes: n photos or captions, p positions, h hidden, w width of e, o outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from stair_search.models.token_head import TokenHead

from .samples import Words

STRENGTH = 3840.0
"""r, for standardised states; of 960 to 15,360 the best in a trial of the starter."""

STRAIGHT = 1.5
SLOPE = 0.5
"""GELU(1.5 + 0.5 x) is straight to a few percent for |x| < 2."""

ACTIVE = 96
"""Tokens above zero where the head has no top_k."""

SAMPLE = 2000
CHUNK = 100_000


def word_targets(head: TokenHead, words: Words, owner: Sequence[int] | None) -> Tensor:
    """Y e, float [n, w]: of each photo, or of each caption's photo where owners are given."""
    e = head.table().detach()
    rarity = -functional.logsigmoid(words.prior)
    found = torch.zeros(len(words.starts) - 1, e.shape[1])
    photo = torch.from_numpy(np.repeat(np.arange(len(found)), np.diff(words.starts)))
    columns, shares = torch.from_numpy(words.columns), torch.from_numpy(words.shares)
    for at in range(0, len(columns), CHUNK):
        part = slice(at, at + CHUNK)
        weight = shares[part] * rarity[columns[part]]
        found.index_add_(0, photo[part], e[columns[part]] * weight[:, None])
    return found if owner is None else found[torch.as_tensor(owner)]


def start_at_ridge(head: TokenHead, states: Tensor, targets: Tensor) -> None:
    """states: float [n, h], means over positions; targets: float [n, w], Y e."""
    x = states.double()
    mean, deviation = x.mean(0), x.std(0) + 1e-3
    x = (x - mean) / deviation
    y = targets.double() - targets.double().mean(0)
    with torch.no_grad():
        e = head.table().double()
        eye = torch.eye
        gram = x.T @ x + STRENGTH * eye(x.shape[1], dtype=torch.double)
        a = torch.linalg.solve(gram, x.T @ y)
        a = torch.linalg.solve(e.T @ e + eye(e.shape[1], dtype=torch.double), a.T).T
        a = a / (x @ a).std()
        weight = SLOPE * a.T / deviation
        head.dense.weight.copy_(weight)
        head.dense.bias.copy_(STRAIGHT - weight @ mean)
        part = x[:: max(1, len(x) // SAMPLE)]
        inner = head.norm(functional.gelu(part.float() @ (SLOPE * a).float() + STRAIGHT))
        scores = inner @ e.T.float()
        factor = 1 / scores.std()
        head.norm.weight.mul_(factor)
        head.norm.bias.mul_(factor)
        active = max(1, min(head.config.top_k or ACTIVE, scores.shape[1] - 1))
        threshold = (scores * factor).topk(active, dim=1).values[:, -1].mean()
        head.bias.fill_(-float(threshold))
