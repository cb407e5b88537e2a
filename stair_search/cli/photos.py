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


def open_photo(path: str | Path) -> Image:
    """The photo as RGB, upright. Raises NoPhotoError that says why a file is no photo."""
    from ..ingest.decode import decode
    from ..ingest.files import read
    from ..ingest.photo import PhotoError

    try:
        return decode(read(str(path)).data)
    except PhotoError as error:
        raise NoPhotoError(f"{path}: {error}") from None


def encode_photo(path: str, encoder: Encoder) -> TokenWeights:
    """The photo's tokens. Raises NoPhotoError that says why a file is no photo."""
    pixels = encoder.prepare_image(open_photo(path))
    return encoder.encode_images(pixels[None])[0]
