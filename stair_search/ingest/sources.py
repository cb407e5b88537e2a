"""Photos from folders, single files, tar files and lists, streamed in an order that stays.

Folders are walked with everything below them, names in byte order, a folder's names at a time in
memory. Links are followed, each folder is entered once (so a loop ends). Names that start with a
dot are left out. A file counts as a photo by its extension, or else by its first bytes; whatever
is named as a source itself, or in a CSV, always counts.

The id of a photo is the URI of the file behind all links, so that a photo reached in two ways is
one document. Lists (`manifest`) are taken first, because they know more of a photo than a folder
does. Tar files (`shards`) are looked into, in folders too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from stair_search.errors import UsageError
from stair_search.fields import Fields

from . import shards
from .columns import Columns
from .manifest import NDJSON, Manifest
from .photo import Photo, Place, id_of, uri_of

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
    ) -> None:
        self._columns, self._caption = columns or Columns(), fields.caption
        self.lists: list[Manifest] = []
        self.others: list[Path] = []
        for name in names:
            path = Path(name)
            try:
                there = bool(name) and path.exists()
            except OSError as error:
                raise UsageError(f"source {name!r} cannot be read: {error.strerror}") from None
            if not there:
                raise UsageError(f"source {name!r}: there is no such file or folder")
            if path.suffix.lower() in (".csv", *NDJSON) and not path.is_dir():
                self.lists.append(Manifest(path, fields, columns))
            elif path.name.lower().endswith(shards.PACKED):
                raise UsageError(
                    f"source {name!r}: photos are read where they lie in a tar file, which is not "
                    "possible in a compressed one: unpack it to .tar (photos hardly compress)"
                )
            else:
                self.others.append(path)
        self.unlisted: str | None = None
        self.empty: list[Path] = []
        self._captions = Manifest(captions, fields, columns) if captions else None
        known = [*self.lists, *([self._captions] if self._captions else [])]
        self._check_named(known)
        self.types = dict(self._columns.types or {})
        for manifest in known:
            self.types |= manifest.types

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

    @property
    def captions_unused(self) -> bool:
        """Whether captions were given and none of the photos so far had one."""
        return self._captions is not None and not self._captions.used

    def __iter__(self) -> Iterator[Photo]:
        self.unlisted, self.empty = None, []
        column = self._columns.routing
        for path, photos in self._each():
            none = True
            for photo in photos:
                none = False
                if photo.problem and not photo.place.address and not self.unlisted:
                    self.unlisted = f"{photo.uri}: {photo.problem}"
                if column and not (photo.routing or photo.problem):
                    photo = photo._replace(problem=f"nothing stands in {column!r}, which routes it")
                yield photo
            if none:
                self.empty.append(path)

    def _each(self) -> Iterator[tuple[Path, Iterator[Photo]]]:
        for manifest in self.lists:
            yield manifest.path, manifest.photos()
        for path in self.others:
            if path.is_dir():
                yield path, self._folder(path.resolve())
            elif shards.is_shard(path.name) and path.is_file():
                yield path, self._shard(path.resolve())
            else:
                yield path, iter([self._photo(path.resolve(), path.name)])

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
                except OSError as error:  # where a link leads may be closed to us
                    yield _unreadable(path, error)
                    continue
                if is_folder:
                    below.append(path)
                elif shards.is_shard(entry.name) and path.is_file():
                    yield from self._shard(path)
                elif is_photo(path, entry.name):
                    yield self._photo(path, os.path.relpath(entry.path, root))
            waiting += reversed(below)

    def _photo(self, path: Path, name: str) -> Photo:
        uri = uri_of(path)
        photo = Photo(id_of(uri), uri, Place(str(path)), {})
        return self._captions.lookup(photo, name) if self._captions else photo

    def _shard(self, path: Path) -> Iterator[Photo]:
        for photo, name in shards.photos(path, EXTENSIONS, self._columns, self._caption):
            if self._captions and not photo.problem:
                photo = self._captions.lookup(photo, name)
            yield photo


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


def _unreadable(path: Path, error: OSError, what: str = "") -> Photo:
    uri = uri_of(path)
    return Photo(id_of(uri), uri, Place(""), {}, f"{what}cannot be read: {error.strerror}")
