"""Token heads and text tables that start where a ridge regression onto the captions' words ends.

A head at random weights has to find out first which of its directions is which token, and in one
stage it never does. The regression knows; the head's layers are set so that they compute it:

    scores = X A e^T,  A = (X^T X + r I)^-1 X^T Y e (e^T e + I)^-1

X: standardised mean states; Y: words of a photo's captions, rarer ones counting more (IDF), less
their mean; e: the head's table. GELU is kept to its straight part by a bias, the layer norm's
factor brings the scores to deviation 1, and the head's bias leaves top_k tokens above zero.

A text table's expansion starts likewise from the sums of its tokens' vectors.

Axes: n photos or captions, p positions, h hidden, w width of e, o outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from stair_search.errors import UsageError
from stair_search.models.dual_encoder import DualEncoder
from stair_search.models.text_table import TextTable
from stair_search.models.token_head import TokenHead

from .recipe import Recipe
from .samples import Samples, Words

STRENGTH = 3840.0
"""r, for standardised states; of 960 to 15,360 the best in a trial of the starter."""

STRAIGHT = 1.5
SLOPE = 0.5
"""GELU(1.5 + 0.5 x) is straight to a few percent for |x| < 2."""

ACTIVE = 96
"""Tokens above zero where the head has no top_k."""

SAMPLE = 2000

CHUNK = 100_000
TEXTS = 4096

TEXT_STRENGTH = 100.0
"""r of a text table, whose inputs are sums of vectors of length 1."""

EXPANSION = 0.5
"""Of the regression: a text is at first rather its own words than what they imply."""

LEAST_OWN = 0.05


def start_heads(
    model: DualEncoder,
    recipe: Recipe,
    samples: Samples,
    owner: Sequence[int],
    tell: Callable[[str], None],
) -> None:
    """Heads and tables of a new model; an image side that was given stays what it is.

    owner: of each caption, the photo. Raises UsageError where a tower is trained in some stage.
    """
    model.cpu()  # frozen towers may have been asked on a GPU
    words = samples.words
    if words is None:
        return  # a dense model
    heads: list[tuple[nn.Module | None, Callable[[], Tensor | None], Sequence[int] | None]] = []
    if recipe.model.image.of is None:
        heads.append((model.image_head, samples.photos.means, None))
    heads.append((model.text_head, samples.texts.means, owner))
    for head, means, owners in heads:
        if isinstance(head, TokenHead):
            if (states := means()) is None:
                raise UsageError("model.ridge: both towers have to be frozen in all stages")
            tell("a ridge regression onto the captions' words, where the heads start")
            start_at_ridge(head, states, word_targets(head, words, owners))
    if (table := model.text_table) is not None and table.config.kind != "mask":
        start_table(table, samples.texts.ids, words, owner)


def word_targets(head: TokenHead, words: Words, owner: Sequence[int] | None) -> Tensor:
    """Y e, float [n, w]: of each photo, or of each caption's photo where owners are given."""
    e = head.table().detach()
    photo, columns, weights = _rare(words, -functional.logsigmoid(words.prior))
    found = torch.zeros(len(words.starts) - 1, e.shape[1])
    for at in range(0, len(columns), CHUNK):
        part = slice(at, at + CHUNK)
        found.index_add_(0, photo[part], e[columns[part]] * weights[part, None])
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


def start_table(
    table: TextTable, texts: Sequence[NDArray[np.int64]], words: Words, owner: Sequence[int]
) -> None:
    """Own weights as the words' rarity (IDF); an expansion as the regression from the sum of a
    caption's token vectors to the words of all captions of its photo: at first, what a token
    implies is what is said and seen together with it.

    texts: ids of the captions' tokens, which all count, also those that the table leaves out
    (`words_only`).
    """
    own = table.own_tokens
    rarity = -functional.logsigmoid(words.prior)
    with torch.no_grad():
        there = own.place >= 0
        weight = (rarity / rarity.mean())[own.place[there]].clamp(min=LEAST_OWN)
        table.own[there] = torch.log(torch.expm1(weight))  # of which softplus is the weight
        if table.vectors is None:
            return
        # by photo, since a caption's target is that of its photo
        sums = torch.zeros(len(words.starts) - 1, table.config.rank, dtype=torch.double)
        gram = TEXT_STRENGTH * torch.eye(table.config.rank, dtype=torch.double)
        for at in range(0, len(texts), TEXTS):
            known = [np.unique(ids[~own.special[ids].numpy()]) for ids in texts[at : at + TEXTS]]
            ends = torch.tensor([0, *map(len, known[:-1])]).cumsum(0)
            said = torch.from_numpy(np.concatenate(known))
            x = functional.embedding_bag(said, table.vectors.weight, ends, mode="sum").double()
            gram += x.T @ x
            sums.index_add_(0, torch.as_tensor(owner[at : at + TEXTS]), x)
        photo, columns, weights = _rare(words, rarity)
        cross = torch.zeros(own.outputs, table.config.rank, dtype=torch.double)
        for at in range(0, len(columns), CHUNK):
            part = slice(at, at + CHUNK)
            cross.index_add_(0, columns[part], sums[photo[part]] * weights[part, None])
        mean = torch.zeros(own.outputs).index_add_(0, columns, weights) / len(sums)
        cross -= mean[:, None] * sums.sum(0)
        table.expansion.weight.copy_(EXPANSION * torch.linalg.solve(gram, cross.T).T)


def _rare(words: Words, rarity: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Y by its entries: photo, column, share x rarity."""
    photo = torch.from_numpy(np.repeat(np.arange(len(words.starts) - 1), np.diff(words.starts)))
    columns = torch.from_numpy(words.columns)
    return photo, columns, torch.from_numpy(words.shares) * rarity[columns]
