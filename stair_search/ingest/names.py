"""What a list calls a photo, as a URI and an address.

A list of this machine may name its files. One from a store or a server may not: its names are
addresses, or lie beside it.
"""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes, urljoin

from .columns import CellError
from .photo import BUCKETS, PhotoError, uri_of
from .reading.addresses import Allowed, check_url, public
from .reading.stores import split

ANYWHERE = Allowed(private=True)
"""Where an address may lead is asked when it is read; here, whether it is one."""

_SAFE = "".join(map(chr, range(0x21, 0x7F)))


@dataclass(frozen=True)
class Names:
    """The names in one list. place: the list's path or address. keep_query: see `Columns`."""

    place: str
    keep_query: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """The list's place as it may be told."""
        remote = self.place.startswith(("http://", "https://"))
        return public(self.place, self.keep_query) if remote else self.place

    @property
    def uri(self) -> str:
        return self.shown if "://" in self.place else uri_of(Path(self.place).absolute())

    def resolve(self, name: str) -> tuple[str, str]:
        """The URI and the address. Raises CellError, PhotoError."""
        scheme, mark, rest = name.partition("://")
        scheme = scheme.lower()
        if "\0" in name:
            raise CellError("a NUL byte in the image's name")
        if mark and scheme in ("http", "https"):
            return self._web(f"{scheme}://{rest}")
        if mark and f"{scheme}://" in BUCKETS:
            return _object(f"{scheme}://{rest}")
        if mark and scheme.isalnum() and scheme != "file":
            raise CellError(f"{scheme}:// is not read: http, https, s3, gs and files are")
        if "://" in self.place:
            return self._beside(name)
        if mark and scheme == "file":
            name = os.fsdecode(unquote_to_bytes(rest.removeprefix("localhost")))
        path = _file(Path(self.place).absolute().parent, name)
        return uri_of(path), path

    def _web(self, url: str) -> tuple[str, str]:
        check_url(url, ANYWHERE)
        return public(url, self.keep_query), url

    def _beside(self, name: str) -> tuple[str, str]:
        if name.lower().startswith("file:") or name.startswith(("/", "\\")):
            raise CellError("a list from elsewhere names no files of this machine")
        if not self.place.startswith(BUCKETS):
            return self._web(urljoin(self.place, quote(name, safe=_SAFE)))
        bucket, key = split(self.place)
        key = posixpath.normpath(posixpath.join(posixpath.dirname(key), name))
        if key.startswith("../"):
            raise CellError("a name that leads out of its bucket")
        return _object(f"{bucket}/{key}")


def _object(address: str) -> tuple[str, str]:
    _, key = split(address)
    if not key:
        raise PhotoError("the address names a bucket and no object")
    return address, address


def _file(folder: Path, name: str) -> str:
    beside, among = folder / name, folder / "images" / name
    try:
        chosen = beside if os.path.lexists(beside) or not os.path.lexists(among) else among
        return os.path.realpath(chosen)
    except OSError:  # a name that no file system takes, e.g. too long
        return str(beside)
