"""Weighted vocabulary tokens: the one currency of the project.

A photo and a question both become `TokenWeights`. This module knows numbers only; names of tokens
live in `vocabulary`, storage in `engines`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ids = NDArray[np.int32]
Weights = NDArray[np.float32]


def truncate(weights: ArrayLike) -> Weights:
    """Weights as an inverted index keeps them: float32 cut (not rounded) to 9 significant bits.

    Lucene's FeatureField stores `floatToIntBits(w) >>> 15`, so every engine built on it scores with
    this value. The embedded engine does the same, so that scores agree.

    >>> float(truncate(1.2))
    1.19921875
    """
    bits = np.asarray(weights, dtype=np.float32).view(np.uint32) & np.uint32(0xFFFF8000)
    return bits.view(np.float32)


@dataclass(frozen=True, slots=True, eq=False, init=False)
class TokenWeights:
    """Token ids and their weights, sorted by id.

    ids: int32 [k], unique, >= 0. weights: float32 [k], finite and >= the smallest normal float32
    (an inverted index refuses anything less).

    >>> TokenWeights([2003, 1996], [0.5, 1.2])
    Traceback (most recent call last):
    ValueError: token ids must rise: id 1996 at place 1 follows 2003
    """

    ids: Ids
    weights: Weights

    def __init__(self, ids: ArrayLike, weights: ArrayLike) -> None:
        ids, weights = _ids(ids), _weights(weights)
        if ids.shape != weights.shape or ids.ndim != 1:
            raise ValueError(
                f"ids and weights must be two lists of one length: "
                f"shapes {ids.shape} and {weights.shape}"
            )
        if len(ids) and ids[0] < 0:
            raise ValueError(f"token id {ids[0]} is negative")
        falls = np.flatnonzero(np.diff(ids) <= 0)
        if len(falls):
            at = int(falls[0]) + 1
            raise ValueError(
                f"token ids must rise: id {ids[at]} at place {at} follows {ids[at - 1]}"
            )
        ids.setflags(write=False)
        weights.setflags(write=False)
        object.__setattr__(self, "ids", ids)
        object.__setattr__(self, "weights", weights)

    @classmethod
    def empty(cls) -> TokenWeights:
        return cls(np.empty(0, np.int32), np.empty(0, np.float32))

    @classmethod
    def from_dense(cls, vector: ArrayLike) -> TokenWeights:
        """From one weight per vocabulary token, float [V]; zeros are left out.

        >>> TokenWeights.from_dense([0, 0.5, 0, 2]).ids
        array([1, 3], dtype=int32)
        """
        dense = np.asarray(vector, dtype=np.float32)
        ids = np.flatnonzero(dense)
        return cls(ids.astype(np.int32), dense[ids])

    def __len__(self) -> int:
        return len(self.ids)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TokenWeights):
            return NotImplemented
        return np.array_equal(self.ids, other.ids) and np.array_equal(self.weights, other.weights)

    __hash__ = None  # type: ignore[assignment]  # arrays inside

    def prune(
        self, top_k: int | None = None, ratio: float | None = None, mass: float | None = None
    ) -> TokenWeights:
        """The strongest tokens: at most `top_k`, none below `ratio` x the largest weight, and of
        those the fewest that hold `mass` (a share, 0 to 1) of their summed weight.

        Of equal weights the smaller id stays, so that the same input always gives the same answer.
        """
        order = self.order()
        if ratio is not None:
            _share("ratio", ratio)
            order = order[self.weights[order] >= ratio * self.weights.max(initial=0)]
        if mass is not None:
            _share("mass", mass)
            held = np.cumsum(self.weights[order], dtype=np.float64)
            # the first place at which the mass is reached stays
            order = order[: int(np.searchsorted(held, mass * held[-1:].sum())) + 1]
        if top_k is not None:
            if top_k < 0:
                raise ValueError(f"top_k must be 0 or more, not {top_k}")
            order = order[:top_k]
        keep = np.sort(order)
        return TokenWeights(self.ids[keep], self.weights[keep])

    def order(self) -> NDArray[np.intp]:
        """Places of the tokens, the strongest first, of equal weights the smaller id."""
        return np.lexsort((self.ids, -self.weights))

    def scale(self, factor: float) -> TokenWeights:
        """Every weight times a positive factor."""
        if not (np.isfinite(factor) and factor > 0):
            raise ValueError(f"a factor must be finite and positive, not {factor}")
        return TokenWeights(self.ids, self.weights * np.float32(factor))

    def unit(self) -> TokenWeights:
        """Scaled to Euclidean length 1; no tokens stay no tokens."""
        length = float(np.linalg.norm(self.weights.astype(np.float64)))
        return self.scale(1 / length) if length else self

    def add(self, other: TokenWeights) -> TokenWeights:
        """Sum over the union of the tokens."""
        ids, place = np.unique(np.concatenate([self.ids, other.ids]), return_inverse=True)
        both = np.concatenate([self.weights, other.weights]).astype(np.float64)
        return TokenWeights(ids, np.bincount(place, both, len(ids)).astype(np.float32))

    def dot(self, other: TokenWeights) -> float:
        """Inner product in double precision; see `engines` for the product as an engine scores."""
        _, mine, theirs = np.intersect1d(
            self.ids, other.ids, assume_unique=True, return_indices=True
        )
        return float(
            self.weights[mine].astype(np.float64) @ other.weights[theirs].astype(np.float64)
        )

    def quantise(self) -> TokenWeights:
        """With the weights that an engine will score with, see `truncate`."""
        return TokenWeights(self.ids, truncate(self.weights))

    def __reduce__(self) -> tuple[Any, ...]:
        return (TokenWeights, (self.ids, self.weights))


def _ids(values: ArrayLike) -> Ids:
    raw = np.asarray(values)
    if raw.size and raw.dtype.kind not in "iu":
        raise ValueError(f"token ids must be whole numbers, not {raw.dtype}: {raw.flat[0]!r}")
    if raw.size and raw.max() > np.iinfo(np.int32).max:
        raise ValueError(f"token id {raw.max()} is beyond 32 bits")
    return raw.astype(np.int32)


def _weights(values: ArrayLike) -> Weights:
    raw = np.asarray(values)
    if raw.size and raw.dtype.kind not in "iuf":
        raise ValueError(f"weights must be numbers, not {raw.dtype}: {raw.flat[0]!r}")
    with np.errstate(over="ignore"):
        weights = raw.astype(np.float32)
    bad = np.flatnonzero(~(np.isfinite(weights) & (weights >= np.finfo(np.float32).tiny)))
    if len(bad):
        raise ValueError(
            f"a weight must be finite and positive (>= 1.2e-38), not {raw.flat[bad[0]]} "
            f"at place {bad[0]}"
        )
    return weights


def _share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is a share from 0 to 1, not {value}")
