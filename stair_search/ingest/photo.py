"""What travels through a run: a photo from the moment it is found to its final state."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import quote_from_bytes

import numpy as np
from numpy.typing import NDArray

from stair_search.engines.base import Document
from stair_search.engines.documents import LONGEST_ID

State = Literal["indexed", "unchanged", "failed"]

BUCKETS = ("s3://", "gs://")
REMOTE = ("http://", "https://", *BUCKETS)

TAKEN_DOWN = "taken down"
"""The reason of a photo that is unchanged because it is kept out of the index."""


class Place(NamedTuple):
    """Where a photo's bytes are.

    address: a file's absolute path, links resolved (bytes that are no UTF-8 stand as Python's
    surrogates), s3://bucket/key, gs://bucket/key, or an http(s) address; that one may be signed, so
    it is neither stored nor shown: a photo's `uri` is. offset, length: of a part of the file, in
    bytes; length None is all of it. cell: row and column of a Parquet file that holds the photo.
    version: as its source has found it, see `Content`; of the whole file, for a part of one.
    """

    address: str
    offset: int = 0
    length: int | None = None
    version: str | None = None
    cell: tuple[int, str] | None = None

    @property
    def remote(self) -> bool:
        return self.address.startswith(REMOTE)


class Photo(NamedTuple):
    """A photo as its source knows it.

    uri: names it in the index; of a member of a tar file, that of the file with the member's name
    as its fragment. columns: fields for its document (caption and the CSV's further columns).
    problem: why it cannot be read, where the source already knows; its place has no address then
    where photos may be hidden behind it that are not known: a folder, a tar file, a row of a list.
    routing: of its document. group: the id of the document that it shares with others (see
    `groups`); its own id is then for the ledger alone.
    """

    id: str
    uri: str
    place: Place
    columns: dict[str, Any]
    problem: str | None = None
    routing: str | None = None
    group: str | None = None


class Work(NamedTuple):
    """A photo that must be read.

    version: what its place tells of it now, see `Content`; of a remote one, what it told last time.
    columns_hash: of what its source says of it, see `document`. known_hash: of its content in the
    index, where nothing but the content may have changed. gone: fields that its document has and
    its source has no more.
    """

    photo: Photo
    version: str | None
    columns_hash: str
    known_hash: str | None = None
    gone: tuple[str, ...] = ()


class Loaded(NamedTuple):
    """A photo whose bytes have been read. work: with the version that was read."""

    work: Work
    data: bytes
    content_hash: str


class Prepared(NamedTuple):
    """A decoded photo. width, height: as seen, after EXIF rotation. pixels: uint8 [S, S, 3]."""

    work: Work
    content_hash: str
    width: int
    height: int
    pixels: NDArray[np.uint8]
    decode_ms: float


class Result(NamedTuple):
    """A photo in its final state; reason: why it failed, in one line, or TAKEN_DOWN.

    Of one that shares its document: part, what the document holds of it, the caption apart; rules,
    see `document`. forget: ids of photos that the document has no more, once it is written.
    due: the document is to be written again when the photo can be read.
    """

    photo: Photo
    state: State
    reason: str | None = None
    version: str | None = None
    content_hash: str | None = None
    columns_hash: str | None = None
    decode_ms: float | None = None
    encode_ms: float | None = None
    part: dict[str, Any] | None = None
    rules: str | None = None
    forget: tuple[str, ...] = ()
    due: bool = False


class GroupWork(NamedTuple):
    """A document of several photos, some of which may be read: their `Work` follows it.

    photos: all that its source names, in order. parts: what is kept of them, by photo's id.
    results: of those that are not to be read. awaited: ids of those that are. renewed: what becomes
    of one of these that turns out to be unchanged, where its source says something else of it now.
    due: the document is to be written whatever turns out. gone: fields that it has and its source
    has no more. left: ids of photos that it has and its source has no more; unfit: of those whose
    part may not be written again.
    """

    id: str
    photos: tuple[Photo, ...]
    parts: dict[str, dict[str, Any]]
    results: tuple[Result, ...]
    awaited: tuple[str, ...]
    renewed: dict[str, Result]
    due: bool
    gone: tuple[str, ...]
    left: tuple[str, ...]
    unfit: tuple[str, ...]


class Ready(NamedTuple):
    """A document that is to be written and what becomes of its photos then."""

    document: Document
    results: tuple[Result, ...]


class PhotoError(Exception):
    """One photo cannot be had; says why in one line. Costs that photo alone."""


def uri_of(path: str | Path) -> str:
    """The URI of a file with an absolute path, percent-encoded from the bytes of its name.

    >>> uri_of("/photos/a b.jpg")
    'file:///photos/a%20b.jpg'
    """
    if os.name != "posix":
        return Path(path).as_uri()
    return f"file://{quote_from_bytes(os.fsencode(path))}"  # the same, ten times as quick


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
