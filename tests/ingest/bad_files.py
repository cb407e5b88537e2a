"""Files that are bad or hostile, each made here, and what must be said of it.

`BAD` holds what a file has in it, `ON_DISK` what is no file, or none that can be read.
"""

from __future__ import annotations

import gzip
import io
import os
import random
import socket
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.ingest.odd_photos import (
    AVIF,
    WHOLE,
    bmp,
    chunk,
    idat,
    ihdr,
    patched,
    picture,
    piece,
    png,
    riff,
    saved,
    segment,
    tiff,
    whole,
    with_segment,
)

Bad = tuple[bytes | Callable[[], bytes], str]
"""What is in it, and a pattern that its reason must fit from the start to the end."""


def _broken(kind: str) -> str:
    """The content is of this kind, whatever its name."""
    return rf"(truncated|damaged): (a )?{kind}:? .+"


def _none_of(what: str) -> str:
    return f"not a photo: the content is {what}"


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.jpg", whole("jpg"))
    return file.getvalue()


NO_PHOTOS: dict[str, Bad] = {
    "empty.jpg": (b"", "empty file"),
    "one-byte.jpg": (b"\xff", _none_of("none of JPEG, PNG, .+")),
    "text.jpg": (b"hello, world\n" * 99, _none_of("text")),
    "text-utf-8.jpg": ("schöne Grüße ☂ ".encode() * 99, _none_of("text")),
    "text-utf-16.jpg": ("schöne Grüße".encode("utf-16"), _none_of("none of JPEG, .+")),
    "lfs-pointer.jpg": (b"version https://git-lfs.github.com/spec/v1\noid sha256:", "not .+ text"),
    "base64.jpg": (b"data:image/jpeg;base64,/9j/4AAQSkZJRg==", _none_of("text")),
    "error-page.jpg": (b"\n<!DOCTYPE html>\n<html><h1>404 Not Found</h1></html>", "not .+ HTML.+"),
    "comment.jpg": (b"<!-- cached -->\n<HTML><body>", _none_of("HTML.+")),
    "denied.jpg": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "not .+ XML"),
    "drawing.png": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", _none_of("SVG")),
    "drawing-2.png": (b"<?xml version='1.0'?>\n<!-- by hand -->\n<svg/>", _none_of("SVG")),
    "answer.jpg": (b'{"error": "not found", "status": 404}', _none_of("JSON")),
    "list.jpg": (b'[{"error": "not found"}]', _none_of("JSON")),
    "document.jpg": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj", _none_of("PDF")),
    "script.jpg": (b"%!PS\n(/tmp/stair-search-was-here) (w) file", _none_of("PostScript")),
    "script.eps.tif": (lambda: saved(picture(), "EPS"), _none_of("PostScript")),
    "script-dos.jpg": (b"\xc5\xd0\xd3\xc6" + bytes(26) + b"%!PS", _none_of("PostScript")),
    "archive.jpg": (_zip, _none_of("a ZIP archive")),
    "packed.jpg": (lambda: gzip.compress(whole("jpg")), _none_of("a gzip archive")),
    "archive-7.jpg": (b"7z\xbc\xaf\x27\x1c\0\4", _none_of("a 7-Zip archive")),
    "archive-rar.jpg": (b"Rar!\x1a\7\1\0", _none_of("a RAR archive")),
    "video.jpg": (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", _none_of(r"a video \(MP4, MOV\)")),
    "video-apple.heic": (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", _none_of(r"a video \(MP4, MOV\)")),
    "video-web.jpg": (b"\x1a\x45\xdf\xa3\x9f\x42\x86", _none_of("a video .Matroska, WebM.")),
    "video-avi.webp": (b"RIFF\0\1\0\0AVI LIST", _none_of(r"a video \(AVI\)")),
    "layers.jpg": (b"8BPS\0\1" + bytes(40), _none_of("a Photoshop document")),
    "icon.png": (lambda: saved(picture(), "ICO"), _none_of("an icon")),
    "raw.jpg": (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", _none_of(r"a raw photo of Canon \(CR3\)")),
    "xl.jpg": (b"\xff\x0a\xfa\x7f\1\x90\x08\6", _none_of("JPEG XL, which Pillow cannot read")),
    "zeros.jpg": (bytes(4096), _none_of("nothing but zero bytes")),
    "noise.jpg": (b"\x93" + random.Random(0).randbytes(4096), _none_of("none of JPEG, .+")),
    # Pillow has readers for these, and they are not asked
    "old.jpg": (lambda: saved(picture(), "TGA"), _none_of("none of JPEG, .+")),
    "older.jpg": (lambda: saved(picture(), "PCX"), _none_of("none of JPEG, .+")),
    "bits.jpg": (lambda: saved(picture("1"), "XBM"), _none_of("text")),
    "texture.jpg": (lambda: saved(picture(), "DDS"), _none_of("none of JPEG, .+")),
    "ascii-mode.png": (lambda: whole("png").replace(b"\r\n", b"\n"), _none_of("none of JPEG, .+")),
}


def _cut(kind: str, share: float) -> Callable[[], bytes]:
    return lambda: whole(kind)[: int(len(whole(kind)) * share)]


def _start(kind: str) -> Callable[[], bytes]:
    return lambda: whole(kind)[:14]


KINDS = {
    "jpg": "JPEG",
    "progressive.jpg": "JPEG",
    "png": "PNG",
    "lossy.webp": "WebP",
    "lossless.webp": "WebP",
    "gif": "GIF",
    "bmp": "BMP",
    "tif": "TIFF",
    "lzw.tif": "TIFF",
    "deflate.tif": "TIFF",
    "jpeg.tif": "TIFF",
    "jp2": "JPEG 2000",
    "ppm.jpg": "Netpbm",
    "heic": "HEIC",
    "avif": "AVIF",
}


def _cuts() -> Iterator[tuple[str, Bad]]:
    for kind in WHOLE:
        for share in (0.1, 0.5, 0.9):
            yield f"cut-{share * 100:.0f}.{kind}", (_cut(kind, share), _broken(KINDS[kind]))
        if "." not in kind or kind == "lossy.webp":  # the others start in the same way
            yield f"header.{kind}", (_start(kind), _broken(KINDS[kind]))


# --- PNG ------------------------------------------------------------------------------------------

MEGABYTES = zlib.compress(bytes(32 * 2**20), 9)
"""32 MiB in 32 kB."""


def _flipped(name: bytes, after: int) -> Callable[[], bytes]:
    """A PNG of which one bit is another one."""

    def make() -> bytes:
        data = whole("png")
        return patched(data, name, bytes([data[data.index(name) + after] ^ 1]), after)

    return make


def _many_texts() -> bytes:
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**20 - 1), 9))
    return png(ihdr(8, 8), *[text] * 70, idat(200))


