"""Photos that are named on the command line, opened as `ingest` opens them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image

    from ..encoders import Encoder
    from ..tokens import TokenWeights


class NoPhotoError(UsageError):
    """A file cannot be read as a photo; others may be."""


def open_photo(path: str | Path, image_size: int | None = None) -> Image:
    """The photo as RGB, upright. Raises NoPhotoError that says why a file is no photo.

    image_size: pixels a side that a model sees, so that it sees what `ingest` shows it.
    """
    from ..ingest.decode import TIMES_LARGER, decode
    from ..ingest.photo import PhotoError, Place
    from ..ingest.reading.local import read

    try:
        data = read(Place(str(path))).data
        return decode(data, image_size and TIMES_LARGER * image_size)
    except PhotoError as error:
        raise NoPhotoError(f"{path}: {error}") from None


def encode_photo(path: str, encoder: Encoder) -> TokenWeights:
    """The photo's tokens. Raises NoPhotoError that says why a file is no photo."""
    pixels = encoder.prepare_image(open_photo(path, encoder.image_size))
    return encoder.encode_images(pixels[None])[0]
