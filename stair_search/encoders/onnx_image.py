"""Photo to tokens on ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stair_search.errors import ModelError
from stair_search.pixels import MISSING
from stair_search.tokens import TokenWeights

from .session import check_ids, device_of, open_session, strongest


class OnnxImages:
    """A session over `image.onnx`. threads, device: see `open_session`."""

    def __init__(
        self,
        path: Path,
        size: int,
        top_k: int | None,
        vocabulary: int,
        threads: int | None = None,
        device: str | None = None,
    ) -> None:
        self._session: Any = open_session(
            path, ["pixels"], threads=threads, device=device, missing=MISSING
        )
        shape = self._session.get_inputs()[0].shape
        if list(shape[1:]) != [size, size, 3]:
            raise ModelError(f"{path} takes {shape}, not [n, {size}, {size}, 3] as model.json says")
        self.device = device_of(self._session)
        self._path, self._top_k, self._vocabulary = path, top_k, vocabulary
        self._checked = False

    def encode(self, pixels: NDArray[np.uint8]) -> list[TokenWeights]:
        """uint8 [n, S, S, 3] to n TokenWeights of at most `top_k` tokens at Euclidean length 1."""
        weights, ids = self._session.run(["weights", "ids"], {"pixels": pixels})
        if not self._checked:
            check_ids(self._path, ids, weights.shape[1], self._vocabulary)
            self._checked = True
        return strongest(weights, ids, self._top_k)