PNG: dict[str, Bad] = {
    "crc-of-header.png": (_flipped(b"IHDR", 17), "damaged: PNG: .+checksum.+"),
    "bit-of-header.png": (_flipped(b"IHDR", 5), "damaged: PNG: .+checksum.+"),
    "bit-of-pixels.png": (_flipped(b"IDAT", 3000), _broken("PNG")),
    "bomb.png": (png(ihdr(60_000, 60_000), idat(1000)), r"too large: .+"),
    "bomb-just-over.png": (png(ihdr(20_000, 9000), idat(1000)), r"too large: .+"),
    "bomb-in-a-line.png": (png(ihdr(2**31 - 1, 1), idat(1000)), "too large: .+"),
    "no-width.png": (png(ihdr(0, 10), idat(100)), _broken("PNG")),
    "no-height.png": (png(ihdr(10, 0), idat(100)), _broken("PNG")),
    "no-header.png": (png(idat(100)), _broken("PNG")),
    "no-pixels.png": (png(ihdr(10, 10)), _broken("PNG")),
    "nothing.png": (png(), _broken("PNG")),
    "few-pixels.png": (png(ihdr(100, 100), idat(1000)), "truncated: .+"),
    "bits-3.png": (png(ihdr(10, 10, bits=3), idat(310)), _broken("PNG")),
    "colour-9.png": (png(ihdr(10, 10, colour=9), idat(310)), _broken("PNG")),
    "filter-9.png": (png(ihdr(1, 1), chunk(b"IDAT", zlib.compress(b"\x09abc"))), _broken("PNG")),
    "no-zlib.png": (png(ihdr(10, 10), chunk(b"IDAT", b"no zlib at all")), _broken("PNG")),
    "chunk-of-2-gb.png": (
        png(ihdr(10, 10))[:33] + struct.pack(">I", 2**31 - 1) + b"IDAT" + bytes(99),
        _broken("PNG"),
    ),
    "chunk-of-no-name.png": (png(ihdr(10, 10), chunk(b"\0\1\2\3", b""), idat(310)), _broken("PNG")),
    "text-bomb.png": (
        lambda: png(ihdr(8, 8), chunk(b"zTXt", b"a\0\0" + MEGABYTES), idat(200)),
        "damaged: PNG: Decompressed data too large.+",
    ),
    "international-bomb.png": (
        lambda: png(ihdr(8, 8), chunk(b"iTXt", b"a\0\1\0\0\0" + MEGABYTES), idat(200)),
        "damaged: PNG: Decompressed data too large.+",
    ),
    "profile-bomb.png": (
        lambda: png(ihdr(8, 8), chunk(b"iCCP", b"a\0\0" + MEGABYTES), idat(200)),
        "damaged: PNG: Decompressed data too large.+",
    ),
    "texts-bomb.png": (_many_texts, "damaged: .+MAX_TEXT_MEMORY"),
}

