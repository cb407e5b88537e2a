"""R@K both ways: the share of questions whose answer is among the first K, in percent.

Text to image: a caption asks, its one photo is right. Image to text: a photo asks, any of its
captions is right (elsewhere called Success@K, or any-hit).

A question's rank is that of its best answer, counted from 1. It comes

- from an engine's hits (`ranks_of`): how ties fall is the engine's business;
- from vectors (`ranks`): ties are counted against the model, a wrong answer with the same score
  stands before the right one. A sparse answer without a common token is no hit, as in an engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .bootstrap import RESAMPLES, Interval, interval, replicates
from .vectors import Vectors, is_sparse, similarity

CUTS = (1, 5, 10)
MISSED = np.iinfo(np.int64).max
"""The rank of an answer that was not found at all."""


class Recalls(NamedTuple):
    """R@1, R@5 and R@10 in percent."""

    at_1: float
    at_5: float
    at_10: float

    @classmethod
    def of(cls, ranks: NDArray[np.int64]) -> Recalls:
        """From the rank of each question's best answer.

        >>> Recalls.of(np.array([1, 2, 7, MISSED]))
        Recalls(at_1=25.0, at_5=50.0, at_10=75.0)
        """
        if not len(ranks):
            raise ValueError("R@K of no questions")
        return cls(*(100 * int((ranks <= k).sum()) / len(ranks) for k in CUTS))

    def to_dict(self) -> dict[str, float]:
        """As `evaluate retrieval` prints them.

        >>> Recalls(50.0, 75.0, 100.0).to_dict()
        {'R@1': 50.0, 'R@5': 75.0, 'R@10': 100.0}
        """
        return {f"R@{k}": value for k, value in zip(CUTS, self, strict=True)}


class Ranks(NamedTuple):
    """text_to_image: int64 [m], a rank a caption; image_to_text: int64 [n], a rank a photo."""

    text_to_image: NDArray[np.int64]
    image_to_text: NDArray[np.int64]


def ranks_of(rankings: Iterable[Sequence[int]], right: Iterable[Set[int]]) -> NDArray[np.int64]:
    """int64 [q]: the place of the first right id in each ranking, from 1; MISSED without one.

    rankings: for each question the found ids, best first (ten suffice); right: its answers.

    >>> ranks_of([[7, 3], [3, 7]], [{7}, {7}])
    array([1, 2])
    """
    return np.array(
        [
            next((place for place, hit in enumerate(ranking, 1) if hit in answers), MISSED)
            for ranking, answers in zip(rankings, right, strict=True)
        ],
        np.int64,
    )


def ranks(images: Vectors, texts: Vectors, owner: Sequence[int], cosine: bool = True) -> Ranks:
    """From vectors of n photos and m captions, by cosine or dot; ties against the model.

    owner: for each caption the place of its photo. Raises ValueError for a photo without captions.
    """
    photo = np.asarray(owner, np.intp)
    forth = np.empty(len(photo), np.int64)
    for rows, scores in similarity(texts, images, cosine):
        right = photo[rows, None] == np.arange(images.shape[0])
        forth[rows] = best_ranks(scores, right, is_sparse(images))
    back = np.empty(images.shape[0], np.int64)
    for rows, scores in similarity(images, texts, cosine):
        right = np.arange(images.shape[0])[rows, None] == photo
        back[rows] = best_ranks(scores, right, is_sparse(images))
    return Ranks(forth, back)


def best_ranks(
    scores: NDArray[np.floating], right: NDArray[np.bool_], sparse: bool = False
) -> NDArray[np.int64]:
    """int64 [q]: 1 + the number of wrong answers that score no less than the best right one.

    scores, right: [q, d]. sparse: an answer with score 0 was not found.

    >>> best_ranks(np.array([[0.5, 0.5, 0.1]]), np.array([[True, False, True]]))
    array([2])
    """
    if not right.any(1).all():
        raise ValueError(f"question {int(np.argmin(right.any(1)))} has no right answer")
    best = np.where(right, scores, -np.inf).max(1, keepdims=True)
    found = 1 + ((scores >= best) & ~right).sum(1, dtype=np.int64)
    return np.where((best[:, 0] <= 0) & sparse, MISSED, found)


def mean_recall(text_to_image: Recalls, image_to_text: Recalls) -> float:
    """The mean of all six, mR."""
    return (sum(text_to_image) + sum(image_to_text)) / (2 * len(CUTS))


NAMES = tuple(f"{way} R@{k}" for way in ("text_to_image", "image_to_text") for k in CUTS)
"""The six figures in their order; in replicates the seventh is their mean, mR."""


def resampled(
    found: Ranks, owner: Sequence[int], resamples: int = RESAMPLES, seed: int = 0
) -> NDArray[np.float64]:
    """float64 [resamples, 7]: NAMES and mR of photos drawn again, each with its captions."""
    photos = len(found.image_to_text)
    hits = np.zeros((photos, len(CUTS)))
    np.add.at(hits, np.asarray(owner, np.intp), found.text_to_image[:, None] <= np.array(CUTS))
    asked = np.bincount(owner, minlength=photos).astype(np.float64)
    forth = replicates(hits, asked, resamples, seed)
    back = replicates(found.image_to_text[:, None] <= np.array(CUTS), None, resamples, seed)
    six = np.concatenate([forth, back], 1)
    return np.concatenate([six, six.mean(1, keepdims=True)], 1)


def intervals(
    found: Ranks, owner: Sequence[int], seed: int = 0
) -> tuple[dict[str, dict[str, Interval]], Interval]:
    """95 % intervals, in the shape of the figures themselves; and that of mR."""
    drawn = resampled(found, owner, seed=seed)
    k = len(CUTS)
    return {
        way: {f"R@{cut}": interval(drawn[:, at + i]) for i, cut in enumerate(CUTS)}
        for way, at in (("text_to_image", 0), ("image_to_text", k))
    }, interval(drawn[:, -1])
