"""The terms of the training loss: contrastive (STAIR, arXiv 2301.13081, Eq. 3), FLOPs (Eq. 6),
grounding in the captions' words, and the soft targets of a dense teacher.

With several processes each term is that of the whole batch over all devices: embeddings and means
are exchanged with their gradients. A term's mean over the processes is its value, and the mean of
the processes' gradients (what DistributedDataParallel computes) is its gradient.

Axes: b pairs of this device, B pairs of all devices, o outputs (or dimensions), v tokens.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional

LEAST_LENGTH = 1e-6
"""A vector that is shorter, of a photo or text without any token, stays as it is."""


def unit(x: Tensor) -> Tensor:
    """Rows at length 1, in at least float32; a row of zeros stays one, and its gradient finite."""
    x = x if x.dtype == torch.float64 else x.float()
    # norm() has no gradient at 0
    length = x.square().sum(1, keepdim=True).clamp(min=LEAST_LENGTH**2).sqrt()
    return x / length


def processes() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def gathered(x: Tensor) -> Tensor:
    """[b, …] of every process as [B, …], in their order, with gradients to where they came from."""
    if processes() == 1:
        return x
    from torch.distributed.nn.functional import all_gather

    return torch.cat(all_gather(x.contiguous()))


def mean_of_all(x: Tensor) -> Tensor:
    """The mean of x over the processes, with gradients."""
    if processes() == 1:
        return x
    from torch.distributed.nn.functional import all_reduce

    total: Tensor = all_reduce(x.contiguous())
    return total / processes()


class Scores(NamedTuple):
    """Scaled similarities: photos of this device with all texts, texts of it with all photos.

    image, text: float [b, B]. first: the column of this device's first pair.
    """

    image: Tensor
    text: Tensor
    first: int


def scores(image: Tensor, text: Tensor, scale: Tensor | float) -> Scores:
    """The cosine of every pair times the scale, 1 / T of Eq. 3. image, text: float [b, o].

    Only this device's rows, so that the work is shared out; the mean over devices is the whole.
    """
    image, text = unit(image), unit(text)
    first = len(image) * dist.get_rank() if processes() > 1 else 0
    return Scores(scale * image @ gathered(text).T, scale * text @ gathered(image).T, first)


def contrastive(of: Scores) -> Tensor:
    """Eq. 3: how unlikely a pair's own other half is among all of the batch, both ways, mean.

    >>> contrastive(scores(torch.eye(2), torch.eye(2), 20.0)).item() < 1e-8
    True
    """
    own = torch.arange(len(of.image), device=of.image.device) + of.first
    return (functional.cross_entropy(of.image, own) + functional.cross_entropy(of.text, own)) / 2


def distillation(of: Scores, teacher: Scores) -> Tensor:
    """Cross-entropy against a teacher's distribution over the batch, both ways, mean.

    teacher: its scores of the same pairs, scaled by its own temperature (Hinton 2015, without the
    factor T²: the temperature is the teacher's alone).
    """
    image = functional.cross_entropy(of.image, teacher.image.detach().softmax(1))
    text = functional.cross_entropy(of.text, teacher.text.detach().softmax(1))
    return (image + text) / 2


def flops(weights: Tensor) -> Tensor:
    """Eq. 6: sum over the tokens of the squared mean absolute weight; weights float [b, o].

    An estimate of the multiplications that a pair costs in an inverted index (Paria 2020).

    >>> flops(torch.tensor([[1.0, 0.0], [3.0, 0.0]])).item()
    4.0
    """
    weights = weights if weights.dtype == torch.float64 else weights.float()
    return mean_of_all(weights.abs().mean(0)).square().sum()


SHARPNESS = 2.0
"""Of the softmax that grounding takes: the strongest handful counts."""


def grounding(scores: Tensor, words: Tensor) -> Tensor:
    """The strongest tokens are to be words of the photo's captions: minus the log of their share of
    a softmax over all tokens, mean over the batch. A photo without such words counts 0.

    scores: float [b, o], a photo's before Eq. 5 or a text's weights; words: [b, o], above 0 where a
    caption of the photo holds a token. Of Flickr8k's validation photos 74 % then had a strongest
    token from their captions, 62 % without it; 51 % with binary cross-entropy of each token over
    its prior, which makes rare words strong that are hardly likely.
    """
    scores, said = SHARPNESS * scores, words > 0
    share = scores.masked_fill(~said, -torch.inf).logsumexp(1) - scores.logsumexp(1)
    # where nothing is said the share is -inf, and its gradient no number
    return -torch.where(said.any(1), share, 0.0).sum() / len(scores)
