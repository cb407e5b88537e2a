"""Figures during training against those that are reported; losses against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from stair_search.evaluation import retrieval

pytestmark = pytest.mark.train


def test_mean_recall_is_the_reported_one() -> None:
    chance = np.random.default_rng(5)
    owner = np.sort(np.concatenate([np.arange(40), chance.integers(40, size=60)]))
    scores = chance.normal(size=(40, 100)).astype(np.float32)
    scores[owner, np.arange(100)] += 1.5
    forth = retrieval.recalls(np.argsort(-scores.T, axis=1).tolist(), [{int(i)} for i in owner])
    own = [set(np.flatnonzero(owner == i).tolist()) for i in range(40)]
    back = retrieval.recalls(np.argsort(-scores, axis=1).tolist(), own)
    expected = retrieval.mean_recall(forth, back)
    right = owner[None, :] == np.arange(40)[:, None]
    found = [
        retrieval.Recalls.of(retrieval.best_ranks(*both))
        for both in ((scores.T, right.T), (scores, right))
    ]
    assert retrieval.mean_recall(*found) == pytest.approx(expected)


def test_the_teacher_that_is_certain_is_the_truth() -> None:
    import torch

    from stair_search.training.losses import Scores, contrastive, distillation

    logits = torch.randn(6, 6, generator=torch.Generator().manual_seed(0))
    of, certain = Scores(logits, logits.T, 0), Scores(1000 * torch.eye(6), 1000 * torch.eye(6), 0)
    assert distillation(of, certain) == pytest.approx(float(contrastive(of)), abs=1e-4)


def test_only_the_strongest_stay() -> None:
    import torch

    from stair_search.models.token_head import strongest

    x = torch.tensor([[3.0, 1.0, 2.0, 0.0]])
    assert strongest(x, 2).tolist() == [[3, 0, 2, 0]]
    assert strongest(x, 9) is x