# --- JPEG -----------------------------------------------------------------------------------------


def _frame(width: int, height: int, *, kind: int = 0xC0, bits: int = 8, bands: int = 1) -> bytes:
    about = struct.pack(">BHHB", bits, height, width, bands)
    return segment(kind, about + b"".join(bytes([n, 0x11, 0]) for n in range(1, bands + 1)))


def _jpeg(frame: bytes, scans: int = 1, quantise: bool = True) -> bytes:
    """A JPEG of black pixels, as small as can be, whose every scan is a byte."""
    made = [b"\xff\xd8", segment(0xDB, b"\0" + b"\1" * 64) if quantise else b"", frame]
    # one code each, of one bit: no difference, no more of this block
    made += [segment(0xC4, bytes([kind, 1, *[0] * 15, 0])) for kind in (0x00, 0x10)]
    made.append(segment(0xDA, b"\1\1\0\0\0\0") + b"\0")
    made += [segment(0xDA, b"\1\1\0\1\x3f\0") + b"\0"] * (scans - 1)
    return b"".join(made) + b"\xff\xd9"


def _frame_says(height: int, width: int) -> Callable[[], bytes]:
    return lambda: patched(whole("jpg"), b"\xff\xc0", struct.pack(">HH", height, width), after=5)


JPEG: dict[str, Bad] = {
    "marker.jpg": (b"\xff\xd8", _none_of("none of JPEG, .+")),
    "marker-and-end.jpg": (b"\xff\xd8\xff\xd9", _broken("JPEG")),
    "no-scan.jpg": (lambda: whole("jpg")[: whole("jpg").index(b"\xff\xda")], _broken("JPEG")),
    "no-frame.jpg": (b"\xff\xd8" + segment(0xDA, b"\1\1\0\0\0\0") + b"\0\xff\xd9", _broken("JPEG")),
    "bomb.jpg": (_frame_says(65_500, 65_500), "too large: .+"),
    "no-width.jpg": (_frame_says(48, 0), _broken("JPEG")),
    "no-height.jpg": (_frame_says(0, 64), _broken("JPEG")),
    "no-quantisation.jpg": (_jpeg(_frame(64, 48), quantise=False), _broken("JPEG")),
    "bits-12.jpg": (_jpeg(_frame(64, 48, bits=12)), _broken("JPEG")),
    "bands-5.jpg": (_jpeg(_frame(64, 48, bands=5)), _broken("JPEG")),
    "no-bands.jpg": (_jpeg(_frame(64, 48, bands=0)), _broken("JPEG")),
    "lossless.jpg": (_jpeg(_frame(64, 48, kind=0xC3)), _broken("JPEG")),
    "sampling-0.jpg": (
        lambda: patched(whole("jpg"), b"\xff\xc0", b"\0", after=11),
        _broken("JPEG"),
    ),
    "scans.jpg": (
        lambda: _jpeg(_frame(13_000, 13_000, kind=0xC2), 40_000),
        "damaged: a JPEG of too many scans",
    ),
    "exif-in-pieces.jpg": (
        lambda: with_segment(whole("jpg"), *[segment(0xE1, b"Exif\0\0" + bytes(65_000))] * 300),
        "damaged: a JPEG of too many pieces of EXIF",
    ),
    "segments.jpg": (
        lambda: with_segment(whole("jpg"), segment(0xE5, b"") * 100_000),
        "damaged: a JPEG of too many segments",
    ),
}

# --- GIF and BMP ----------------------------------------------------------------------------------

