"""One currency for sparse and dense models, and their similarity in blocks.

    sparse: n TokenWeights -> scipy csr_array float32 [n, V]
    dense:  float32 [n, d]

Axes: n, m rows · V vocabulary · d dimensions. SciPy is imported only where sparse rows are made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stair_search.tokens import TokenWeights

from .protocols import Encoded

Vectors: TypeAlias = Any
"""float32 [n, d], or scipy's csr_array [n, V] (SciPy is opaque to the type checker)."""

BLOCK = 64 * 2**20
"""Bytes that a block of similarities may take."""


def stack(encoded: Encoded, width: int) -> Vectors:
    """What an encoder returned, as one matrix. width: V, the number of tokens of the vocabulary.

    >>> stack([TokenWeights([1], [2.0]), TokenWeights.empty()], 3).toarray().tolist()
    [[0.0, 2.0, 0.0], [0.0, 0.0, 0.0]]

    Raises ValueError for dense values that are not finite, and for another shape.
    """
    if isinstance(encoded, np.ndarray):
        if encoded.ndim != 2:
            raise ValueError(f"dense vectors come as [n, d], not {list(encoded.shape)}")
        bad = np.flatnonzero(~np.isfinite(encoded).all(1))
        if len(bad):
            raise ValueError(f"row {bad[0]} of {len(encoded)} dense vectors is not finite")
        return np.ascontiguousarray(encoded, np.float32)
    from scipy.sparse import csr_array

    starts = np.cumsum([0, *map(len, encoded)])
    empty: Any = TokenWeights.empty()
    rows = [*encoded, empty]
    ids = np.concatenate([row.ids for row in rows])
    weights = np.concatenate([row.weights for row in rows])
    return csr_array((weights, ids, starts), shape=(len(encoded), width))


def is_sparse(vectors: Vectors) -> bool:
    return not isinstance(vectors, np.ndarray)


def take(vectors: Vectors, rows: Sequence[int] | NDArray[np.integer]) -> Vectors:
    """These rows."""
    return vectors[np.asarray(rows, np.intp)]


def unit(vectors: Vectors) -> Vectors:
    """Every row at Euclidean length 1; a row of zeros stays one."""
    if not is_sparse(vectors):
        length = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
        return (vectors / np.where(length > 0, length, 1)).astype(np.float32)
    from scipy.sparse import csr_array

    counts = np.diff(vectors.indptr)
    rows = np.repeat(np.arange(len(counts)), counts)
    squares = np.bincount(rows, vectors.data.astype(np.float64) ** 2, len(counts))
    data = (vectors.data / np.sqrt(squares)[rows]).astype(np.float32)
    return csr_array((data, vectors.indices, vectors.indptr), shape=vectors.shape)


def similarity(
    left: Vectors, right: Vectors, cosine: bool = True
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Blocks of left's rows against all of right: (rows, float32 [rows, m]), cosine or dot.

    The whole [n, m] never exists. Raises ValueError where the two are of different kinds or widths.
    """
    if is_sparse(left) != is_sparse(right) or left.shape[1] != right.shape[1]:
        raise ValueError(
            f"vectors of two kinds: {_describe(left)} and {_describe(right)}; "
            "photos and texts must come from one model"
        )
    if cosine:
        left, right = unit(left), unit(right)
    across = right.T.tocsr() if is_sparse(right) else right.T
    step = max(1, BLOCK // (4 * max(1, right.shape[0])))
    for start in range(0, left.shape[0], step):
        rows = slice(start, min(start + step, left.shape[0]))
        block = left[rows] @ across
        yield rows, block.toarray() if is_sparse(block) else block


def _describe(vectors: Vectors) -> str:
    return f"{'sparse' if is_sparse(vectors) else 'dense'} {list(vectors.shape)}"
