"""Zero-shot classification: a photo belongs to the class whose prompts are most like it.

A class's vector is the mean of its prompts' unit vectors, at length 1 again (CLIP's way; for a
sparse model the weights of tokens are averaged). Ties are counted against the model: another class
with the same score stands before the right one. So a photo that shares no token with its class is
right in no top-5 unless fewer than five classes score higher or the same.

A class's prompts are whole texts as their templates make them. The prompt that a model has for
captions is not put before them: it would ask for "a photo of a photo of a dog".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .bootstrap import interval, replicates
from .encode import Progress, encode_texts, silent
from .protocols import Encoder
from .retrieval import best_ranks
from .templates import prompts
from .vectors import Vectors, is_sparse, similarity, stack, unit

TOP = (1, 5)


class Classification(NamedTuple):
    """ranks: int64 [n], the true class's place among `classes`, from 1."""

    ranks: NDArray[np.int64]
    classes: int
    templates: int

    def top(self, k: int) -> float:
        """Top-k accuracy, percent."""
        return 100 * float((self.ranks <= k).mean())

    def to_dict(self, seed: int = 0) -> dict[str, Any]:
        """Percent, with 95 % bootstrap intervals over photos."""
        drawn = replicates(self.ranks[:, None] <= np.array(TOP), seed=seed)
        return {
            "images": len(self.ranks),
            "classes": self.classes,
            "templates": self.templates,
            **{f"top-{k}": self.top(k) for k in TOP},
            "intervals": {f"top-{k}": list(interval(drawn[:, i])) for i, k in enumerate(TOP)},
        }


def class_vectors(
    encoder: Encoder,
    names: Sequence[str],
    templates: tuple[str, ...],
    progress: Progress = silent,
) -> Vectors:
    """[C, V or d], each at length 1 (or zero, where no prompt says anything)."""
    texts = encode_texts(encoder, prompts(list(names), templates), progress, prompted=False)
    each = unit(stack(texts, len(encoder.vocabulary)))
    if not is_sparse(each):
        return unit(each.reshape(len(names), len(templates), -1).mean(1))
    from scipy.sparse import csr_array

    t = len(templates)
    places = (np.repeat(np.arange(len(names)), t), np.arange(len(names) * t))
    mean = csr_array((np.full(len(names) * t, 1 / t), places), shape=(len(names), len(names) * t))
    return unit((mean @ each).tocsr())


def classify(
    photos: Vectors, classes: Vectors, labels: NDArray[np.int64], templates: int = 1
) -> Classification:
    """photos: [n, …]; classes: [C, …]; labels: int64 [n]; by cosine."""
    found = np.empty(photos.shape[0], np.int64)
    for rows, scores in similarity(photos, classes):
        right = labels[rows, None] == np.arange(classes.shape[0])
        found[rows] = best_ranks(scores, right)
    return Classification(found, classes.shape[0], templates)
