"""Where a photo lies, from the URI that its document keeps."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from .text import one_line

if TYPE_CHECKING:
    from ..engines import Engine


def path_of(uri: str) -> str | None:
    """The path of a `file:` URI; None for what lies elsewhere.

    >>> path_of("file:///photos/a%20b.jpg")
    '/photos/a b.jpg'
    """
    if not uri.startswith("file:///"):
        return None
    return os.fsdecode(unquote_to_bytes(uri.removeprefix("file://")))


def document_of(engine: Engine, index: str, text: str) -> str:
    """The id that is meant: the text itself, or that of the photo at the path that `shown` told."""
    from ..ingest.photo import uri_of

    if "://" in text or engine.get(index, text) is not None:
        return text
    uri = uri_of(os.path.abspath(text))  # noqa: PTH100 - as it was ingested: links are kept
    return uri if engine.get(index, uri) is not None else text


def shown(uri: str) -> str:
    """A path that can be opened from here, short where the photo lies below; else the URI."""
    path = path_of(uri)
    if path is None:
        return one_line(uri)
    try:
        below = os.path.relpath(path)
    except OSError:  # the folder that we are in was deleted
        return one_line(path)
    return one_line(path if below.startswith("..") else below)
