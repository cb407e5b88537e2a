"""What is measured: an encoder whose photos and texts are sparse or dense.

`stair_search.encoders.load_encoder` gives either. Nobody asks an encoder which kind it is: what its
`encode_…` return says so (see `vectors`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stair_search.tokens import TokenWeights
from stair_search.vocabulary import Vocabulary

if TYPE_CHECKING:
    from typing_extensions import TypeIs  # in typing from Python 3.13 on

Encoded: TypeAlias = Sequence[TokenWeights] | NDArray[np.float32]
"""Photos or texts as a model gives them: n TokenWeights, or float32 [n, d]."""


class _Photos(Protocol):
    @property
    def fingerprint(self) -> str: ...

    @property
    def vocabulary(self) -> Vocabulary: ...

    @property
    def text_encoder(self) -> str:
        """Which of its text encoders answers: "static" (a table), "neural" or "mask"."""

    def prepare_image(self, image: Any) -> NDArray[np.uint8]:
        """An upright RGB photo (PIL) to uint8 [s, s, 3]."""


class SparseEncoder(_Photos, Protocol):
    """A STAIR model: weighted tokens of its vocabulary."""

    def encode_images(self, batch: NDArray[np.uint8]) -> Sequence[TokenWeights]: ...

    def encode_texts(self, texts: Sequence[str], prompted: bool = ...) -> Sequence[TokenWeights]:
        """prompted: with the model's prompt, if it has one, before each text; by default True."""


class DenseEncoder(_Photos, Protocol):
    """A CLIP model: float32 [n, d], compared by cosine. Its vocabulary is its text tower's."""

    def encode_images(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]: ...

    def encode_texts(self, texts: Sequence[str], prompted: bool = ...) -> NDArray[np.float32]:
        """prompted: see `SparseEncoder`."""


Encoder: TypeAlias = SparseEncoder | DenseEncoder


def is_dense(encoder: Encoder) -> TypeIs[DenseEncoder]:
    """Whether its texts, and so its photos, are dense vectors."""
    return isinstance(encoder.encode_texts(["a"]), np.ndarray)
