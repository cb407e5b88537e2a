"""Google Cloud Storage by its own library, which finds the application's default credentials.

A version is an object's generation: its ETag changes with every change of its metadata.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from stair_search.errors import UsageError

from ..photo import PhotoError
from .content import Content
from .local import check_size
from .stores import Object

try:
    from google.api_core.exceptions import GoogleAPICallError
    from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
    from google.cloud import storage
    from google.cloud.storage.retry import DEFAULT_RETRY
except ImportError as missing:
    raise UsageError(
        f"gs:// needs google-cloud-storage: pip install 'stair-search[gs]' ({missing})"
    ) from None

_T = TypeVar("_T")

RETRY = DEFAULT_RETRY.with_timeout(60)
CONNECTIONS = 10
"""The library keeps so many open; of more it would throw some away after each request."""


class Bucket:
    """A bucket. May be used by several threads."""

    def __init__(self, bucket: str) -> None:
        self._place = f"gs://{bucket}"
        self._anonymous = False
        try:
            self._client = storage.Client()
        except DefaultCredentialsError:
            self._anonymous = True
            self._client = storage.Client.create_anonymous_client()
        except Exception as error:
            raise self._failure(error) from None
        self._bucket = self._client.bucket(bucket)
        self._free = threading.BoundedSemaphore(CONNECTIONS)

    def objects(self, prefix: str) -> Iterator[Object]:
        fields = "items(name,size,generation),nextPageToken"
        found = self._client.list_blobs(self._bucket, prefix=prefix, fields=fields, retry=RETRY)
        pages = iter(found.pages)
        while (page := self._asked(lambda: next(pages, None))) is not None:
            for one in page:
                yield _object(one)

    def find(self, key: str) -> Object | None:
        blob = self._asked(lambda: self._bucket.get_blob(key, retry=RETRY))
        return _object(blob) if blob else None

    def read(
        self,
        key: str,
        part: tuple[int, int] | None = None,
        version: str | None = None,
        known: str | None = None,
    ) -> Content | None:
        told: dict[str, Any] = {"raw_download": True, "retry": RETRY}
        if part:
            told |= {"start": part[0], "end": part[0] + part[1] - 1}
        elif version is None:  # found by no listing, which would have told how large it is
            found = self.find(key)
            if found is None:
                raise PhotoError(f"{self._place}: {_WORDS[404]}")
            if found.version == known:
                return None
            check_size(found.size)
            version = found.version
        if version:
            told["if_generation_match"] = int(version.removeprefix("generation:"))
        blob = self._bucket.blob(key)
        data = self._asked(lambda: blob.download_as_bytes(**told))
        return Content(data, f"generation:{blob.generation}" if blob.generation else version)

    def _asked(self, act: Callable[[], _T]) -> _T:
        try:
            with self._free:
                return act()
        except Exception as error:  # of requests, of two Google libraries
            raise self._failure(error) from None

    def _failure(self, error: Exception) -> PhotoError:
        """What an answer means, or that there is none, in words that name the bucket alone."""
        if isinstance(error, GoogleAuthError):
            return PhotoError(f"{self._place}: the credentials cannot be used: {_REMEDY}")
        if not isinstance(error, GoogleAPICallError):
            return PhotoError(f"{self._place}: the store cannot be reached: {type(error).__name__}")
        code = int(error.code or 0)
        words = _WORDS.get(code, "the store refuses it")
        if code in (401, 403):
            words = f"{_NOBODY if self._anonymous else _DENIED}: {_REMEDY}"
        return PhotoError(f"{self._place}: {words} ({code})")


def _object(blob: Any) -> Object:
    return Object(blob.name, int(blob.size), f"generation:{blob.generation}")


_NOBODY = "there are no credentials, and the public may not read it"
_DENIED = "the credentials may not read it"
_REMEDY = "set GOOGLE_APPLICATION_CREDENTIALS, or: gcloud auth application-default login"
_WORDS = {
    404: "there is no such bucket or object",
    412: "it was changed while it was read: run again",
    416: "it ends before the photo does",
    429: "it asks for fewer requests, again and again",
}
