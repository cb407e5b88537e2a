"""`load_encoder`: a model by its name, and what it can do."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stair_search.tokens import TokenWeights
from stair_search.vocabulary import Vocabulary

from .folder import ModelFolder, open_folder
from .onnx_image import OnnxImages, prepare_image
from .static_text import StaticText
from .wordpiece import WordPiece

if TYPE_CHECKING:
    from PIL.Image import Image


def load_encoder(name: str = "starter", threads: int | None = None) -> Encoder:
    """A model that comes with the package, by name, or the model in a folder, by path.

    threads: for photos, None for all cores. Raises ModelError, with the known names.
    """
    return Encoder(open_folder(name), threads)


class Encoder:
    """Photos and texts to tokens of one vocabulary; their inner product says how well two fit.

    All that comes out has Euclidean length 1. A file of the model is read when it is first needed.
    Can be pickled: only the model's place travels.
    """

    def __init__(self, folder: ModelFolder, threads: int | None = None) -> None:
        self._folder = folder
        self._threads = threads
        self.name = folder.name
        self.fingerprint = folder.fingerprint
        self.image_size = folder.image.size
        self._loading = Lock()  # cached_property has none from Python 3.12 on

    def __reduce__(self) -> tuple[Any, ...]:
        return (load_encoder, (str(self._folder.path), self._threads))

    def __repr__(self) -> str:
        return f"<Encoder {self.fingerprint}>"

    @cached_property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary.from_file(self._folder.file("vocab.txt"))

    @cached_property
    def _text(self) -> StaticText:
        ids = {token: place for place, token in enumerate(self.vocabulary.tokens)}
        path = self._folder.file("text.npz")
        return StaticText.from_file(path, WordPiece(ids), *self._folder.text)

    @cached_property
    def _images(self) -> OnnxImages:
        return OnnxImages(self._folder.file("image.onnx"), self._folder.image.top_k, self._threads)

    def encode_text(self, text: str) -> TokenWeights:
        """A question's tokens; none where it has no word that the model knows.

        >>> tokens = load_encoder().encode_text("a dog on the beach")
        >>> list(load_encoder().vocabulary.to_dict(tokens))[:2]
        ['beach', 'dog']
        """
        with self._loading:
            model = self._text
        return model.encode(text)

    def encode_texts(self, texts: Sequence[str]) -> list[TokenWeights]:
        return [self.encode_text(text) for text in texts]

    def prepare_image(self, image: Image) -> NDArray[np.uint8]:
        """An upright RGB photo as the model wants it, uint8 [S, S, 3]; needs no session."""
        return prepare_image(image, self.image_size)

    def encode_images(self, batch: NDArray[np.uint8]) -> list[TokenWeights]:
        """uint8 [n, S, S, 3] as `prepare_image` gives them; raises ValueError for another shape."""
        size = self.image_size
        if batch.dtype != np.uint8 or batch.shape[1:] != (size, size, 3):
            raise ValueError(
                f"expected uint8 [n, {size}, {size}, 3], not {batch.dtype} {list(batch.shape)}"
            )
        if not len(batch):
            return []
        with self._loading:
            model = self._images
        return model.encode(batch)
