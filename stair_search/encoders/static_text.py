"""Text to tokens by table look-up: the words of a question, weighed and expanded. numpy alone.

    q = relu(sum over the text's distinct tokens t of row[t]),   its k strongest that are no mere
    trace beside the strongest, at length 1

row[t] is sparse: t's own weight and what t implies ("puppy" -> puppy, dog, small, ...). An entry
may be negative. Tokens without a row (stop words, punctuation) say nothing. Order and repetition of
words are not seen.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stair_search.errors import ModelError
from stair_search.tokens import TokenWeights

from .wordpiece import WordPiece

LEAST_SUM = 1e-6
"""What is left where entries cancel is no token."""


class StaticText:
    """The table as compressed sparse rows.

    starts: int32 [V + 1]; row t is entries starts[t] to starts[t + 1].
    ids: uint16 or int32 [entries]; weights: float16 [entries].
    """

    def __init__(
        self,
        wordpiece: WordPiece,
        starts: NDArray[np.int32],
        ids: NDArray[np.integer],
        weights: NDArray[np.floating],
        top_k: int | None,
        ratio: float,
    ) -> None:
        self._wordpiece = wordpiece
        self._starts = starts
        self._ids = ids.astype(np.intp)
        self._weights = weights.astype(np.float32)
        self._top_k, self._ratio = top_k, ratio

    @classmethod
    def from_file(
        cls, path: Path, wordpiece: WordPiece, top_k: int | None, ratio: float
    ) -> StaticText:
        """Reads `text.npz`. Raises ModelError, also where it does not fit the vocabulary."""
        try:
            with np.load(path, allow_pickle=False) as table:
                starts, ids, weights = table["starts"], table["ids"], table["weights"]
        except (OSError, ValueError, KeyError, EOFError, zlib.error, zipfile.BadZipFile) as error:
            raise ModelError(f"{path} is no text table: {error!r}") from None
        _check(path, starts, ids, weights, wordpiece.size)
        return cls(wordpiece, starts, ids, weights, top_k, ratio)

    def encode_batch(self, texts: Sequence[str]) -> list[TokenWeights]:
        return [self.encode(text) for text in texts]

    def encode(self, text: str) -> TokenWeights:
        """At most `top_k` tokens, none below `ratio` of the strongest, at Euclidean length 1.

        None at all for a text that says nothing.
        """
        starts = self._starts
        # sorted: the last bit of a sum must follow from the words alone
        rows = [slice(starts[t], starts[t + 1]) for t in sorted(set(self._wordpiece.encode(text)))]
        if not rows:
            return TokenWeights.empty()
        ids = np.concatenate([self._ids[row] for row in rows])
        if not len(ids):
            return TokenWeights.empty()
        total = np.bincount(ids, np.concatenate([self._weights[row] for row in rows]))
        left = np.flatnonzero(total > LEAST_SUM)
        tokens = TokenWeights(left, total[left])
        return tokens.prune(top_k=self._top_k, ratio=self._ratio).unit()


def _check(
    path: Path,
    starts: NDArray[np.int32],
    ids: NDArray[np.integer],
    weights: NDArray[np.floating],
    vocabulary: int,
) -> None:
    """Raises ModelError unless the three fit each other and the vocabulary."""
    whole = all(np.issubdtype(one.dtype, np.integer) for one in (starts, ids))
    if not whole or not np.issubdtype(weights.dtype, np.floating):
        wrong = f"types {starts.dtype}, {ids.dtype}, {weights.dtype}"
    elif starts.shape != (vocabulary + 1,) or ids.ndim != 1 or ids.shape != weights.shape:
        wrong = f"shapes {starts.shape}, {ids.shape}, {weights.shape}"
    elif starts[0] != 0 or starts[-1] != len(ids) or (np.diff(starts) < 0).any():
        wrong = "starts that are no rows"
    elif len(ids) and (ids.min() < 0 or ids.max() >= vocabulary):
        wrong = f"ids up to {ids.max()}"
    elif not np.isfinite(weights).all():
        wrong = "weights that are no numbers"
    else:
        return
    raise ModelError(f"{path} is no text table over a vocabulary of {vocabulary}: {wrong}")
