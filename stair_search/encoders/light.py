"""The encoder of a light folder: ONNX Runtime for photos, a table or ONNX Runtime for texts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stair_search.errors import ModelError, UsageError
from stair_search.pixels import MISSING
from stair_search.tokens import TokenWeights
from stair_search.vocabulary import Vocabulary

from .device import PRECISIONS, Memory
from .encoder import Encoder
from .folder import ModelFolder, open_folder
from .onnx_image import OnnxImages
from .onnx_text import OnnxText
from .package_file import package_file
from .session import check_device
from .static_text import StaticText
from .wordpiece import WordPiece


def load_light(
    name: str,
    threads: int | None,
    device: str | None,
    text: str | None,
    precision: str = "fp32",
    compile: bool = False,
) -> Encoder:
    """Raises ModelError, also where the model has no such text encoder; UsageError for what only
    torch can do.
    """
    folder = open_folder(name)
    if precision not in PRECISIONS:
        raise UsageError(f"precision {precision!r}: known are {', '.join(PRECISIONS)}")
    for asked, what in (
        (precision not in ("auto", "fp32"), f"precision {precision}"),
        (compile, "torch.compile"),
    ):
        if asked:
            raise UsageError(
                f"model {folder.name} runs on ONNX Runtime, in fp32 and as it was exported: "
                f"{what} needs the torch folder of a model"
            )
    check_device(device, MISSING)
    return LightEncoder(folder, threads, device, text)


class LightEncoder(Encoder):
    """A file of the model is read when it is first needed."""

    precision = "fp32"

    def __init__(
        self, folder: ModelFolder, threads: int | None, device: str | None, text: str | None
    ) -> None:
        kind = chosen_text(folder.name, folder.text_encoders, folder.text.default, text)
        super().__init__(folder.name, folder.fingerprint, kind, folder.image.view)
        self._folder = folder
        self._given = (threads, device, text)
        self._loading = Lock()  # cached_property has none from Python 3.12 on

    def __reduce__(self) -> tuple[Any, ...]:
        return (load_light, (str(self._folder.path), *self._given))

    @cached_property
    def vocabulary(self) -> Vocabulary:
        path = self._folder.file("vocab.txt")
        try:
            return Vocabulary.from_file(path)
        except ValueError as error:
            raise ModelError(f"{path} is no vocabulary: {error}") from None

    @cached_property
    def _text(self) -> StaticText | OnnxText:
        ids = {token: place for place, token in enumerate(self.vocabulary.tokens)}
        settings = self._folder.text
        if self.text_encoder == "static":
            path = self._folder.file("text.npz")
            return StaticText.from_file(path, WordPiece(ids), settings.top_k, settings.ratio)
        tower = settings.tower and package_file(settings.tower, self.name)
        threads, device, _ = self._given
        return OnnxText(
            self._folder.file("text.onnx"),
            ids,
            settings,
            threads=threads,
            device=device,
            weights=tower.parent if tower else None,
        )

    @cached_property
    def _images(self) -> OnnxImages:
        threads, device, _ = self._given
        return OnnxImages(
            self._folder.file("image.onnx"),
            self.image_size,
            self._folder.image.top_k,
            len(self.vocabulary),
            threads,
            device,
        )

    @property
    def device(self) -> str:
        if self._given[1] in (None, "cpu"):
            return "cpu"  # known without a session
        with self._loading:
            return self._images.device

    def memory(self) -> Memory | None:
        return None

    def encode_texts(self, texts: Sequence[str], prompted: bool = True) -> list[TokenWeights]:
        with self._loading:
            model = self._text
        if isinstance(model, OnnxText):
            return model.encode_batch(texts, prompted)
        return model.encode_batch(texts)

    def _encode_images(self, batch: NDArray[np.uint8]) -> list[TokenWeights]:
        with self._loading:
            model = self._images
        return model.encode(batch)


def chosen_text(model: str, there: Sequence[str], default: str, asked: str | None) -> str:
    """The text encoder that was asked for, or the default. Raises ModelError with what there is."""
    if asked is not None and asked not in there:
        raise ModelError(f"model {model} has no {asked} text encoder: it has {' and '.join(there)}")
    return asked or default
