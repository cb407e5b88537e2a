"""How sparse a model is, and what that costs an inverted index.

- active tokens: how many weights of a photo or text are above zero; mean, median, most, histogram
- expected FLOPs of a question and a photo drawn at random (Paria et al. 2020; SPLADE's "FLOPS"):
  Σ_v P(q_v > 0) · P(d_v > 0), the mean number of products that a score is a sum of
- dead tokens: never active on any photo (text); of all tokens of the vocabulary
- tokens on nearly all photos: they say nothing, and their posting lists are the longest
- how evenly tokens are used: the share of all active weights that the hundred most used tokens hold
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stair_search.vocabulary import Vocabulary

from .vectors import Vectors, is_sparse

UBIQUITOUS = 0.5
"""From this share of photos on a token is told."""

BINS = (0, 1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024, 2048, 4096)
TOLD = 20
MOST_USED = 100


class Side(NamedTuple):
    """One side, photos or texts. active: int64 [n]; share: float64 [V], of rows with the token."""

    active: NDArray[np.int64]
    share: NDArray[np.float64]

    def to_dict(self) -> dict[str, Any]:
        """histogram: number of rows with at least `from` active tokens, and fewer than the next."""
        edges = [*BINS, np.inf]
        counts = np.histogram(self.active, edges)[0].tolist()
        used = np.sort(self.share)[::-1]
        total = float(used.sum())
        return {
            "rows": len(self.active),
            "mean": float(self.active.mean()),
            "median": float(np.median(self.active)),
            "most": int(self.active.max()),
            "empty": int((self.active == 0).sum()),
            "dead": int((self.share == 0).sum()),
            "alive": int((self.share > 0).sum()),
            "share_of_most_used": 100 * float(used[:MOST_USED].sum()) / total if total else 0.0,
            "histogram": [
                {"from": low, "rows": count}
                for low, count in zip(BINS, counts, strict=True)
                if count
            ],
        }


class Sparsity(NamedTuple):
    """Both sides of a model, on the same photos and texts."""

    images: Side
    texts: Side

    @property
    def flops(self) -> float:
        """Σ_v P(q_v > 0) · P(d_v > 0)."""
        return float(self.images.share @ self.texts.share)

    def ubiquitous(self, vocabulary: Vocabulary) -> dict[str, float]:
        """Tokens on at least UBIQUITOUS of the photos, with their share in percent; most first."""
        order = np.argsort(-self.images.share, kind="stable")[:TOLD]
        return {
            vocabulary.token(int(i)): 100 * float(self.images.share[i])
            for i in order
            if self.images.share[i] >= UBIQUITOUS
        }

    def to_dict(self, vocabulary: Vocabulary) -> dict[str, Any]:
        """As `evaluate sparsity` prints it."""
        return {
            "images": self.images.to_dict(),
            "texts": self.texts.to_dict(),
            "flops": self.flops,
            "ubiquitous": self.ubiquitous(vocabulary),
        }


def sparsity(images: Vectors, texts: Vectors) -> Sparsity:
    """images, texts: [n, V] and [m, V], sparse; or float arrays of weights with zeros.

    >>> found = sparsity(np.array([[1, 0, 2.0], [1, 0, 0]]), np.array([[0, 0, 1.0]]))
    >>> found.flops, found.images.active.tolist()
    (0.5, [2, 1])
    """
    return Sparsity(_side(images), _side(texts))


def _side(vectors: Vectors) -> Side:
    if not vectors.shape[0]:
        raise ValueError("sparsity of nothing")
    active = vectors > 0
    if is_sparse(active):
        by_row, by_token = (
            np.diff(active.indptr),
            np.bincount(active.indices, minlength=active.shape[1]),
        )
    else:
        by_row, by_token = active.sum(1), active.sum(0)
    return Side(by_row.astype(np.int64), by_token / vectors.shape[0])
