"""Intervals against scipy's percentile bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap as scipy_bootstrap

from stair_search.evaluation.bootstrap import interval, replicates
from stair_search.evaluation.retrieval import MISSED, Ranks, intervals, resampled


def test_a_ratio_of_sums_has_scipys_interval() -> None:
    chance = np.random.default_rng(2)
    asked = chance.integers(1, 6, size=300)
    hits = chance.binomial(asked, 0.4)
    mine = interval(replicates(hits[:, None], asked, resamples=20_000)[:, 0])
    theirs = scipy_bootstrap(
        (hits, asked),
        lambda h, a, axis=-1: 100 * h.sum(axis) / a.sum(axis),
        paired=True,
        vectorized=True,
        n_resamples=20_000,
        method="percentile",
        rng=np.random.default_rng(3),
    ).confidence_interval
    assert mine == pytest.approx((theirs.low, theirs.high), abs=0.15)
    # as independent questions the interval would be another one
    narrow = interval(replicates(np.repeat(hits, 5)[:, None], np.repeat(asked, 5))[:, 0])
    assert narrow.high - narrow.low < 0.6 * (mine.high - mine.low)


def test_the_seed_decides() -> None:
    hits = np.random.default_rng(0).random((50, 2)) < 0.5
    once, again, other = (replicates(hits, seed=seed, resamples=20) for seed in (1, 1, 2))
    assert np.array_equal(once, again)
    assert not np.array_equal(once, other)
    with pytest.raises(ValueError, match="no questions"):
        replicates(np.zeros((0, 1)))


def test_captions_of_a_photo_are_drawn_together() -> None:
    """Two photos, one always and one never found: a draw knows only 0, 50 or 100 percent."""
    ranks = Ranks(np.array([1, 1, MISSED, MISSED]), np.array([1, MISSED]))
    drawn = resampled(ranks, [0, 0, 1, 1], resamples=500)
    assert set(np.unique(drawn)) == {0, 50, 100}
    ways, mean = intervals(ranks, [0, 0, 1, 1])
    assert list(ways) == ["text_to_image", "image_to_text"]
    assert ways["text_to_image"]["R@1"] == mean == (0, 100)