SCREEN = b"GIF89a" + struct.pack("<HHBBB", 8, 8, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"


def _gif(width: int, height: int, body: bytes) -> bytes:
    return SCREEN + b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0) + body + b"\x3b"


GIF_AND_BMP: dict[str, Bad] = {
    "no-frame.gif": (SCREEN + b"\x3b", _broken("GIF")),
    "no-size.gif": (_gif(0, 0, b"\2\2\x8c\x8f\0"), _broken("GIF")),
    "comments.gif": (SCREEN + b"\x21\xfe\1a\0" * 50_000 + b"\x3b", _broken("GIF")),
    "few-pixels.gif": (_gif(8, 8, b"\2\1\x8c\0"), _broken("GIF")),
    "codes-of-14-bits.gif": (_gif(8, 8, b"\x0e\2\x8c\x8f\0"), _broken("GIF")),
    "code-too-far.gif": (_gif(8, 8, b"\2\2\xff\xff\0"), _broken("GIF")),
    "bomb.gif": (_gif(65_535, 65_535, b"\2\2\x8c\x8f\0"), "too large: .+"),
    "no-width.bmp": (bmp(0, 8), _broken("BMP")),
    "width-below-0.bmp": (bmp(-8, 8, body=bytes(192)), "too large: .+"),
    "bomb.bmp": (bmp(2**31 - 1, 2**31 - 1), "too large: .+"),
    "height-far-below-0.bmp": (bmp(8, -(2**31)), "too large: .+"),
    "bits-7.bmp": (bmp(8, 8, bits=7, body=bytes(192)), _broken("BMP")),
    "header-of-7.bmp": (bmp(8, 8, header=7, body=bytes(192)), _broken("BMP")),
    "header-of-4-gb.bmp": (bmp(8, 8, header=2**32 - 1, body=bytes(192)), _broken("BMP")),
    "colours-2-gb.bmp": (bmp(8, 8, bits=8, colours=2**31 - 1, body=bytes(64)), _broken("BMP")),
    "colours-missing.bmp": (bmp(8, 8, bits=8, colours=256, palette=b""), _broken("BMP")),
    "compression-9.bmp": (bmp(8, 8, compression=9, body=bytes(192)), _broken("BMP")),
    "pixels-elsewhere.bmp": (bmp(8, 8, offset=2**31, body=bytes(192)), _broken("BMP")),
    "run-cut.bmp": (bmp(8, 8, bits=8, compression=1, body=b"\4\1\0\0\4"), _broken("BMP")),
    "run-bomb.bmp": (
        bmp(13_000, 13_000, bits=8, compression=1, body=b"\0\2\0\xff" * 1000),
        r"too large: 13,000 x 13,000 pixels, at most 64,000,000 of such a BMP",
    ),
}

# --- TIFF -----------------------------------------------------------------------------------------


TIFF: dict[str, Bad] = {
    "directory-elsewhere.tif": (
        tiff(at=2**31),
        "truncated: a TIFF whose directory lies behind its end",
    ),
    "directory-at-0.tif": (tiff(at=0), _broken("TIFF")),
    "directory-empty.tif": (b"II*\0\x08\0\0\0\0\0\0\0\0\0", _broken("TIFF")),
    "no-width.tif": (tiff(without=256), _broken("TIFF")),
    "width-0.tif": (tiff((256, 4, 1, 0)), _broken("TIFF")),
    "bomb.tif": (tiff((256, 4, 1, 2**31), (257, 4, 1, 2**31)), "too large: .+"),
    "no-strip.tif": (tiff(without=273), _broken("TIFF")),
    "strip-elsewhere.tif": (tiff((273, 4, 1, 2**31)), _broken("TIFF")),
    "strip-cut.tif": (tiff(body=bytes(50)), "truncated: .+"),
    "strips.tif": (tiff((273, 4, 2**28, 8)), "damaged: a TIFF with 268,435,456 numbers in .+"),
    "widths.tif": (tiff((256, 4, 2**20, 0), body=bytes(2**23)), "damaged: a TIFF with .+"),
    "bits-77.tif": (tiff((258, 3, 1, 77)), _broken("TIFF")),
    "bands-100.tif": (tiff((277, 3, 1, 100)), _broken("TIFF")),
    "compression-12345.tif": (tiff((259, 3, 1, 12345)), _broken("TIFF")),
    "no-lzw.tif": (tiff((259, 3, 1, 5), body=b"\xff" * 100), _broken("TIFF")),
    "no-zlib.tif": (tiff((259, 3, 1, 8), body=b"\x42" * 100), _broken("TIFF")),
    "no-jpeg.tif": (tiff((259, 3, 1, 7), body=b"\x42" * 100), _broken("TIFF")),
    "no-fax.tif": (tiff((259, 3, 1, 4), (258, 3, 1, 1), body=b"\x42" * 9), _broken("TIFF")),
    "tiles-of-0.tif": (
        tiff((322, 4, 1, 0), (323, 4, 1, 0), (324, 4, 1, 200), without=273),
        _broken("TIFF"),
    ),
    "palette-missing.tif": (tiff((262, 3, 1, 3)), _broken("TIFF")),
    "types-unknown.tif": (tiff((256, 99, 1, 10), (257, 77, 1, 10)), _broken("TIFF")),
    "tags.tif": (
        b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 2**40) + bytes(100),
        "damaged: a TIFF of 1,099,511,627,776 tags",
    ),
    "byte-order-alone.tif": (b"MM\0*", "truncated: .+"),
}

