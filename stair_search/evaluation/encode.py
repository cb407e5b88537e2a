"""Photos and texts through an encoder, in batches, with word of how far it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from stair_search.errors import UsageError
from stair_search.tokens import TokenWeights

from .protocols import DenseEncoder, Encoded, Encoder, SparseEncoder

BATCH = 16
TEXTS = 256

Photo: TypeAlias = Path | NDArray[np.uint8]
"""A file, or pixels uint8 [h, w, 3] (CIFAR's files hold many)."""

Decode: TypeAlias = Callable[[bytes], Any]
"""A file's bytes to an upright RGB picture (PIL), as `stair_search.ingest.decode.decode`."""

Progress: TypeAlias = Callable[[int], None]


def silent(done: int) -> None:
    """Progress that nobody asked for."""


@overload
def encode_photos(
    encoder: SparseEncoder, photos: Sequence[Photo], decode: Decode, progress: Progress = ...
) -> list[TokenWeights]: ...
@overload
def encode_photos(
    encoder: DenseEncoder, photos: Sequence[Photo], decode: Decode, progress: Progress = ...
) -> NDArray[np.float32]: ...
def encode_photos(
    encoder: Encoder, photos: Sequence[Photo], decode: Decode, progress: Progress = silent
) -> Encoded:
    """Returns n TokenWeights, or float32 [n, d]. progress: is told how many are done.

    Raises UsageError that names a file which is no photo.
    """

    def prepare(photo: Photo) -> NDArray[np.uint8]:
        return encoder.prepare_image(_picture(photo, decode))

    parts: list[Encoded] = []
    with ThreadPoolExecutor(2) as pool:
        for start in range(0, len(photos), BATCH):
            pixels = list(pool.map(prepare, photos[start : start + BATCH]))
            parts.append(encoder.encode_images(np.stack(pixels)))
            progress(min(start + BATCH, len(photos)))
    return _join(parts)


@overload
def encode_texts(
    encoder: SparseEncoder, texts: Sequence[str], progress: Progress = ..., prompted: bool = ...
) -> list[TokenWeights]: ...
@overload
def encode_texts(
    encoder: DenseEncoder, texts: Sequence[str], progress: Progress = ..., prompted: bool = ...
) -> NDArray[np.float32]: ...
def encode_texts(
    encoder: Encoder, texts: Sequence[str], progress: Progress = silent, prompted: bool = True
) -> Encoded:
    """Returns n TokenWeights, or float32 [n, d]. progress: is told how many are done.

    prompted: False where the texts are no captions: the model's prompt is not put before them.
    """
    parts: list[Encoded] = []
    for start in range(0, len(texts), TEXTS):
        parts.append(encoder.encode_texts(texts[start : start + TEXTS], prompted))
        progress(min(start + TEXTS, len(texts)))
    return _join(parts)


def _picture(photo: Photo, decode: Decode) -> Any:
    if not isinstance(photo, Path):
        from PIL import Image

        return Image.fromarray(photo)
    try:
        return decode(photo.read_bytes())
    except Exception as error:  # whatever the caller's decode raises, the photo's name is wanted
        raise UsageError(f"{photo}: {error}") from error


def _join(parts: Sequence[Any]) -> Encoded:
    if parts and isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    return [tokens for part in parts for tokens in part]
