"""Photos that are odd and whole, each made here; `bad_files` takes its pieces from them.

What an entry of `GOOD` gives is the file and the size, upright, that its document must tell.
"""

from __future__ import annotations

import functools
import io
import random
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image, ImageCms, features

pillow_heif.register_heif_opener()

SIZE = (64, 48)
Made = tuple[bytes, tuple[int, int]]


@functools.cache
def picture(mode: str = "RGB", size: tuple[int, int] = SIZE) -> Image.Image:
    """A ramp with some noise, so that its file has a middle and an end."""
    width, height = size
    across = np.linspace(0, 255, width)[None, :, None]
    down = np.linspace(255, 0, height)[:, None, None]
    noise = np.random.default_rng(5).normal(0, 12, (height, width, 3))
    pixels = (across * [0.6, 0.2, 0.4] + down * [0.2, 0.6, 0.3] + noise).clip(0, 255)
    return Image.fromarray(pixels.astype(np.uint8)).convert(mode)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


# --- pieces ---------------------------------------------------------------------------------------


def chunk(name: bytes, body: bytes, crc: int | None = None) -> bytes:
    """Of a PNG."""
    crc = zlib.crc32(name + body) if crc is None else crc
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", crc)


def ihdr(
    width: int, height: int, bits: int = 8, colour: int = 2, interlace: int = 0, method: int = 0
) -> bytes:
    return chunk(
        b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, method, 0, interlace)
    )


def idat(size: int) -> bytes:
    return chunk(b"IDAT", zlib.compress(bytes(size), 9))


