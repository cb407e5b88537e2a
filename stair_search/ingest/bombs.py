"""Photos that are made to eat memory or time, refused before Pillow reads them."""

from __future__ import annotations

import re
import struct

from PIL import ImageFile

from .kinds import PHOTOS
from .photo import PhotoError

MOST_PIXELS = 2 * 89_478_485
"""179 megapixels: where Pillow itself stops at a decompression bomb, unless told otherwise."""

MOST_PIXELS_OF = {"jpeg2k": 64_000_000, "bmp_rle": 64_000_000, "ppm": 8_000_000}
"""By Pillow's decoder: 19 bytes a pixel, or a loop in Python (0.1 and 1.5 µs a pixel)."""

MOST_SCANS = 100
"""Of a JPEG, each a pass over all pixels: a few kilobytes could hold thousands; ten are usual."""

MOST_TAGS = 2**18
"""Numbers in one TIFF tag: a strip or tile takes Pillow 400 bytes and 5 µs."""


def check_tags(data: bytes) -> None:
    """Pillow makes a tuple of a TIFF's every strip before anything can be said of its size."""
    if not PHOTOS["TIFF"].match(data):
        return
    order = "<" if data[:1] == b"I" else ">"
    number, entry, start = ("Q", "HHQ8s", 8) if 43 in data[2:4] else ("H", "HHI4s", 4)
    offset_of = "Q" if number == "Q" else "I"
    (at,) = struct.unpack_from(order + offset_of, data, start)
    if at >= len(data):
        raise PhotoError("truncated: a TIFF whose directory lies behind its end")
    (tags,) = struct.unpack_from(order + number, data, at)
    if tags > 2**16:
        raise PhotoError(f"damaged: a TIFF of {tags:,} tags")
    at += struct.calcsize(order + number)
    width = struct.calcsize(order + entry)
    for place in range(at, min(at + tags * width, len(data) - width + 1), width):
        tag, kind, count, _ = struct.unpack_from(order + entry, data, place)
        if kind not in (1, 2, 6, 7) and count > MOST_TAGS:  # bytes and text stay as they are
            raise PhotoError(f"damaged: a TIFF with {count:,} numbers in its tag {tag}")


def check_segments(data: bytes) -> None:
    """A small JPEG may hold thousands of scans and take hours; and Pillow joins the pieces of an
    EXIF one by one: 120 MB of them take it a minute.
    """
    if not data.startswith(b"\xff\xd8"):
        return
    left = {"scans": MOST_SCANS, "pieces of EXIF": 64, "segments": 2**16}
    at = 2
    # Stops at the end of the photo: thumbnails, further photos and videos have scans of their own.
    while (found := _MARKER.search(data, at)) and found[1] != b"\xd9":
        at = found.end()
        left["segments"] -= 1
        left["scans"] -= found[1] == b"\xda"
        left["pieces of EXIF"] -= found[1] == b"\xe1" and data.startswith(b"Exif\0\0", at + 2)
        if min(left.values()) < 0:
            raise PhotoError(f"damaged: a JPEG of too many {min(left, key=left.__getitem__)}")
        at += int.from_bytes(data[at : at + 2], "big")


# In a scan 0xff 0x00 is a byte of the picture and 0xffd0 to 0xffd7 are marks to start again from.
_MARKER = re.compile(rb"\xff([^\x00\x01\xff\xd0-\xd7])", re.DOTALL)


def check_size(photo: ImageFile.ImageFile) -> None:
    width, height = photo.size
    decoder = photo.tile[0][0].removesuffix("_plain") if photo.tile else ""
    most = min(MOST_PIXELS, MOST_PIXELS_OF.get(decoder, MOST_PIXELS))
    if width * height > most:
        of = f" of such a {photo.format}" if most < MOST_PIXELS else ""
        raise PhotoError(f"too large: {width:,} x {height:,} pixels, at most {most:,}{of}")
