"""What a file is by its content, and why it is no photo, in words."""

from __future__ import annotations

import codecs
import contextlib
import re
import struct
from collections.abc import Collection
from io import BytesIO

from PIL import Image


def _patterns(**kinds: bytes) -> dict[str, re.Pattern[bytes]]:
    return {name: re.compile(start, re.DOTALL) for name, start in kinds.items()}


# names as Pillow has them
PHOTOS = _patterns(
    JPEG=rb"\xff\xd8\xff",
    PNG=rb"\x89PNG\r\n\x1a\n",
    WEBP=rb"RIFF....WEBP",
    GIF=rb"GIF8[79]a",
    BMP=rb"BM",
    TIFF=rb"(II|MM)(\0[*+]|[*+]\0)",
    AVIF=rb"....ftypavi[fs]",
    HEIF=rb"....ftyp(hei[cxms]|hev[cxms]|mif1|msf1)",
    JPEG2000=rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n",
)
_OTHERS = {
    "nothing but zero bytes": re.compile(rb"\0+\Z"),
    "HTML, an error page perhaps": re.compile(
        rb"\s*(<!--.{,999}-->\s*)?<(!doctype\s+html|html|head|body)\b", re.DOTALL | re.IGNORECASE
    ),
    "SVG": re.compile(rb"\s*(<\?xml.{,999}?)?(<!--.{,999}?)?<svg\b", re.DOTALL),
    "XML": re.compile(rb"\s*<\?xml"),
    "JSON": re.compile(rb'\s*(\{\s*["}]|\[\s*[\[{"\d\]-])'),
    "PDF": re.compile(rb"%PDF-"),
    "PostScript": re.compile(rb"%!PS|\xc5\xd0\xd3\xc6"),
    "a ZIP archive": re.compile(rb"PK(\x03\x04|\x05\x06)"),
    "a gzip archive": re.compile(rb"\x1f\x8b"),
    "a RAR archive": re.compile(rb"Rar!"),
    "a 7-Zip archive": re.compile(rb"7z\xbc\xaf"),
    "a raw photo of Canon (CR3)": re.compile(rb"....ftypcrx", re.DOTALL),
    "a video (MP4, MOV)": re.compile(rb"....(ftyp|moov|mdat|wide)", re.DOTALL),
    "a video (Matroska, WebM)": re.compile(rb"\x1a\x45\xdf\xa3"),
    "a video (AVI)": re.compile(rb"RIFF....AVI ", re.DOTALL),
    "a Photoshop document": re.compile(rb"8BPS"),
    "an icon": re.compile(rb"\0\0[\x01\x02]\0[\x01-\x20]\0"),
    "JPEG XL, which Pillow cannot read": re.compile(rb"\xff\x0a|\0\0\0\x0cJXL "),
}


def _kind(data: bytes) -> str | None:
    return next((kind for kind, start in PHOTOS.items() if start.match(data)), None)


def _name(data: bytes) -> str:
    """As people call it."""
    kind = _kind(data) or "Netpbm"  # starts with a letter and a digit, as a text may
    return {"HEIF": "HEIC", "JPEG2000": "JPEG 2000", "WEBP": "WebP"}.get(kind, kind)


def unknown(data: bytes, formats: Collection[str]) -> str:
    """Why Pillow knows no reader for it."""
    kind = _kind(data)
    if kind in ("AVIF", "HEIF") and kind not in formats:
        return f"{_name(data)} needs: pip install 'stair-search[heic]'"
    if kind:
        try:
            Image.OPEN[kind][0](BytesIO(data), "").close()  # says what Image.open keeps to itself
        except Exception as error:
            return broken(error, data)
    for name, start in _OTHERS.items():
        if start.match(data):
            return f"not a photo: the content is {name}"
    with contextlib.suppress(UnicodeDecodeError):
        text = codecs.getincrementaldecoder("utf-8")().decode(data[:400])
        if not re.search(r"[\0-\x08\x0e-\x1f]", text):
            return "not a photo: the content is text"
    return "not a photo: the content is none of JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, HEIC"


_ENDED = ("truncated", "ended", "ends", "eof", "not enough", "end of file", "too small")
_LIMIT = "Security limit exceeded: "  # of libheif


def broken(error: Exception, data: bytes) -> str:
    text = line(error)
    # Pillow makes a SyntaxError of what its readers raise, with the same words
    cause = error.__cause__ if error.__cause__ and line(error.__cause__) == text else error
    if _LIMIT in text:
        return f"too large: {text.partition(_LIMIT)[2]}"
    if isinstance(cause, KeyError):
        text = f"unknown value {text}"
    elif isinstance(cause, struct.error | IndexError):
        text = "it ends within its header"
    elif not isinstance(error, OSError | SyntaxError | ValueError | RuntimeError | EOFError):
        text = f"{type(error).__name__}: {text}"
    text = _SAID.get(text, text)
    ended = any(word in text.lower() for word in _ENDED) or _too_short(data)
    return f"{'truncated' if ended else 'damaged'}: {_name(data)}: {text}"


_SAID = {
    "not identified by this driver": "its header cannot be read",
    "decoder error -2": "its compressed pixels cannot be decoded",
    "cannot load this image": "it has no pixels",
    "could not create decoder object": "it cannot be decoded",
    "image file is truncated (0 bytes not processed)": "image file is truncated",
}


def _too_short(data: bytes) -> bool:
    """Whether a WebP says that it is longer."""
    size = int.from_bytes(data[4:8], "little") + 8
    return bool(PHOTOS["WEBP"].match(data)) and size > len(data)


def line(error: BaseException) -> str:
    """What an error says, in one line that can be printed anywhere; some quote the file."""
    text = " ".join(str(error).split()) or type(error).__name__
    return "".join(c if c.isprintable() else "?" for c in text)[:300]
