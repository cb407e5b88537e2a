"""Intervals by the percentile bootstrap, in NumPy alone.

What is drawn again, with replacement, are photos (or classes' photos): the captions of one photo
are no independent questions and are drawn together. Galleries stay whole. A figure is a ratio of
sums (hits over questions), so that drawing is one product: how often each photo was drawn, times
its sums. The same seed and number of photos give the same draws for every model, and so a paired
interval of the difference of two.

Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapter 13. A test holds it to
`scipy.stats.bootstrap(method="percentile")`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
LEVEL = 0.95
_AT_ONCE = 4_000_000  # counts of drawn photos that are held at a time


class Interval(NamedTuple):
    """low, high: between them a figure lies with the stated confidence."""

    low: float
    high: float


def replicates(
    hits: NDArray[Any],
    questions: NDArray[Any] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> NDArray[np.float64]:
    """float64 [resamples, k] in percent: 100 * sum(hits) / sum(questions) of drawn photos.

    hits: [n, k], a photo's sums of k figures. questions: [n], how many questions each photo has;
    one each if None. Raises ValueError where there is nothing to draw from.
    """
    n = len(hits)
    asked = np.ones(n) if questions is None else np.asarray(questions, np.float64)
    if not n or not asked.any():
        raise ValueError("no questions to draw from")
    chance = np.random.default_rng(seed)
    step = max(1, _AT_ONCE // n)
    found = []
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        drawn = chance.multinomial(n, np.full(n, 1 / n), size).astype(np.float64)
        total = drawn @ asked
        # a draw of photos without any question (possible where some have none) says nothing
        sums = drawn @ np.asarray(hits, np.float64)
        found.append(100 * sums[total > 0] / total[total > 0, None])
    return np.concatenate(found)


def interval(values: NDArray[np.floating]) -> Interval:
    """The middle LEVEL of replicates [resamples]."""
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))
