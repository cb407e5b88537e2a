"""Reading files of this machine: regular ones only, whole, and never hanging."""

from __future__ import annotations

import os
import stat
from typing import BinaryIO

from ..photo import PhotoError, Place
from .content import Content

CHANGED = "the file that holds it was changed while it was read: run again"
MOST_BYTES = 512 * 2**20
"""A larger photo is refused before it is read."""

# Not every system has all of them. Without waiting: a pipe may have come since the check.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def version(place: Place) -> str:
    """The size and time of a place's file. Raises PhotoError for what cannot be a photo."""
    try:
        about = os.stat(place.address)  # noqa: PTH116 - a path may be any bytes
    except OSError as error:
        raise PhotoError(why_not(place.address, error)) from None
    except ValueError as error:
        raise PhotoError(_no_name(error)) from None
    _check(about, place)
    return version_of(about)


def read(place: Place) -> Content:
    """The whole of a regular file, or its part. Never hangs on a pipe or a device."""
    path = place.address
    try:
        with open_(path) as file:
            about = os.fstat(file.fileno())
            _check(about, place)
            if place.length is None:
                return Content(file.read(), version_of(about))
            file.seek(place.offset)
            data = file.read(place.length)
    except OSError as error:
        raise PhotoError(why_not(path, error)) from None
    if len(data) < place.length:
        raise PhotoError("truncated: its archive ends before it does")
    return Content(data, version_of(about))


def open_(path: str) -> BinaryIO:
    """A regular file, opened. Raises PhotoError."""
    try:
        _check_kind(os.stat(path))  # noqa: PTH116 - a path may be any bytes
        handle = os.open(path, _FLAGS)
        file = open(handle, "rb")  # noqa: PTH123, SIM115 - the handle of a checked file
    except OSError as error:
        raise PhotoError(why_not(path, error)) from None
    except ValueError as error:
        raise PhotoError(_no_name(error)) from None
    try:
        _check_kind(os.fstat(handle))
    except PhotoError:
        file.close()
        raise
    return file


def version_of(about: os.stat_result) -> str:
    """Of a file, by its size and time."""
    return f"stat:{about.st_size}:{about.st_mtime_ns}"


def _check(about: os.stat_result, place: Place) -> None:
    """Refuses what is no regular file, is empty or too large to be a photo."""
    _check_kind(about)
    if place.version not in (None, version_of(about)):
        raise PhotoError(CHANGED)
    if not place.cell:
        check_size(about.st_size if place.length is None else place.length)


def _check_kind(about: os.stat_result) -> None:
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    if not stat.S_ISREG(about.st_mode):
        raise PhotoError(
            f"not a file but {kinds.get(stat.S_IFMT(about.st_mode), 'something else')}"
        )


def check_size(size: int) -> None:
    """size: of a photo, in bytes. Raises PhotoError where it cannot be one's."""
    if size <= 0:
        raise PhotoError("empty file")
    if size > MOST_BYTES:
        raise PhotoError(f"too large: {size:,} bytes, at most {MOST_BYTES:,} are read for a photo")


def _no_name(error: ValueError) -> str:
    """Of a path with a NUL byte, or with what no file system has bytes for."""
    return f"cannot be read: no file has such a name ({error})"


def why_not(path: str, error: OSError) -> str:
    """Why a file cannot be opened, in one line."""
    if isinstance(error, FileNotFoundError):
        link = os.path.islink(path)  # noqa: PTH114 - a path may be any bytes
        return "a link to a file that is not there" if link else "no such file"
    return f"cannot be read: {error.strerror or error}"
