"""What travels through a run: a photo from the moment it is found to its final state."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stair_search.engines.documents import LONGEST_ID

State = Literal["indexed", "unchanged", "failed"]


class Photo(NamedTuple):
    """A photo as its source knows it.

    path: absolute, links resolved; bytes that are no UTF-8 stand as Python's surrogates.
    columns: fields for its document (caption and the CSV's further columns).
    problem: why it cannot be read, where the source already knows.
    """

    id: str
    uri: str
    path: str
    columns: dict[str, Any]
    problem: str | None = None


class Work(NamedTuple):
    """A photo that must be read.

    columns_hash: of what its source says of it, see `document`. known_hash: of its content in the
    index, where nothing but the content may have changed. gone: fields that its document has and
    its source has no more.
    """

    photo: Photo
    size: int
    mtime_ns: int
    columns_hash: str
    known_hash: str | None = None
    gone: tuple[str, ...] = ()


class Prepared(NamedTuple):
    """A decoded photo. width, height: as seen, after EXIF rotation. pixels: uint8 [S, S, 3]."""

    work: Work
    content_hash: str
    width: int
    height: int
    pixels: NDArray[np.uint8]
    decode_ms: float


class Result(NamedTuple):
    """A photo in its final state; reason: why it failed, in one line."""

    photo: Photo
    state: State
    reason: str | None = None
    size: int | None = None
    mtime_ns: int | None = None
    content_hash: str | None = None
    columns_hash: str | None = None
    decode_ms: float | None = None
    encode_ms: float | None = None


class PhotoError(Exception):
    """One photo cannot be had; says why in one line. Costs that photo alone."""


def uri_of(path: str | Path) -> str:
    """The URI of a file with an absolute path, percent-encoded from the bytes of its name.

    >>> uri_of("/photos/a b.jpg")
    'file:///photos/a%20b.jpg'
    """
    return Path(path).as_uri()


def printable(text: str) -> str:
    r"""Text that can be written as UTF-8: bytes of a path that are none stand as `\udcff`."""
    return text.encode(errors="backslashreplace").decode()


def id_of(name: str) -> str:
    """A document id: the name itself, or its hash where an engine would refuse its length.

    >>> id_of("file:///photos/a.jpg")
    'file:///photos/a.jpg'
    """
    raw = name.encode()
    return name if len(raw) <= LONGEST_ID else f"sha256:{hashlib.sha256(raw).hexdigest()}"
