"""The table that ships: what each token of a question asks for.

A token that the training's captions hold has its trained row, its strongest entries. Another word
asks for what means something alike, and is named itself, hardly counted: a question of nothing
else shows that it was read. Words that photos carry by the names of ImageNet's classes are asked
for by themselves and by words of nearly the same meaning.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from stair_search.models.dual_encoder import DualEncoder
from stair_search.models.words import is_word, says

from ..export.tables import Rows

OFTEN = 8
"""Captions that hold a token."""

ENTRIES = {"often": 512, "seen": 128, "unseen": 24}
"""Of a row. With 128 for all, mR on Flickr8k's validation photos was 0.9 lower than with all
entries, with 512 0.2."""

ALIKE, NEAR = 0.35, 0.65
"""Cosine of two tokens' vectors from which they mean something alike, or nearly the same."""

OUTSIDE = 0.05
AT_ONCE = 512


def starter_rows(
    model: DualEncoder,
    vectors: NDArray[np.float32],
    captions: NDArray[np.int64],
    classes: NDArray[np.int64],
) -> Rows:
    """vectors: [v, 384], of tokens as published, centred, at length 1; captions: [v], how many
    hold a token; classes: ids that photos carry beside the model's outputs.
    """
    table = model.text_table
    assert table is not None and model.outputs is not None and table.vectors is not None
    outputs = model.outputs.numpy()
    seen = captions > 0
    carried = np.zeros(len(seen), np.bool_)
    carried[outputs] = carried[classes] = True
    own = functional.softplus(table.own.detach()).numpy()
    usual = float(own[outputs].mean())
    ids: list[NDArray[np.int64]] = []
    weights: list[NDArray[np.float32]] = []
    lengths = np.zeros(len(seen), np.int64)
    for at in range(0, len(seen), AT_ONCE):
        part = np.arange(at, min(at + AT_ONCE, len(seen)))
        with torch.no_grad():
            rows = table.dense_rows(torch.from_numpy(part)).numpy()
        alike, near = vectors[part] @ vectors[outputs].T, vectors[part] @ vectors[classes].T
        for token, row, close, class_ in zip(part.tolist(), rows, alike, near, strict=True):
            name = model.tokens[token]
            whole = is_word(name) and not name.startswith("##")
            if not (says(name) if seen[token] else whole):
                continue
            if not seen[token]:
                row = np.where(close >= ALIKE, row, row.clip(max=0))
            kind = "often" if captions[token] >= OFTEN else "seen" if seen[token] else "unseen"
            entries = _strongest(outputs, row, ENTRIES[kind])
            if whole:
                for column in np.flatnonzero(class_ >= NEAR):
                    entries[int(classes[column])] = usual * float(class_[column])
                if not carried[token]:
                    entries[token] = OUTSIDE
            order = np.array(sorted(entries))
            ids.append(order)
            weights.append(np.array([entries[i] for i in order.tolist()], np.float32))
            lengths[token] = len(order)
    return Rows(
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32),
        np.concatenate(ids).astype(np.int32),
        np.concatenate(weights),
    )


def _strongest(ids: NDArray[np.int64], row: NDArray[np.float32], most: int) -> dict[int, float]:
    """The `most` largest entries, of either sign."""
    kept = np.argsort(-np.abs(row), kind="stable")[:most]
    return {int(ids[i]): float(row[i]) for i in kept if abs(row[i]) >= 1e-3}