# --- WebP, AVIF, HEIC, JPEG 2000, Netpbm ----------------------------------------------------------


def _vp8x(width: int, height: int, flags: int = 0) -> bytes:
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return piece(b"VP8X", bytes([flags, 0, 0, 0]) + sides)


def _broken_animation() -> bytes:
    frames = [picture(), picture().rotate(180)]
    data = saved(frames[0], "WEBP", save_all=True, append_images=frames[1:])
    return patched(data, b"VP8 ", b"\xff" * 12, after=8)


def _jp2(**sizes: int) -> Callable[[], bytes]:
    """The codestream with other sizes in its SIZ marker."""

    def make() -> bytes:
        data = whole("jp2")
        data = data[data.index(b"\xff\x4f\xff\x51") :]
        places = {"width": 8, "height": 12, "tile": 24, "tile_height": 28}
        for name, size in sizes.items():
            data = patched(data, b"\xff\x4f", struct.pack(">I", size), after=places[name])
        return data

    return make


def _large_heic() -> bytes:
    """A HEIC whose property says 65,536 x 65,536 pixels."""
    return patched(whole("heic"), b"ispe", struct.pack(">II", 2**16, 2**16), after=8)


OTHERS: dict[str, Bad] = {
    "riff-too-large.webp": (
        lambda: patched(whole("lossy.webp"), b"RIFF", b"\xff" * 4, 4),
        _broken("WebP"),
    ),
    "riff-of-0.webp": (lambda: patched(whole("lossy.webp"), b"RIFF", bytes(4), 4), _broken("WebP")),
    "riff-empty.webp": (riff(), _broken("WebP")),
    "chunk-too-large.webp": (
        lambda: patched(whole("lossy.webp"), b"VP8 ", b"\xff" * 4, 4),
        _broken("WebP"),
    ),
    "no-key-frame.webp": (
        lambda: patched(whole("lossy.webp"), b"VP8 ", b"\xff" * 3, 8),
        _broken("WebP"),
    ),
    "no-lossless.webp": (
        lambda: patched(whole("lossless.webp"), b"VP8L", b"\0" * 9, 8),
        _broken("WebP"),
    ),
    "canvas-alone.webp": (riff(_vp8x(64, 48)), _broken("WebP")),
    "bomb.webp": (riff(_vp8x(2**24, 2**24), piece(b"VP8 ", bytes(20))), "too large: .+"),
    "no-frames.webp": (riff(_vp8x(64, 48, flags=2), piece(b"ANIM", bytes(6))), _broken("WebP")),
    "first-frame-broken.webp": (_broken_animation, _broken("WebP")),
    "brand-alone.avif": (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", _broken("AVIF")),
    "brand-alone.heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", _broken("HEIC")),
    "bomb.heic": (_large_heic, "too large: Image size 65536x65536 .+"),
    "box-of-4-gb.heic": (
        lambda: patched(whole("heic"), b"meta", b"\xff" * 4, after=-4),
        _broken("HEIC"),
    ),
    "box-of-0.heic": (
        lambda: patched(whole("heic"), b"iloc", b"\0\0\0\2", after=-4),
        _broken("HEIC"),
    ),
    "pixels-broken.heic": (
        lambda: patched(whole("heic"), b"mdat", b"\xff" * 99, after=4),
        _broken("HEIC"),
    ),
    "bomb.jp2": (_jp2(width=100_000, height=100_000), "too large: .+"),
    "bomb-just-over.jp2": (
        _jp2(width=9000, height=9000, tile=9000, tile_height=9000),
        "too large: 9,000 x 9,000 pixels, at most 64,000,000 of such a JPEG2000",
    ),
    "tiles-of-1.jp2": (_jp2(width=7000, height=7000, tile=1, tile_height=1), _broken("JPEG 2000")),
    "tiles-of-0.jp2": (_jp2(tile=0), _broken("JPEG 2000")),
    "box-of-1.jp2": (
        lambda: patched(whole("jp2"), b"jp2h", b"\0\0\0\1", after=-4),
        _broken("JPEG 2000"),
    ),
    "bomb-of-digits.ppm.jpg": (b"P3 4000 4000 255\n" + b"7 " * 99, "too large: .+ of such a PPM"),
    "bomb-of-levels.ppm.jpg": (b"P6 4000 4000 99\n" + b"7" * 99, "too large: .+ of such a PPM"),
    "bomb.ppm.jpg": (b"P6 99999 99999 255\n" + b"7" * 99, "too large: .+"),
    "levels-0.ppm.jpg": (b"P6 4 4 0\n" + bytes(48), _broken("Netpbm")),
    "words.ppm.jpg": (b"P3 2 1 255\none two three four five six\n", _broken("Netpbm")),
    "few-numbers.ppm.jpg": (b"P3 2 2 255\n1 2 3\n", _broken("Netpbm")),
}
if AVIF:
    OTHERS |= {
        "bomb.avif": (
            lambda: patched(whole("avif"), b"ispe", struct.pack(">II", 2**16, 2**16), after=8),
            _broken("AVIF"),
        ),
        "box-of-4-gb.avif": (
            lambda: patched(whole("avif"), b"meta", b"\xff" * 4, after=-4),
            _broken("AVIF"),
        ),
        "no-place.avif": (
            lambda: patched(whole("avif"), b"iloc", bytes(20), after=4),
            _broken("AVIF"),
        ),
        "pixels-broken.avif": (
            lambda: patched(whole("avif"), b"mdat", b"\xff" * 60, after=4),
            _broken("AVIF"),
        ),
    }

