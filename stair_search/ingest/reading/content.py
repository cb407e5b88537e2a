"""What reading a photo gives."""

from __future__ import annotations

from typing import NamedTuple


class Content(NamedTuple):
    """A photo's bytes as they were read.

    version: what tells a later run that they are the same without reading them: `stat:SIZE:NS` of a
    file, `etag:"…"` as a server wrote it, else `time:SIZE:LAST-MODIFIED`, else None.
    """

    data: bytes
    version: str | None
