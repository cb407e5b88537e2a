"""What all stages train on, as tensors. Axes: n photos, m captions, f features, i input tokens."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray


class Examples(NamedTuple):
    """views: standardised features float32 [n, f], one tensor a view, the plain one first.

    bag: float32 [m, i]; sentences: float32 [m, 384]; owner: int64 [m], a caption's photo.
    """

    views: list[torch.Tensor]
    bag: torch.Tensor
    sentences: torch.Tensor
    owner: NDArray[np.int64]


class Batches:
    """Random batches: photos, for each a random caption and view."""

    def __init__(self, data: Examples, size: int, seed: int) -> None:
        self._data = data
        self._size = min(size, len(data.views[0]))
        self._random = np.random.default_rng(seed)
        order = np.argsort(data.owner, kind="stable")
        self._captions = np.split(order, np.cumsum(np.bincount(data.owner))[:-1])

    def __len__(self) -> int:
        return len(self._captions) // self._size

    def epoch(self) -> list[tuple[torch.Tensor, NDArray[np.int64], NDArray[np.int64]]]:
        """(features [b, f], photos [b], captions [b]), each photo at most once."""
        random, found = self._random, []
        order = random.permutation(len(self._captions))
        for at in range(len(self)):
            photos = order[at * self._size : (at + 1) * self._size]
            captions = np.array([random.choice(self._captions[photo]) for photo in photos])
            view = self._data.views[random.integers(len(self._data.views))]
            found.append((view[photos], photos, captions))
        return found
