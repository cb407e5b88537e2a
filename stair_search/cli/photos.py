"""Photos that are named on the command line, opened as `ingest` opens them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UsageError

if TYPE_CHECKING:
    from ..encoders import Encoder
    from ..tokens import TokenWeights


class NoPhotoError(UsageError):
    """A file cannot be read as a photo; others may be."""


def encode_photo(path: str, encoder: Encoder) -> TokenWeights:
    """The photo's tokens. Raises NoPhotoError that says why a file is no photo."""
    from ..ingest.decode import decode
    from ..ingest.files import read
    from ..ingest.photo import PhotoError

    try:
        pixels = encoder.prepare_image(decode(read(path).data))
    except PhotoError as error:
        raise NoPhotoError(f"{path}: {error}") from None
    return encoder.encode_images(pixels[None])[0]
