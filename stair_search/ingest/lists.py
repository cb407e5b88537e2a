"""Reading a list of text, wherever it lies, by its ending."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from stair_search.errors import UsageError
from stair_search.fields import Fields

from .columns import Columns
from .manifest import Manifest
from .names import Names
from .photo import PhotoError
from .reading.reader import Reader
from .rows import csv_rows, object_rows

NDJSON = (".ndjson", ".jsonl")
LISTS = (".csv", *NDJSON)


def ending(address: str) -> str:
    """Of the last part of a path or an address, in small letters.

    >>> ending("https://example.org/a/Photos.CSV?X-Amz-Signature=1f3")
    '.csv'
    """
    path = urlsplit(address).path if address.startswith(("http://", "https://")) else address
    return os.path.splitext(path)[1].lower()  # noqa: PTH122 - quick, for millions


def read_list(address: str, reader: Reader, fields: Fields, columns: Columns) -> Manifest:
    """A CSV or NDJSON list. Raises UsageError where it as a whole cannot be used."""
    names = Names(address, columns.keep_query or ())
    try:
        with reader.spool(address) as file:
            if ending(address) in NDJSON:
                return Manifest(names, object_rows(file, names.shown), fields, columns)
            header, rows = csv_rows(file, names.shown)
            return Manifest(names, rows, fields, columns, header)
    except PhotoError as error:
        raise UsageError(f"{names.shown}: {error}") from None
    except OSError as error:
        raise UsageError(f"{names.shown} cannot be read: {error.strerror or error}") from None
