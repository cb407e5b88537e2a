"""The bytes of a photo, from wherever it lies; the only step that waits for disks and servers."""

from __future__ import annotations

import hashlib
from typing import Any, TypeGuard

from .photo import Loaded, PhotoError, Result, Work
from .reading.reader import Reader

READERS = 16
"""Threads that wait for servers."""


def is_remote(item: Any) -> TypeGuard[Work]:
    """Whether it is a photo that must be waited for."""
    return isinstance(item, Work) and item.photo.place.remote


def read(work: Work, reader: Reader) -> Loaded | Result:
    """Reads and hashes a photo; a final result where it is known already, or cannot be had.

    Raises UsageError where its address needs a package that is not installed.
    """
    try:
        content = reader.read(work.photo.place, work.version if work.known_hash else None)
    except PhotoError as error:
        return Result(work.photo, "failed", str(error))
    except MemoryError:
        return Result(work.photo, "failed", "too large: there is not enough memory for it")
    if content is None:
        return Result(work.photo, "unchanged", None, work.version)
    digest = hashlib.sha256(content.data).hexdigest()
    if digest == work.known_hash:
        return Result(work.photo, "unchanged", None, content.version)
    return Loaded(work._replace(version=content.version), content.data, digest)
