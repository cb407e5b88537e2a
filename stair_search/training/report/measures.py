"""One model on held-out photos: retrieval both ways with intervals, active tokens, readable words.

Photos and captions are ranked by exact cosine, which is what a search engine computes from the same
tokens; the engine's own ranks are those of `stair-search evaluate retrieval`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from stair_search.evaluation import interpretability, retrieval
from stair_search.evaluation.bootstrap import interval, replicates
from stair_search.evaluation.encode import Progress
from stair_search.evaluation.pairs import Pairs
from stair_search.evaluation.protocols import Encoded, Encoder
from stair_search.evaluation.vectors import stack

from .page import Interval, Measures, Recall, Sparsity, Words

MOST_PHOTOS = 1000
"""Held-out photos that are measured: beyond it the intervals are narrow and the wait is long."""


class HeldOut(NamedTuple):
    """What is measured on. split: its name; of: how many photos the split has in all."""

    pairs: Pairs
    split: str
    of: int


def evenly(pairs: Pairs, split: str) -> HeldOut:
    """Photos of a split, evenly taken where there are more than MOST_PHOTOS."""
    total = len(pairs.photos)
    kept = spread(total, MOST_PHOTOS)
    place = {photo: i for i, photo in enumerate(kept)}
    rows = [row for row, photo in enumerate(pairs.owner) if photo in place]
    return HeldOut(
        Pairs(
            [pairs.photos[photo] for photo in kept],
            [pairs.captions[row] for row in rows],
            [place[pairs.owner[row]] for row in rows],
        ),
        split,
        total,
    )


def spread(total: int, most: int) -> list[int]:
    """Places evenly over all of them, so that nobody can have picked the nice ones.

    >>> spread(7, 3), spread(2, 3)
    ([0, 3, 6], [0, 1])
    """
    return sorted({round(i) for i in np.linspace(0, total - 1, min(total, most))})


def measure(
    encoder: Encoder,
    photos: Encoded,
    captions: Encoded,
    pairs: Pairs,
    nouns: Sequence[Sequence[str]],
    outputs: int | None,
    progress: Progress = lambda done: None,
) -> Measures:
    """photos, captions: what the encoder gave for those of the pairs. nouns: of each photo's
    captions. outputs: how many tokens the model can give, None of a dense one. progress: is
    told how many tokens of the vocabulary a dense model was asked for.
    """
    width = len(encoder.vocabulary.tokens)
    left, right = stack(photos, width), stack(captions, width)
    ranks = retrieval.ranks(left, right, pairs.owner)
    ends, _ = retrieval.intervals(ranks, pairs.owner)
    sparsity = None
    if not isinstance(photos, np.ndarray):
        used = {int(token) for row in photos for token in row.ids}
        sparsity = Sparsity(
            [len(row) for row in photos],
            [len(row) for row in captions],
            len(used),
            outputs or width,
        )
    return Measures(
        len(pairs.photos),
        len(pairs.captions),
        _recall(ranks.text_to_image, ends["text_to_image"]),
        _recall(ranks.image_to_text, ends["image_to_text"]),
        _words(encoder, left, nouns, progress),
        sparsity,
    )


def _recall(ranks: Any, ends: dict[str, Any]) -> Recall:
    values = retrieval.Recalls.of(ranks).to_dict()
    return Recall(*(Interval(value, *ends[name]) for name, value in values.items()))


def _words(
    encoder: Encoder, photos: Any, nouns: Sequence[Sequence[str]], progress: Progress
) -> Words | None:
    """None where no caption has a noun that the vocabulary knows."""
    tokens = interpretability.token_vectors(encoder, progress)
    nouns_found = interpretability.of_nouns(photos, nouns, encoder.vocabulary, tokens)
    if nouns_found is None:
        return None
    found = nouns_found.any
    drawn = replicates(found.ranks[:, None] <= np.array([1, 10]))
    first, ten = (Interval(found.top(k), *interval(drawn[:, i])) for i, k in enumerate((1, 10)))
    return Words(first, ten, len(found.ranks))
