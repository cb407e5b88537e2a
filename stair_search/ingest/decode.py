"""A photo's file into pixels, by content and not by name; anything that is not whole is refused.

What goes wrong with one photo is a `PhotoError` with its reason in one line.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import struct
import time
import warnings
from collections.abc import Callable
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from stair_search.errors import UsageError

from .files import read
from .photo import PhotoError, Prepared, Result, Work

try:
    from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError
except ImportError as missing:
    raise UsageError(
        f"photos need Pillow: pip install 'stair-search[starter]' ({missing})"
    ) from None

MOST_PIXELS = 2 * 89_478_485
"""179 megapixels: where Pillow itself stops at a decompression bomb, unless told otherwise."""

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")

# On odd metadata and between half of the limit and the limit; photos are whole or refused.
warnings.filterwarnings("ignore", module=r"PIL\.")


@functools.cache
def _formats() -> tuple[str, ...]:
    """What photos come in. Pillow's other readers stay out: one of them runs Ghostscript."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)  # AVIF may be left out of a build


def decode(data: bytes) -> Image.Image:
    """The photo as RGB, upright; transparency over white, of an animation the first frame."""
    if not data:
        raise PhotoError("empty file")
    # Another library in this process may have switched it on, and grey bands would be indexed.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        with Image.open(BytesIO(data), formats=_formats()) as photo:
            _check_size(*photo.size)
            photo.load()
            return _rgb(_upright(photo))
    except UnidentifiedImageError:
        raise PhotoError(
            "not a photo: the content is none of JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF"
        ) from None
    except Image.DecompressionBombError as error:
        raise PhotoError(f"too large: {_line(error)}") from None
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
        raise PhotoError(_broken(error)) from None
    except (MemoryError, OverflowError, RuntimeError, TypeError, LookupError) as error:
        # Pillow's readers raise anything on malformed files; one bad photo costs that photo alone.
        raise PhotoError(f"damaged: {type(error).__name__}: {_line(error)}") from None


def _check_size(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise PhotoError(f"too large: {width:,} x {height:,} pixels, at most {MOST_PIXELS:,}")


def _broken(error: Exception) -> str:
    text = _line(error)
    if any(word in text.lower() for word in ("truncated", "ended", "eof", "not enough")):
        return f"truncated: {text}"
    return f"damaged: {text}"


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _upright(photo: Image.Image) -> Image.Image:
    # an EXIF block that nobody can read says nothing about the picture
    with contextlib.suppress(Exception):
        ImageOps.exif_transpose(photo, in_place=True)
    return photo


def _rgb(photo: Image.Image) -> Image.Image:
    if photo.mode.startswith(("I", "F")):
        photo = _eight_bits(photo)
    if photo.has_transparency_data:
        over = photo.convert("RGBA")
        white = Image.new("RGBA", over.size, "white")
        return Image.alpha_composite(white, over).convert("RGB")
    return photo if photo.mode == "RGB" else photo.convert("RGB")  # convert always copies


def _eight_bits(photo: Image.Image) -> Image.Image:
    """Grey of 16 or more bits as 8 bits; Pillow would clip it to white."""
    values = np.asarray(photo).astype(np.float32)
    top = float(values.max(initial=0))
    if not np.isfinite(values).all():
        raise PhotoError("damaged: grey values that are no numbers")
    # 16 bits are of their own scale; floats and 32 bits have none but their largest value
    most = 65535.0 if photo.mode.startswith("I") and top <= 65535 else max(top, 1.0)
    return Image.fromarray((values.clip(0) * (255.0 / most)).round().astype(np.uint8))


def prepare(
    work: Work, prepare_image: Callable[[Image.Image], NDArray[np.uint8]]
) -> Prepared | Result:
    """Reads, hashes and decodes a photo; a final result where it is known already, or bad."""
    started = time.perf_counter()
    try:
        content = read(work.photo.path)
        digest = hashlib.sha256(content.data).hexdigest()
        if digest == work.known_hash:
            return Result(work.photo, "unchanged", None, content.size, content.mtime_ns)
        photo = decode(content.data)
        pixels = prepare_image(photo)
    except PhotoError as error:
        return Result(work.photo, "failed", str(error))
    work = work._replace(size=content.size, mtime_ns=content.mtime_ns)
    spent = (time.perf_counter() - started) * 1000
    return Prepared(work, digest, *photo.size, pixels, spent)