def png(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + chunk(b"IEND", b"")


def segment(marker: int, body: bytes) -> bytes:
    """Of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def with_segment(jpeg: bytes, *segments: bytes) -> bytes:
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def bmp(
    width: int,
    height: int,
    *,
    bits: int = 24,
    compression: int = 0,
    body: bytes = b"",
    header: int = 40,
    colours: int = 0,
    palette: bytes | None = None,
    offset: int | None = None,
) -> bytes:
    palette = bytes(4 * 2**bits if bits <= 8 else 0) if palette is None else palette
    start = 54 + len(palette) if offset is None else offset
    fields = (width, height, 1, bits, compression, len(body), 0, 0, colours, 0)
    return (
        struct.pack("<2sIHHI", b"BM", start + len(body), 0, 0, start)
        + struct.pack("<IiiHHIIiiII", header, *fields)
        + palette
        + body
    )


Tag = tuple[int, int, int, int]
"""Number, type, count, value."""

STRIP = 200


def tiff(
    *changes: Tag, without: int = 0, next_: int = 0, at: int = 8, body: bytes = bytes(100)
) -> bytes:
    """A grey photo of 10 x 10 pixels in one strip. changes: replace its tags, or join them."""
    tags: dict[int, Tag] = {
        tag[0]: tag
        for tag in (
            (256, 4, 1, 10),
            (257, 4, 1, 10),
            (258, 3, 1, 8),
            (259, 3, 1, 1),
            (262, 3, 1, 1),
            (273, 4, 1, STRIP),
            (277, 3, 1, 1),
            (278, 4, 1, 10),
            (279, 4, 1, 100),
            *changes,
        )
        if tag[0] != without
    }
    directory = b"".join(struct.pack("<HHII", *tag) for _, tag in sorted(tags.items()))
    start = struct.pack("<2sHIH", b"II", 42, at, len(tags)) + directory + struct.pack("<I", next_)
    return start.ljust(STRIP, b"\0") + body


def riff(*chunks: bytes, size: int | None = None) -> bytes:
    """A WebP of these chunks."""
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body) if size is None else size) + body


def piece(name: bytes, body: bytes) -> bytes:
    """Of a RIFF."""
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def patched(data: bytes, found: bytes, new: bytes, after: int = 0) -> bytes:
    """`new` written over what lies `after` bytes behind `found`."""
    at = data.index(found) + after
    return data[:at] + new + data[at + len(new) :]


# --- whole files in each format -------------------------------------------------------------------

AVIF = features.check("avif")

WHOLE: dict[str, Callable[[], bytes]] = {
    "jpg": lambda: saved(picture(), "JPEG", quality=90),
    "progressive.jpg": lambda: saved(picture(), "JPEG", quality=90, progressive=True),
    "png": lambda: saved(picture(), "PNG"),
    "lossy.webp": lambda: saved(picture(), "WEBP"),
    "lossless.webp": lambda: saved(picture(), "WEBP", lossless=True),
    "gif": lambda: saved(picture("P"), "GIF"),
    "bmp": lambda: saved(picture(), "BMP"),
    "tif": lambda: saved(picture(), "TIFF"),
    "lzw.tif": lambda: saved(picture(), "TIFF", compression="tiff_lzw"),
    "deflate.tif": lambda: saved(picture(), "TIFF", compression="tiff_adobe_deflate"),
    "jpeg.tif": lambda: saved(picture(), "TIFF", compression="jpeg"),
    "jp2": lambda: saved(picture(), "JPEG2000"),
    "ppm.jpg": lambda: saved(picture(), "PPM"),
    "heic": lambda: saved(picture(), "HEIF"),
    **({"avif": lambda: saved(picture(), "AVIF")} if AVIF else {}),
}


@functools.cache
def whole(kind: str) -> bytes:
    return WHOLE[kind]()


# --- what must go in ------------------------------------------------------------------------------


def _plain(image: Image.Image, kind: str, **options: Any) -> Callable[[], Made]:
    return lambda: (saved(image, kind, **options), image.size)


def _oriented(orientation: int, size: tuple[int, int]) -> Callable[[], Made]:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return lambda: (saved(picture(), "JPEG", exif=exif), size)


def _several(kind: str, **options: Any) -> Callable[[], Made]:
    frames = [picture(), picture().rotate(180), Image.new("RGB", SIZE, "red")]
    return lambda: (
        saved(frames[0], kind, save_all=True, append_images=frames[1:], **options),
        SIZE,
    )


def _deep(kind: str) -> Callable[[], Made]:
    deep = Image.fromarray(np.asarray(picture("L")).astype(np.uint16) * 257)
    return lambda: (saved(deep, kind), SIZE)


def _palette_with_alpha() -> Made:
    palette = picture("P")
    return saved(palette, "PNG", transparency=bytes(range(256))), SIZE


def _broken_second_frame() -> Made:
    """An animated PNG whose first frame is the photo, and whose second one is none."""
    data, size = _several("PNG")()
    return patched(data, b"fdAT", b"\0" * 8, 8), size


def _lab() -> Made:
    rgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(picture(), rgb, lab, outputMode="LAB")
    assert image is not None
    return saved(image, "TIFF"), SIZE


def _appended_video() -> Made:
    """What phones call a motion photo; its bytes hold what would be a thousand scans."""
    return whole("jpg") + bytes(4) + b"ftypmp42" + random.Random(1).randbytes(999) * 9 + (
        b"\xff\xda\0\x08" * 1000
    ), SIZE


GOOD: dict[str, Callable[[], Made]] = {
    "grey.jpg": _plain(picture("L"), "JPEG"),
    "cmyk.jpg": _plain(picture("CMYK"), "JPEG"),
    "cmyk-broken-icc.jpg": _plain(picture("CMYK"), "JPEG", icc_profile=b"no profile at all"),
    "progressive.jpg": _plain(picture(), "JPEG", progressive=True),
    "restarts.jpg": _plain(picture(), "JPEG", restart_marker_blocks=1),
    "broken-exif.jpg": _plain(picture(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"),
    "looping-exif.jpg": _plain(picture(), "JPEG", exif=b"Exif\0\0" + tiff((274, 3, 1, 1), next_=8)),
    "exif-of-a-huge-tag.jpg": _plain(
        picture(), "JPEG", exif=b"Exif\0\0" + tiff((274, 3, 2**31, 8))
    ),
    "exif-in-two.jpg": lambda: (
        with_segment(whole("jpg"), *[segment(0xE1, b"Exif\0\0" + tiff()[:150])] * 2),
        SIZE,
    ),
    "turned.jpg": _oriented(6, (48, 64)),
    "mirrored.jpg": _oriented(2, (64, 48)),
    "orientation-9.jpg": _oriented(9, (64, 48)),
    "appended.jpg": lambda: (whole("jpg") + b"what somebody has appended", SIZE),
    "segment-of-0.jpg": lambda: (b"\xff\xd8\xff\xe0\0\0" + whole("jpg")[2:], SIZE),
    "motion.jpg": _appended_video,
    "several.mpo.jpg": _several("MPO"),
    "lone-soi.jpg": lambda: (b"\xff\xd8\xff\xfe\0\2" + whole("jpg")[2:], SIZE),
    "a-jpeg.png": lambda: (whole("jpg"), SIZE),
    "one-bit.png": _plain(picture("1"), "PNG"),
    "grey.png": _plain(picture("L"), "PNG"),
    "grey-16.png": _deep("PNG"),
    "grey-alpha.png": _plain(picture("LA"), "PNG"),
    "rgba.png": _plain(picture("RGBA"), "PNG"),
    "palette.png": _plain(picture("P"), "PNG"),
    "palette-alpha.png": _palette_with_alpha,
    "interlaced.png": lambda: (png(ihdr(1, 1, interlace=1), idat(4)), (1, 1)),
    "one-pixel.png": _plain(picture(size=(1, 1)), "PNG"),
    "line.png": _plain(Image.new("L", (1, 60_000)), "PNG"),
    "strip.jpg": _plain(Image.new("L", (60_000, 2)), "JPEG"),
    "no-end.png": lambda: (whole("png")[:-12], SIZE),
    "checksum.png": lambda: (patched(whole("png"), b"IEND", bytes(4), after=-8), SIZE),
    "apng.png": _several("PNG"),
    "apng-broken-second.png": _broken_second_frame,
    "still.gif": _plain(picture("P"), "GIF"),
    "animated.gif": _several("GIF"),
    "clear.gif": _plain(picture("P"), "GIF", transparency=0),
    "no-end.gif": lambda: (whole("gif")[:-1], SIZE),
    "24.bmp": _plain(picture(), "BMP"),
    "palette.bmp": _plain(picture("P"), "BMP"),
    "one-bit.bmp": _plain(picture("1"), "BMP"),
    "upside-down.bmp": lambda: (bmp(4, -4, body=bytes(48)), (4, 4)),
    "run-lengths.bmp": lambda: (
        bmp(4, 2, bits=8, compression=1, body=b"\4\1\0\0\4\2\0\1"),
        (4, 2),
    ),
    "plain.tif": _plain(picture(), "TIFF"),
    "lzw.tif": _plain(picture(), "TIFF", compression="tiff_lzw"),
    "deflate.tif": _plain(picture(), "TIFF", compression="tiff_adobe_deflate"),
    "packbits.tif": _plain(picture("L"), "TIFF", compression="packbits"),
    "group4.tif": _plain(picture("1"), "TIFF", compression="group4"),
    "jpeg.tif": _plain(picture(), "TIFF", compression="jpeg"),
    "cmyk.tif": _plain(picture("CMYK"), "TIFF"),
    "lab.tif": _lab,
    "grey-16.tif": _deep("TIFF"),
    "float.tif": _plain(picture("F"), "TIFF"),
    "pages.tif": _several("TIFF"),
    "looping.tif": lambda: (tiff(next_=8), (10, 10)),
    "big.tif": _plain(picture(), "TIFF", big_tiff=True),
    "lossy.webp": _plain(picture(), "WEBP"),
    "lossless.webp": _plain(picture(), "WEBP", lossless=True),
    "alpha.webp": _plain(picture("RGBA"), "WEBP"),
    "animated.webp": _several("WEBP"),
    "photo.jp2": _plain(picture(), "JPEG2000"),
    "photo.heic": _plain(picture(), "HEIF"),
    "alpha.heic": _plain(picture("RGBA"), "HEIF"),
    "several.heic": _several("HEIF"),
    "netpbm.jpg": _plain(picture(), "PPM"),
    "netpbm-plain.jpg": lambda: (b"P3 2 1 255\n1 2 3 4 5 6\n", (2, 1)),
    **({"photo.avif": _plain(picture(), "AVIF"), "several.avif": _several("AVIF")} if AVIF else {}),
}
