"""TokenWeights keep their promises, and refuse what an inverted index would refuse."""

import pickle

import numpy as np
import pytest

from stair_search.tokens import TokenWeights, truncate


def test_truncation_is_lucenes() -> None:
    # worked by hand: float32 bits of 1.2 are 0x3f99999a, cut to 0x3f998000
    assert float(truncate(1.2)) == 1.19921875
    assert float(truncate(1.0)) == 1.0
    rng = np.random.default_rng(0)
    weights = rng.lognormal(0, 3, 10_000).astype(np.float32)
    cut = truncate(weights)
    assert (cut <= weights).all()
    assert ((weights - cut) / weights).max() < 2**-8
    assert (truncate(cut) == cut).all()


@pytest.mark.parametrize(
    ("ids", "weights", "shown"),
    [
        ([2, 1], [1.0, 1.0], "id 1 at place 1 follows 2"),
        ([1, 1], [1.0, 1.0], "id 1 at place 1 follows 1"),
        ([-3], [1.0], "-3 is negative"),
        ([1.5], [1.0], "1.5"),
        ([2**31], [1.0], "2147483648"),
        ([1], [0.0], "not 0.0 at place 0"),
        ([1, 2], [1.0, -0.25], "not -0.25 at place 1"),
        ([1], [float("nan")], "not nan at place 0"),
        ([1], [float("inf")], "not inf at place 0"),
        ([1], [1e39], "not 1e\\+39 at place 0"),
        ([1], [1e-39], "not 1e-39 at place 0"),
        ([1], ["dog"], "dog"),
        ([1, 2], [1.0], r"\(2,\) and \(1,\)"),
        ([[1]], [[1.0]], r"\(1, 1\)"),
    ],
)
def test_bad_values_are_refused_and_shown(ids: object, weights: object, shown: str) -> None:
    with pytest.raises(ValueError, match=shown):
        TokenWeights(ids, weights)  # type: ignore[arg-type]


def test_they_cannot_be_changed_behind_ones_back() -> None:
    given = np.array([1.0, 2.0], np.float32)
    tokens = TokenWeights([1, 2], given)
    given[0] = 9
    assert tokens.weights[0] == 1
    with pytest.raises(ValueError, match="read-only"):
        tokens.weights[0] = 3


def test_prune() -> None:
    tokens = TokenWeights([1, 2, 3, 4], [4.0, 1.0, 3.0, 1.0])
    assert tokens.prune(top_k=2).ids.tolist() == [1, 3]
    assert tokens.prune(top_k=3).ids.tolist() == [1, 2, 3]  # of equals the smaller id
    assert tokens.prune(top_k=0) == TokenWeights.empty()
    assert tokens.prune(ratio=0.5).ids.tolist() == [1, 3]
    assert tokens.prune(mass=0.5).ids.tolist() == [1, 3]
    assert tokens.prune(mass=4 / 9).ids.tolist() == [1]
    assert tokens.prune(mass=1.0) == tokens
    assert tokens.prune() == tokens
    assert TokenWeights.empty().prune(top_k=3, ratio=0.5, mass=0.5) == TokenWeights.empty()
    for wrong in ({"ratio": 1.5}, {"mass": -0.1}, {"top_k": -1}):
        with pytest.raises(ValueError, match="not"):
            tokens.prune(**wrong)


def test_arithmetic_agrees_with_dense_vectors() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        a, b = (rng.random(40) * (rng.random(40) < 0.4) for _ in range(2))
        one, two = TokenWeights.from_dense(a), TokenWeights.from_dense(b)
        one32, two32 = a.astype(np.float32), b.astype(np.float32)
        assert one.add(two) == TokenWeights.from_dense(one32.astype(float) + two32.astype(float))
        assert one.dot(two) == pytest.approx(float(one32.astype(float) @ two32.astype(float)))
        assert one.scale(2.5) == TokenWeights.from_dense(one32 * np.float32(2.5))
        assert np.linalg.norm(one.unit().weights) == pytest.approx(1, abs=1e-6)
        assert one.quantise() == TokenWeights.from_dense(truncate(one32))


def test_no_tokens_are_harmless() -> None:
    none, one = TokenWeights.empty(), TokenWeights([7], [2.0])
    assert len(none) == 0 and none.unit() == none and none.dot(one) == 0 and none.add(one) == one


@pytest.mark.parametrize("factor", [0, -1, float("nan"), float("inf")])
def test_bad_factors(factor: float) -> None:
    with pytest.raises(ValueError, match="factor"):
        TokenWeights([1], [1.0]).scale(factor)


def test_pickle() -> None:
    tokens = TokenWeights([1, 5], [0.5, 0.25])
    assert pickle.loads(pickle.dumps(tokens)) == tokens
