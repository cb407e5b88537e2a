"""A file of which parts are fetched as they are asked for; tar and Parquet files are read so."""

from __future__ import annotations

import io
from collections.abc import Callable

from .local import MOST_BYTES

LEAST, MOST = 2**17, 2**23
"""Bytes fetched at once: few after a jump, twice as many each time that reading goes on."""


class RangeFile(io.RawIOBase):
    """fetch: the bytes from an offset, so many of them. size: of the whole file.

    What `fetch` raises is raised by `read`.
    """

    def __init__(self, fetch: Callable[[int, int], bytes], size: int) -> None:
        self.size = size
        self._fetch = fetch
        self._at = self._start = 0
        self._held = b""
        self._ahead = LEAST

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise OSError("a place before the file's start")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """As many as are wanted, fewer at the file's end alone."""
        wanted = max(0, min(len(buffer), self.size - self._at))
        filled = 0
        while filled < wanted:
            if not self._start <= self._at < self._start + len(self._held):
                self._get(wanted - filled)
            some = self._held[self._at - self._start :][: wanted - filled]
            buffer[filled : filled + len(some)] = some
            filled += len(some)
            self._at += len(some)
        return filled

    def _get(self, wanted: int) -> None:
        near = 0 <= self._at - (self._start + len(self._held)) <= self._ahead
        self._ahead = min(MOST, 2 * self._ahead) if near else LEAST
        length = min(max(min(wanted, MOST_BYTES), self._ahead), self.size - self._at)
        self._start, self._held = self._at, b""  # not both in memory
        self._held = self._fetch(self._at, length)
        if len(self._held) != length:
            raise OSError(f"{len(self._held):,} bytes came of {length:,}")
