"""Photo to tokens on ONNX Runtime.

onnxruntime and pillow are imported on first use: an application server that only asks questions
has neither.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stair_search.errors import ModelError
from stair_search.tokens import TokenWeights

if TYPE_CHECKING:
    from PIL.Image import Image

_MISSING = "photos need {}: pip install 'stair-search[starter]'"


def prepare_image(image: Image, size: int) -> NDArray[np.uint8]:
    """An upright RGB photo as uint8 [size, size, 3], its shape not kept.

    The tower's features were taken in the same way in training: change one, and the other is wrong.
    """
    try:
        from PIL.Image import Resampling
    except ImportError as error:
        raise ModelError(_MISSING.format("pillow")) from error
    # reducing_gap: a large photo is first averaged by whole numbers, several times as fast and
    # hardly to be told from plain bicubic at 3
    return np.asarray(image.resize((size, size), Resampling.BICUBIC, reducing_gap=3.0))


class OnnxImages:
    """A session over `image.onnx`. threads: of ONNX Runtime, None for all cores."""

    def __init__(self, path: Path, top_k: int, threads: int | None = None) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise ModelError(_MISSING.format("onnxruntime")) from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # threads that wait for work sleep: spinning takes the cores from decoding
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's own exceptions have no common base
            raise ModelError(f"{path} is no model that ONNX Runtime can run: {error}") from None
        self._top_k = top_k

    def encode(self, pixels: NDArray[np.uint8]) -> list[TokenWeights]:
        """uint8 [n, S, S, 3] to n TokenWeights of at most `top_k` tokens at Euclidean length 1."""
        weights, ids = self._session.run(["weights", "ids"], {"pixels": pixels})
        found = []
        for row in weights:
            active = np.flatnonzero(row > 0)
            found.append(TokenWeights(ids[active], row[active]).prune(top_k=self._top_k).unit())
        return found
