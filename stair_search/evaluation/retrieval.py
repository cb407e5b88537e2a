"""R@K both ways: the share of questions whose answer is among the first K, in percent.

Text to image: a caption asks, its one photo is right. Image to text: a photo asks, any of its
captions is right (elsewhere called Success@K, or any-hit).

Ranks are given, not scores: how ties fall is the engine's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from typing import NamedTuple

CUTS = (1, 5, 10)


class Recalls(NamedTuple):
    """R@1, R@5 and R@10 in percent."""

    at_1: float
    at_5: float
    at_10: float

    def to_dict(self) -> dict[str, float]:
        """As `evaluate retrieval` prints them.

        >>> Recalls(50.0, 75.0, 100.0).to_dict()
        {'R@1': 50.0, 'R@5': 75.0, 'R@10': 100.0}
        """
        return {f"R@{k}": value for k, value in zip(CUTS, self, strict=True)}


def recalls(rankings: Iterable[Sequence[int]], right: Iterable[Set[int]]) -> Recalls:
    """rankings: for each question the found ids, best first (ten suffice); right: its answers.

    A question that found nothing counts as missed.

    >>> recalls([[7, 3], [3, 7]], [{7}, {7}])
    Recalls(at_1=50.0, at_5=100.0, at_10=100.0)
    """
    hits = [0] * len(CUTS)
    questions = 0
    for ranking, answers in zip(rankings, right, strict=True):
        questions += 1
        for i, k in enumerate(CUTS):
            hits[i] += not answers.isdisjoint(ranking[:k])
    if not questions:
        raise ValueError("R@K of no questions")
    return Recalls(*(100 * count / questions for count in hits))


def mean_recall(text_to_image: Recalls, image_to_text: Recalls) -> float:
    """The mean of all six, mR."""
    return (sum(text_to_image) + sum(image_to_text)) / (2 * len(CUTS))
