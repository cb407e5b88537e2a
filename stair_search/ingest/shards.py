"""Photos inside of tar files, WebDataset's shards among them: read where they lie, never unpacked.

A shard's members of one key (the name up to the first dot of its last part) stand together and are
a sample: `0001.jpg`, `0001.txt` (its caption), `0001.json` (an object, whose keys are columns).
"""

from __future__ import annotations

import os
import posixpath
import tarfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import quote_from_bytes

from .columns import CellError, Columns, parsed, text_of, unlisted
from .photo import Photo, PhotoError, Place, id_of, printable
from .reading.reader import Reader

ENDING = ".tar"
PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
MOST_OF_SAMPLE = 64
"""Members; usually there are three."""
MOST_TEXT = 2**20
"""Bytes of a caption or of an object beside a photo."""


def is_shard(name: str) -> bool:
    """Whether a file counts as a tar file, by its name."""
    return os.path.splitext(name)[1].lower() == ENDING  # noqa: PTH122 - quick, for millions


class _Member(NamedTuple):
    """data: of a text or an object, else None."""

    name: str
    place: Place
    data: bytes | None
    sparse: bool

    @property
    def key(self) -> str:
        """Of its sample."""
        folder, slash, last = self.name.rpartition("/")
        return f"{folder}{slash}{last.partition('.')[0]}"

    @property
    def stem(self) -> str:
        return self.name.rpartition(".")[0]

    @property
    def ending(self) -> str:
        return PurePosixPath(self.name).suffix.lower()


def photos(
    address: str,
    root: str,
    reader: Reader,
    endings: frozenset[str],
    columns: Columns,
    caption: str,
) -> Iterator[tuple[Photo, str]]:
    """The photos of a tar file with their members' names; a failure for what cannot be read of it.

    root: the file's URI. endings: of the members that count as photos. caption: the field of
    captions. The members before the place where a shard is damaged are good.
    """
    problem = None
    sample: list[_Member] = []
    try:
        for member in _members(address, reader):
            if sample and (member.key != sample[0].key or _full(sample, member)):
                yield from _photos(root, sample, endings, columns, caption)
                sample = []
            sample.append(member)
    except PhotoError as error:
        problem = str(error)
    except (OSError, tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError) as e:
        problem = f"damaged tar file, what comes after is not read: {e}"
    yield from _photos(root, sample, endings, columns, caption)
    if problem:
        yield Photo(id_of(root), root, Place(""), {}, printable(problem)), ""


def _full(sample: list[_Member], then: _Member) -> bool:
    """Whether a sample is to end: where photos of many names have all to the first dot in common,
    between two of them.
    """
    return len(sample) >= MOST_OF_SAMPLE and (
        then.stem != sample[-1].stem or len(sample) >= 2 * MOST_OF_SAMPLE
    )


def _members(address: str, reader: Reader) -> Iterator[_Member]:
    file, size, version = reader.open(address)
    with file:
        _check_packed(file.read(6))
        file.seek(0)
        with tarfile.open(fileobj=file, mode="r:") as tar:
            while (entry := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # or it would keep them all
                if not entry.isreg() or PurePosixPath(entry.name).name.startswith("."):
                    continue  # folders, links and devices are no photos
                sparse = entry.issparse()
                if not sparse and entry.offset_data + entry.size > size:
                    raise tarfile.ReadError(f"it ends in the middle of {printable(entry.name)}")
                data = None
                text = PurePosixPath(entry.name).suffix.lower() in (".txt", ".json")
                if text and not sparse and 0 <= entry.size <= MOST_TEXT:
                    file.seek(entry.offset_data)
                    data = file.read(entry.size)
                place = Place(address, entry.offset_data, entry.size, version)
                yield _Member(entry.name, place, data, sparse)
            file.seek(tar.offset)
            if any(file.read(tarfile.BLOCKSIZE)):
                raise tarfile.ReadError(f"no header of a member at byte {tar.offset:,}")


def _check_packed(start: bytes) -> None:
    for kind, magic in _PACKERS.items():
        if start.startswith(magic):
            raise PhotoError(
                f"a tar file compressed by {kind}, whatever its name says: unpack it to .tar "
                "(photos hardly compress)"
            )


_PACKERS = {
    "gzip": b"\x1f\x8b",
    "bzip2": b"BZh",
    "xz": b"\xfd7zXZ\0",
    "zstd": b"\x28\xb5\x2f\xfd",
}


def _samples(members: list[_Member]) -> Iterator[list[_Member]]:
    """Members of one key as one sample, or as several: dots may be in names of photos that have
    nothing to do with each other. What has the key alone as its name belongs to all of them.
    """
    if len({member.ending for member in members}) == len(members):
        yield members
        return
    common = [one for one in members if one.data is not None and one.stem == one.key]
    for stem, some in groupby(members, key=lambda member: member.stem):
        own = list(some)
        yield own if stem == own[0].key else [*common, *own]


def _photos(
    root: str,
    members: list[_Member],
    endings: frozenset[str],
    columns: Columns,
    caption: str,
) -> Iterator[tuple[Photo, str]]:
    taken = set[str]()  # an id names one document: the first photo has it
    for sample in _samples(members):
        shown = [member for member in sample if member.ending in endings]
        if not shown:
            continue
        problem, given, routing, told = None, None, None, dict[str, Any]()
        try:
            given, routing, told = _told(sample, columns, caption)
        except (CellError, UnicodeDecodeError) as error:
            problem = f"what stands beside it in the tar file cannot be read: {error}"
        for member in shown:
            uri = f"{root}#{quote_from_bytes(os.fsencode(member.name))}"
            wrong = "a sparse member of a tar file" if member.sparse else problem
            name = id_of(given if given and given not in taken else uri)
            taken.add(given or "")
            wrong = wrong and printable(wrong)
            photo = Photo(name, uri, member.place, told, wrong, routing)
            yield photo, posixpath.normpath(member.name)


def _told(
    members: list[_Member], columns: Columns, caption: str
) -> tuple[str | None, str | None, dict[str, Any]]:
    """The id, the routing and the columns that a sample's texts and objects give; of an object's
    further keys (and for the id) those that are declared, since tools put dozens there.
    """
    row: dict[str, Any] = {}
    for member in members:
        if member.data is None:
            continue
        if member.ending == ".json":
            row |= parsed(member.data)
        else:
            row[columns.caption] = member.data.decode()
    declared = filter(columns.keeps, row) if columns.types is not None else ()
    told = unlisted(columns.cells(row, declared, caption))
    given = text_of(row.get(columns.id)) if columns.names_id else ""
    routing = text_of(row.get(columns.routing)) if columns.routing else ""
    return given or None, routing or None, told
