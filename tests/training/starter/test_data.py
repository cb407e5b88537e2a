"""Figures during training against those that are reported; losses against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from stair_search.evaluation import retrieval

pytestmark = pytest.mark.train


def test_mean_recall_is_the_reported_one() -> None:
    import torch

    from stair_search.training.starter.data import mean_recall

    chance = np.random.default_rng(5)
    owner = np.sort(np.concatenate([np.arange(40), chance.integers(40, size=60)]))
    scores = chance.normal(size=(40, 100)).astype(np.float32)
    scores[owner, np.arange(100)] += 1.5
    forth = retrieval.recalls(np.argsort(-scores.T, axis=1).tolist(), [{int(i)} for i in owner])
    own = [set(np.flatnonzero(owner == i).tolist()) for i in range(40)]
    back = retrieval.recalls(np.argsort(-scores, axis=1).tolist(), own)
    expected = retrieval.mean_recall(forth, back)
    assert mean_recall(torch.tensor(scores), owner) == pytest.approx(expected)


def test_the_teacher_that_is_certain_is_the_truth() -> None:
    import torch

    from stair_search.training.starter.data import contrastive, soft_contrastive

    logits = torch.randn(6, 6, generator=torch.Generator().manual_seed(0))
    certain = 1000 * torch.eye(6)
    assert soft_contrastive(logits, certain) == pytest.approx(float(contrastive(logits)), abs=1e-4)


def test_only_the_strongest_stay() -> None:
    import torch

    from stair_search.training.starter.sparse import strongest

    x = torch.tensor([[3.0, 1.0, 2.0, 0.0]])
    assert strongest(x, 2).tolist() == [[3, 0, 2, 0]]
    assert strongest(x, 9) is x
