"""One door to all places that photos, and the files that hold photos, lie in."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple, cast

from ..photo import BUCKETS, PhotoError, Place
from . import local
from .addresses import Allowed
from .content import Content
from .ranges import RangeFile
from .stores import check_bucket, split, store

MOST_LIST, LIST_SECONDS = 16 * 2**30, 3600.0
"""Of a list on a web server."""


class Opened(NamedTuple):
    """A file that may be read from any place of it. version: see `Content`."""

    file: BinaryIO
    size: int
    version: str | None


@dataclass(frozen=True)
class Reader:
    """allowed: what may be asked. May be used by several threads, and pickled."""

    allowed: Allowed = field(default_factory=Allowed)

    def version(self, place: Place) -> str | None:
        """What can be told without reading; None where only the server knows. Raises PhotoError."""
        return place.version if place.remote else local.version(place)

    def read(self, place: Place, known: str | None = None) -> Content | None:
        """None where a server says that the photo is as `known` tells.

        Raises PhotoError; UsageError where an address needs a package that is not installed.
        """
        if place.cell:
            from .parquet import cell  # brings pyarrow

            return Content(cell(self, place), place.version)
        if not place.remote:
            return local.read(place)
        part = None if place.length is None else (place.offset, place.length)
        if part:
            local.check_size(part[1])
        if place.address.startswith(BUCKETS):
            bucket, key = split(place.address)
            check_bucket(bucket, self.allowed)
            return store(bucket).read(key, part, place.version, None if place.version else known)
        from .http import Http  # brings aiohttp, which files can do without

        http = Http(self.allowed)
        if not part:
            return http.get(place.address, known)
        found = http.part(place.address, *part)
        if found.version != place.version:
            raise PhotoError(local.CHANGED)
        if len(found.data) != part[1]:
            raise PhotoError(f"{len(found.data):,} bytes came of {part[1]:,}")
        return Content(found.data, found.version)

    def open(self, address: str) -> Opened:
        """A file of any size, of which what is read alone is fetched. Raises PhotoError."""
        if address.startswith(BUCKETS):
            return self._of_store(address)
        if Place(address).remote:
            return self._of_server(address)
        file = local.open_(address)
        about = os.fstat(file.fileno())
        return Opened(file, about.st_size, local.version_of(about))

    def spool(self, address: str) -> BinaryIO:
        """A file to be read once, from its start to its end. Raises PhotoError."""
        if not address.startswith(("http://", "https://")):
            return self.open(address).file
        from .http import Http

        file = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 - whoever reads it closes it
        try:
            Http(self.allowed, LIST_SECONDS, most_bytes=MOST_LIST).save(address, file)
        except BaseException:
            file.close()
            raise
        file.seek(0)
        return file

    def _of_store(self, address: str) -> Opened:
        bucket, key = split(address)
        check_bucket(bucket, self.allowed)
        found = store(bucket).find(key)
        if not found:
            raise PhotoError(f"{bucket}: there is no such object")

        def fetch(first: int, length: int) -> bytes:
            content = store(bucket).read(key, (first, length), version=found.version)
            return content.data if content else b""

        return _ranged(fetch, found.size, found.version)

    def _of_server(self, address: str) -> Opened:
        from .http import Http

        http = Http(self.allowed)
        start = http.part(address, 0, 1)
        if start.version is None:
            raise PhotoError("its server gives no ETag and no date: fetch it, and ingest that")

        def fetch(first: int, length: int) -> bytes:
            found = http.part(address, first, length)
            if found.version != start.version:
                raise PhotoError(local.CHANGED)
            return found.data

        return _ranged(fetch, start.size, start.version)


def _ranged(fetch: Callable[[int, int], bytes], size: int, version: str | None) -> Opened:
    return Opened(cast(BinaryIO, RangeFile(fetch, size)), size, version)
