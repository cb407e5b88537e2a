"""A photo's file into pixels, by content and not by name; anything that is not whole is refused.

What goes wrong with one photo is a `PhotoError` with its reason in one line. Files made to eat
memory or time are refused before Pillow reads them, or while little of them is read; what else is
known of Pillow's readers is written where it is guarded against.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import logging
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from io import BytesIO
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stair_search.errors import StairError, UsageError

from .photo import Loaded, PhotoError, Prepared, Result

try:
    from PIL import ExifTags, Image, ImageCms, ImageFile, ImageOps, UnidentifiedImageError

    from .bombs import check_segments, check_size, check_tags
    from .kinds import broken, line, unknown
except ImportError as missing:
    raise UsageError(
        f"photos need Pillow: pip install 'stair-search[starter]' ({missing})"
    ) from None

TIMES_LARGER = 2
"""A JPEG comes at an eighth, a quarter or half of its size where that is at least so many times the
size that the model sees."""

LARGE = 50_000_000
"""Photos of more pixels are in memory one at a time, whatever number of threads decode."""

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF", "JPEG2000", "PPM")

_MOST_EXIF = 2**20
_alone = threading.Lock()

# On odd metadata and between half of the limit and the limit; photos are whole or refused.
warnings.filterwarnings("ignore", module=r"(PIL|pillow_heif)\.")
# Without any handler Python would print the same to stderr. A handler of the caller still gets it.
logging.getLogger("PIL").addHandler(logging.NullHandler())


@functools.cache
def _formats() -> tuple[str, ...]:
    """What photos come in. Pillow's other readers stay out: one of them runs Ghostscript."""
    Image.init()
    with contextlib.suppress(ImportError):
        from pillow_heif import register_heif_opener

        register_heif_opener(decode_threads=1, thumbnails=False)  # a CPU has a decoder already
    with contextlib.suppress(Exception):
        from PIL import _imaging

        # libtiff's errors go to stderr and name no file; Pillow silences its warnings alone. Found
        # through Pillow's own module, where the system looks into that module's libraries, too.
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)
    return tuple(name for name in _FORMATS if name in Image.OPEN)  # AVIF may be left out of a build


class Decoded(NamedTuple):
    """A photo as RGB, upright. width, height: of the whole photo, which may be larger."""

    photo: Image.Image
    width: int
    height: int


def decode(data: bytes, least: int | None = None) -> Image.Image:
    """The photo as RGB, upright; transparency over white, of an animation the first frame.

    least: pixels that are enough on its shorter side; a large JPEG then comes smaller, in a part of
    the time. None: all of them.
    """
    with ExitStack() as until:
        return _decode(data, least, until).photo


def _decode(data: bytes, least: int | None, until: ExitStack) -> Decoded:
    """until: holds the room of a large photo for as long as it is needed."""
    if not data:
        raise PhotoError("empty file")
    # Another library in this process may have switched it on, and grey bands would be indexed.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        check_tags(data)
        check_segments(data)
        with Image.open(BytesIO(data), formats=_formats()) as photo:
            check_size(photo)
            whole = photo.size
            if least and photo.format in ("JPEG", "MPO"):  # others may show another picture instead
                photo.draft(None, (least, least))
            drafted = photo.size != whole
            if photo.size[0] * photo.size[1] > LARGE:
                until.enter_context(_alone)
            photo.load()
            turned = _upright(photo)
            rgb = _rgb(photo)
            size = rgb.size if not drafted else whole[::-1] if turned else whole
            return Decoded(rgb, *size)
    except PhotoError:
        raise
    except UnidentifiedImageError:
        raise PhotoError(unknown(data, _formats())) from None
    except Image.DecompressionBombError as error:
        raise PhotoError(f"too large: {line(error)}") from None
    except MemoryError:
        raise PhotoError("too large: there is not enough memory for it") from None
    except Exception as error:
        # Pillow's readers raise anything on malformed files; one bad photo costs that photo alone.
        raise PhotoError(broken(error, data)) from None


def _upright(photo: Image.Image) -> bool:
    """Turns the photo as its EXIF says; tells whether width and height changed places."""
    turned = False
    # an EXIF block that nobody can read says nothing about the picture
    if len(photo.info.get("exif") or b"") <= _MOST_EXIF:
        with contextlib.suppress(Exception):
            turned = photo.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
            ImageOps.exif_transpose(photo, in_place=True)
    return turned


def _rgb(photo: Image.Image) -> Image.Image:
    if photo.mode.startswith(("I", "F")):
        photo = _eight_bits(photo)
    if photo.mode == "LAB":
        lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(photo, lab, rgb, outputMode="RGB") or photo
    if photo.has_transparency_data:
        over = photo if photo.mode == "RGBA" else photo.convert("RGBA")
        white = Image.new("RGB", over.size, "white")
        white.paste(over, mask=over)  # half the memory of alpha_composite
        return white
    return photo if photo.mode == "RGB" else photo.convert("RGB")  # convert always copies


def _eight_bits(photo: Image.Image) -> Image.Image:
    """Grey of 16 or more bits as 8 bits; Pillow would clip it to white."""
    values = np.asarray(photo)
    if values.dtype.itemsize == 2:
        return Image.fromarray((np.arange(2**16) / 257).round().astype(np.uint8)[values])
    values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise PhotoError("damaged: grey values that are no numbers")
    top = float(values.max(initial=0))
    # 16 bits are of their own scale; floats and 32 bits have none but their largest value
    most = 65535.0 if photo.mode.startswith("I") and top <= 65535 else max(top, 1.0)
    np.clip(values, 0, None, out=values)  # in place: a photo may have 179 megapixels
    values *= 255.0 / most
    return Image.fromarray(np.rint(values, out=values).astype(np.uint8))


def prepare(
    photo: Loaded | Result, prepare_image: Callable[[Image.Image], NDArray[np.uint8]], size: int
) -> Prepared | Result:
    """Decodes a photo that has been read; a final result where it is bad. Others pass.

    size: pixels a side that `prepare_image` makes; large JPEGs are then decoded smaller.
    """
    if isinstance(photo, Result):
        return photo
    started = time.perf_counter()
    work = photo.work
    try:
        with ExitStack() as until:
            decoded, width, height = _decode(photo.data, TIMES_LARGER * size, until)
            pixels = prepare_image(decoded)
    except PhotoError as error:
        return Result(work.photo, "failed", str(error))
    except StairError:
        raise
    except MemoryError:
        return Result(work.photo, "failed", "too large: there is not enough memory for it")
    except Exception as error:  # of the encoder's
        said = f"cannot be prepared: {type(error).__name__}: {line(error)}"
        return Result(work.photo, "failed", said)
    spent = (time.perf_counter() - started) * 1000
    return Prepared(work, photo.content_hash, width, height, pixels, spent)
