"""Object stores: `s3://bucket/key` and `gs://bucket/key`, listed a page at a time, read by ranges.

Keys are taken as they are, also those that no path could be (`a//b.jpg`, `a/../b`): an address is
the bucket and the key, with nothing encoded. Credentials, endpoint and region are the operator's,
from where the libraries find them; where they find none, a bucket is read as the public may.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from ..photo import BUCKETS, PhotoError
from .addresses import Allowed, shown
from .content import Content

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,220}[A-Za-z0-9]")


class Object(NamedTuple):
    """One of a store's objects. version: see `Content`."""

    key: str
    size: int
    version: str


class Store(Protocol):
    """A bucket. What cannot be done raises PhotoError with the bucket and a remedy."""

    def objects(self, prefix: str) -> Iterator[Object]:
        """All whose keys start so, in the order of the keys, a page at a time in memory."""
        ...

    def find(self, key: str) -> Object | None: ...

    def read(
        self,
        key: str,
        part: tuple[int, int] | None = None,
        version: str | None = None,
        known: str | None = None,
    ) -> Content | None:
        """part: first byte and number of bytes. version: it must be this one. known: None is
        returned where it is this one; not both.
        """
        ...


def split(address: str) -> tuple[str, str]:
    """The bucket with its scheme, and the key.

    Raises PhotoError where there is no such bucket's name, without showing it: it may be a secret.

    >>> split("s3://photos/2024/a b.jpg")
    ('s3://photos', '2024/a b.jpg')
    """
    scheme, _, rest = address.partition("://")
    bucket, _, key = rest.partition("/")
    if f"{scheme}://" not in BUCKETS or not _BUCKET.fullmatch(bucket):
        raise PhotoError(f"no name of a bucket: write {scheme}://bucket/key, no credentials")
    return f"{scheme}://{bucket}", key


def check_bucket(bucket: str, allowed: Allowed) -> None:
    """Refuses a bucket that only a list names: it would be read with the operator's credentials."""
    if bucket not in allowed.buckets:
        raise PhotoError(
            f"{shown(bucket)} is no source, and read with your credentials: "
            f"--allow-host {shown(bucket)} allows it"
        )


def store(bucket: str) -> Store:
    """bucket: with its scheme. Raises UsageError where its library is not installed."""
    # By process: connections do not outlive a fork.
    key = (os.getpid(), bucket)
    with _lock:
        if key not in _stores:
            _stores[key] = _open(*bucket.split("://"))
        return _stores[key]


def _open(scheme: str, name: str) -> Store:
    if scheme == "s3":
        from . import s3

        return s3.Bucket(name)
    from . import gs

    return gs.Bucket(name)


_stores: dict[tuple[int, str], Store] = {}
_lock = threading.Lock()
