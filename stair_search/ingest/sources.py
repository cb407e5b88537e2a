"""Photos from folders, buckets, single files, tar files, Parquet files and lists, streamed in an
order that stays.

Folders are walked with everything below them, names in byte order, a folder's names at a time in
memory; buckets in the order of their keys, a page at a time. Links are followed, each folder is
entered once (so a loop ends). Names that start with a dot are left out. A file counts as a photo by
its extension, or else (where that costs no download) by its first bytes; whatever is named as a
source itself, or in a list, always counts.

The id of a photo is the URI of the file behind all links, so that a photo reached in two ways is
one document. Lists (`manifest`) are taken first, because they know more of a photo than a folder
does. Tar files (`shards`) and Parquet files (`tables`) are looked into, in folders too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from stair_search.errors import UsageError
from stair_search.fields import Fields

from . import shards
from .columns import Columns
from .lists import LISTS, ending, read_list
from .manifest import Manifest
from .photo import BUCKETS, Photo, PhotoError, Place, id_of, printable, uri_of
from .reading.addresses import check_url, public
from .reading.local import check_size
from .reading.reader import Reader
from .reading.stores import split, store

EXTENSIONS = frozenset(
    f".{name}"
    for name in (
        *("jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "tif", "tiff"),
        *("avif", "jp2", "heic", "heif"),
    )
)
"""Files with one of these count as photos whatever they hold: if not, that is told as a failure."""

_STARTS = (
    b"\xff\xd8\xff",  # JPEG
    b"\x89PNG\r\n\x1a\n",
    b"GIF8",
    b"II*\0",  # TIFF
    b"MM\0*",
)

TABLE = ".parquet"


class Folder(NamedTuple):
    path: Path


class Prefix(NamedTuple):
    """Of a bucket: all objects whose keys start so."""

    bucket: str
    key: str


class File(NamedTuple):
    """A photo, a tar file or a Parquet file. name: relative to its source. size, version: where
    they are known without asking.
    """

    address: str
    uri: str
    name: str
    size: int | None = None
    version: str | None = None

    @property
    def single(self) -> bool:
        """Whether it counts as one photo."""
        return not looked_into(self.name)


class Sources:
    """Sources that were found to be there.

    types: field -> type of the further columns that they fill. lists, others: what they are.
    unlisted, empty: after they have been gone through, the first thing of which it cannot be told
    which photos it holds, and the sources that held none.
    Raises UsageError where one is missing or a list cannot be used.
    """

    def __init__(
        self,
        names: Sequence[str],
        captions: Path | None,
        fields: Fields,
        columns: Columns | None = None,
        reader: Reader | None = None,
    ) -> None:
        self._columns, self._fields = columns or Columns(), fields
        self._reader = reader or Reader()
        self.lists: list[Manifest] = []
        self.others: list[Folder | Prefix | File] = []
        self.types = dict(self._columns.types or {})
        for name in names:
            self._add(name)
        self.unlisted: str | None = None
        self.empty: list[str] = []
        self._captions = self._list(str(captions)) if captions else None
        known = [*self.lists, *([self._captions] if self._captions else [])]
        self._check_named(known)
        self._check_group()
        for manifest in known:
            self.types |= manifest.types

    def _add(self, name: str) -> None:
        shown = public(name) if _on_web(name) else name
        try:
            found = self._found(name)
        except PhotoError as error:
            raise UsageError(f"source {shown!r}: {error}") from None
        if not isinstance(found, File):
            self.others.append(found)
        elif ending(found.address) in LISTS:
            self.lists.append(self._list(found.address))
        elif found.name.lower().endswith(shards.PACKED):
            raise UsageError(
                f"source {shown!r}: photos are read where they lie in a tar file, which is not "
                "possible in a compressed one: unpack it to .tar (photos hardly compress)"
            )
        elif ending(found.name) == TABLE:
            self._add_table(found)
        else:
            self.others.append(found)

    def _found(self, name: str) -> Folder | Prefix | File:
        """What a source is. Raises PhotoError where it is not there."""
        if name.startswith(BUCKETS):
            return _in_store(name)
        if _on_web(name):
            check_url(name, self._reader.allowed)
            uri = public(name, self._columns.keep_query or ())
            return File(name, uri, public(name).rpartition("/")[2])
        path = Path(name)
        try:
            there = bool(name) and path.exists()
        except OSError as error:
            raise PhotoError(f"cannot be read: {error.strerror}") from None
        if not there:
            scheme, mark, _ = name.partition("://")
            if mark and scheme.isalnum():
                raise PhotoError(f"{scheme}:// is not read: s3, gs, http, https and files are")
            raise PhotoError("there is no such file or folder")
        if path.is_dir():
            return Folder(path)
        # a list's own path, links and all: what it names lies beside it
        return File(name if ending(name) in LISTS else str(path.resolve()), "", path.name)

    def _list(self, address: str) -> Manifest:
        return read_list(address, self._reader, self._fields, self._columns)

    def _add_table(self, file: File) -> None:
        from . import tables  # brings pyarrow

        try:
            found = tables.table(file.address, self._reader, self._columns)
        except tables.DamagedError:
            self.others.append(file)  # is told when its turn comes
            return
        if found.bytes:
            self.types |= tables.types(found, self._columns, self._fields, file.uri)
            self.others.append(file)
        else:
            self.lists.append(tables.as_list(found, file.address, self._fields, self._columns))

    def _check_named(self, lists: Sequence[Manifest]) -> None:
        """Refuses a column that is named and that none of the lists has, where all can be known."""
        headers = [one.header for one in lists]
        if self.others or None in headers:
            return
        there = {name for header in headers for name in header or ()}
        missing = sorted(self._columns.named - there)
        if missing:
            found = ", ".join(map(repr, sorted(there)))
            raise UsageError(
                f"no list has a column {missing[0]!r}, which --columns names; found: {found}"
            )

    @staticmethod
    def _of_one_list(photo: Photo, before: Sequence[Manifest]) -> Photo:
        """The photo; refused where an earlier list has made the document that it shares."""
        for other in before if photo.group else ():
            if photo.group and other.holds(photo.group):
                reason = f"{other.place} has photos of {photo.group!r} too: name all in one list"
                return photo._replace(problem=printable(reason), group=None)
        return photo

    def _check_group(self) -> None:
        """Only a list says which photos share a document."""
        if not self._columns.group:
            return
        if self._captions or self.others:
            what = "--captions" if self._captions else _named(self.others[0])
            raise UsageError(
                f"--columns groups photos by {self._columns.group!r}, and {what} has no such "
                "column: photos that are grouped stand in lists"
            )

    @property
    def misread(self) -> str | None:
        """What is wrong with a row that may be of any photo; None where there is no such row."""
        return next((one.misread for one in self.lists if one.misread), None)

    @property
    def largest_group(self) -> int:
        """Photos in it; 1 where none are grouped."""
        return max((one.largest_group for one in self.lists), default=1)

    @property
    def captions_unused(self) -> bool:
        """Whether captions were given and none of the photos so far had one."""
        return self._captions is not None and not self._captions.used

    def __iter__(self) -> Iterator[Photo]:
        self.unlisted, self.empty = None, []
        column = self._columns.routing
        for name, photos in self._each():
            none = True
            for photo in photos:
                none = False
                if photo.problem and not photo.place.address and not self.unlisted:
                    self.unlisted = f"{photo.uri}: {photo.problem}"
                if column and not (photo.routing or photo.problem):
                    photo = photo._replace(problem=f"nothing stands in {column!r}, which routes it")
                yield photo
            if none and name:
                self.empty.append(name)

    def _each(self) -> Iterator[tuple[str, Iterator[Photo]]]:
        for place, manifest in enumerate(self.lists):
            before = self.lists[:place]
            photos = (self._of_one_list(photo, before) for photo in manifest.photos())
            yield manifest.place, photos
        for source in self.others:
            if isinstance(source, Folder):
                yield _named(source), self._folder(source.path.resolve())
            elif isinstance(source, Prefix):
                yield _named(source), self._prefix(source)
            else:
                yield _named(source), self._file(source, named=True)
        if self._captions:
            yield "", self._captions.nameless()

    def _folder(self, root: Path) -> Iterator[Photo]:
        entered: set[tuple[int, int]] = set()
        waiting = [root]
        while waiting:
            folder = waiting.pop()
            try:
                about = folder.stat()
                if (about.st_dev, about.st_ino) in entered:
                    continue
                entered.add((about.st_dev, about.st_ino))
                with os.scandir(folder) as found:
                    entries = sorted(found, key=lambda entry: os.fsencode(entry.name))
            except OSError as error:
                yield _unreadable(folder, error, "the folder ")
                continue
            below = []
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                path = Path(entry.path)
                try:
                    linked = entry.is_symlink()
                    if linked and path.exists():
                        path = path.resolve()
                    is_folder = path.is_dir() if linked else entry.is_dir()
                    inside = looked_into(entry.name) and path.is_file()
                except OSError as error:  # where a link leads may be closed to us
                    yield _unreadable(path, error)
                    continue
                if is_folder:
                    below.append(path)
                elif inside or is_photo(path, entry.name):
                    name = os.path.relpath(entry.path, root)
                    yield from self._file(File(str(path), "", name))
            waiting += reversed(below)

    def _prefix(self, source: Prefix) -> Iterator[Photo]:
        try:
            for file in objects(source):
                yield from self._file(file)
        except PhotoError as error:
            uri = f"{source.bucket}/{source.key}"
            yield Photo(id_of(uri), uri, Place(""), {}, f"it cannot be listed to its end: {error}")

    def _file(self, file: File, named: bool = False) -> Iterator[Photo]:
        if not file.uri:
            file = file._replace(uri=uri_of(file.address))
        if shards.is_shard(file.name) and _is_plain(file):
            inside = shards.photos(
                file.address,
                file.uri,
                self._reader,
                EXTENSIONS,
                self._columns,
                self._fields.caption,
            )
            yield from map(self._captioned, inside)
        elif ending(file.name) == TABLE and _is_plain(file):
            yield from self._table(file, named)
        else:
            problem = None
            try:
                if file.size is not None:
                    check_size(file.size)
            except PhotoError as error:
                problem = str(error)
            place = Place(file.address, version=file.version)
            photo = Photo(id_of(file.uri), file.uri, place, {}, problem)
            yield self._captioned((photo, file.name))

    def _table(self, file: File, named: bool) -> Iterator[Photo]:
        """named: as a source, so that its further columns are wanted as a list's are."""
        try:
            from . import tables

            found = tables.table(file.address, self._reader, self._columns)
            if not named and self._columns.types is None:
                found = found._replace(names=[])
            if found.bytes:
                yield from map(
                    self._captioned,
                    tables.photos(
                        found, file.address, file.uri, self._columns, self._fields.caption
                    ),
                )
            else:
                one = tables.as_list(found, file.address, self._fields, self._columns)
                yield from one.photos()
        except (PhotoError, UsageError) as error:
            yield Photo(id_of(file.uri), file.uri, Place(""), {}, str(error))

    def _captioned(self, found: tuple[Photo, str]) -> Photo:
        photo, name = found
        if self._captions is None or photo.problem:
            return photo
        return self._captions.lookup(photo, name)


