"""Reading a photo's file: regular files only, whole, and never hanging."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from .photo import PhotoError

MOST_BYTES = 512 * 2**20
"""A larger file is refused before it is read."""

# Not every system has all of them. Without waiting: a pipe may have come since the check.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class Content(NamedTuple):
    """A file as it was read; size in bytes and time of that moment."""

    data: bytes
    size: int
    mtime_ns: int


def read(path: str) -> Content:
    """The whole of a regular file. Never hangs on a pipe or a device."""
    try:
        check_file(os.stat(path))  # noqa: PTH116 - a path may be any bytes
        handle = os.open(path, _FLAGS)
        with open(handle, "rb") as file:  # noqa: PTH123 - the handle of a checked file
            about = os.fstat(handle)
            check_file(about)
            return Content(file.read(), about.st_size, about.st_mtime_ns)
    except OSError as error:
        raise PhotoError(why_not(path, error)) from None


def check_file(about: os.stat_result) -> None:
    """Refuses what is no regular file, is empty or too large to be a photo."""
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
    if not about.st_size:
        raise PhotoError("empty file")
    if about.st_size > MOST_BYTES:
        raise PhotoError(
            f"too large: {about.st_size:,} bytes, at most {MOST_BYTES:,} are read for a photo"
        )


def why_not(path: str, error: OSError) -> str:
    """Why a file cannot be opened, in one line."""
    if isinstance(error, FileNotFoundError):
        link = os.path.islink(path)  # noqa: PTH114 - a path may be any bytes
        return "a link to a file that is not there" if link else "no such file"
    return f"cannot be read: {error.strerror or error}"
