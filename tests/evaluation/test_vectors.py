from __future__ import annotations

import numpy as np
import pytest

from stair_search.evaluation import vectors
from stair_search.evaluation.vectors import similarity, stack, take, unit

from .conftest import sparse_rows


def test_sparse_and_dense_forms_of_the_same_rows_are_equally_similar(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chance = np.random.default_rng(1)
    rows, others = sparse_rows(chance, 9, 12), sparse_rows(chance, 7, 12)
    left, right = stack(rows, 12), stack(others, 12)
    dense = left.toarray().astype(np.float64), right.toarray().astype(np.float64)
    for cosine in (True, False):
        a, b = (
            x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-30) if cosine else x
            for x in dense
        )
        monkeypatch.setattr(vectors, "BLOCK", 4 * 7 * 2)  # two rows at a time
        blocks = list(similarity(left, right, cosine))
        assert [rows.stop - rows.start for rows, _ in blocks] == [2, 2, 2, 2, 1]
        np.testing.assert_allclose(np.concatenate([s for _, s in blocks]), a @ b.T, rtol=1e-5)
        found = similarity(left.toarray(), right.toarray(), cosine)
        np.testing.assert_allclose(np.concatenate([s for _, s in found]), a @ b.T, atol=1e-5)


def test_rows_without_anything_stay_so() -> None:
    assert unit(np.zeros((2, 3), np.float32)).tolist() == [[0, 0, 0], [0, 0, 0]]
    empty = stack([], 5)
    assert empty.shape == (0, 5)
    some = stack(sparse_rows(np.random.default_rng(0), 4, 5), 5)
    assert take(some, [2, 0]).toarray().tolist() == some.toarray()[[2, 0]].tolist()


def test_what_cannot_be_compared_is_refused() -> None:
    dense = np.ones((2, 3), np.float32)
    with pytest.raises(ValueError, match=r"two kinds: dense .* and sparse"):
        list(similarity(dense, stack([], 3)))
    with pytest.raises(ValueError, match="not finite"):
        stack(np.array([[1, np.nan]], np.float32), 2)
    with pytest.raises(ValueError, match=r"\[n, d\]"):
        stack(np.ones(3, np.float32), 3)