BAD: dict[str, Bad] = {
    **NO_PHOTOS,
    **dict(_cuts()),
    **PNG,
    **JPEG,
    **GIF_AND_BMP,
    **TIFF,
    **OTHERS,
}


def content(name: str) -> bytes:
    """What is in a file of `BAD`."""
    made = BAD[name][0]
    return made if isinstance(made, bytes) else made()


# --- what is no file ------------------------------------------------------------------------------


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the address of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(path.name)
    finally:
        os.chdir(here)


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(600 * 2**20)  # takes no room on the disk


def _closed(path: Path) -> None:
    path.write_bytes(whole("jpg"))
    path.chmod(0)


ON_DISK: dict[str, tuple[Callable[[Path], object], str]] = {
    "folder.jpg": (lambda path: path.mkdir(), "not a file but a folder"),
    "pipe.jpg": (lambda path: os.mkfifo(path), "not a file but a named pipe"),
    "socket.jpg": (_socket, "not a file but a socket"),
    "zero.jpg": (lambda path: path.symlink_to("/dev/zero"), "not a file but a device"),
    "endless.jpg": (lambda path: path.symlink_to("/dev/urandom"), "not a file but a device"),
    "dangling.jpg": (lambda path: path.symlink_to("gone"), "a link to a file that is not there"),
    "loop.jpg": (lambda path: path.symlink_to(path.name), "cannot be read: Too many levels .+"),
    "sparse.jpg": (_sparse, "too large: 629,145,600 bytes, at most .+ are read for a photo"),
    "kernel.jpg": (lambda path: path.symlink_to("/proc/self/status"), "empty file"),
    # whatever a name holds, the reason is one line
    "line\nbreak.jpg": (lambda path: path.write_bytes(b"a\n"), _none_of("text")),
    "\x1b[2J.jpg": (lambda path: path.write_bytes(b"{}"), _none_of("JSON")),
    os.fsdecode(b"caf\xe9 \xff.jpg"): (lambda path: path.touch(), "empty file"),
    "l" * 251 + ".jpg": (lambda path: path.write_bytes(b"GIF89a"), _broken("GIF")),
}
if os.geteuid() != 0:  # root reads it all the same
    ON_DISK["closed.jpg"] = (_closed, "cannot be read: Permission denied")