def objects(source: Prefix) -> Iterator[File]:
    """What counts below a prefix, by names alone. Raises PhotoError."""
    for one in store(source.bucket).objects(source.key):
        name = one.key[len(source.key) :]
        hidden = any(part.startswith(".") for part in name.split("/"))
        if not hidden and (looked_into(name) or ending(name) in EXTENSIONS):
            address = f"{source.bucket}/{one.key}"
            yield File(address, address, name, one.size, one.version)


def is_photo(path: Path, name: str) -> bool:
    """Whether a file found in a folder counts as a photo: by its name, else by its first bytes."""
    if Path(name).suffix.lower() in EXTENSIONS:
        return True
    try:
        if not path.is_file():  # opening a pipe or a device could hang
            return False
        with path.open("rb") as file:
            start = file.read(12)
    except OSError:
        return False
    return start.startswith(_STARTS) or (start[:4] == b"RIFF" and start[8:] == b"WEBP")


def _named(source: Folder | Prefix | File) -> str:
    match source:
        case Folder(path):
            return str(path)
        case Prefix(bucket, key):
            return f"{bucket}/{key}"
        case File():
            return source.name


def _in_store(name: str) -> Prefix | File:
    """A key that is there is that object; any other is a folder's name. Raises PhotoError."""
    bucket, key = split(name)
    place = store(bucket)
    if key and not key.endswith("/"):
        found = place.find(key)
        if found:
            return File(name, name, key.rpartition("/")[2], found.size, found.version)
        key += "/"
    if next(place.objects(key), None) is None and key:
        raise PhotoError("there is no such object, and none below it")
    return Prefix(bucket, key)


def looked_into(name: str) -> bool:
    """Whether a file of this name is looked into."""
    return shards.is_shard(name) or ending(name) == TABLE


def _is_plain(file: File) -> bool:
    return Place(file.address).remote or os.path.isfile(file.address)  # noqa: PTH113 - any bytes


def _on_web(name: str) -> bool:
    return name.lower().startswith(("http://", "https://"))


def _unreadable(path: Path, error: OSError, what: str = "") -> Photo:
    uri = uri_of(path)
    return Photo(id_of(uri), uri, Place(""), {}, f"{what}cannot be read: {error.strerror}")
