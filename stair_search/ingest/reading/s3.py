"""Amazon S3 and what speaks its protocol, by boto3: environment, profiles, roles, endpoints.

Why boto3: fsspec's s3fs lists a whole bucket into memory and holds botocore back; obstore streams,
and one key with `//` in it ends its listing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, TypeVar

import tenacity

from stair_search.errors import UsageError

from ..photo import PhotoError
from .content import Content
from .local import check_size
from .stores import Object

try:
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        IncompleteReadError,
        NoCredentialsError,
        ReadTimeoutError,
        ResponseStreamingError,
    )
    from botocore.exceptions import (
        ConnectionError as NoConnectionError,
    )
except ImportError as missing:
    raise UsageError(f"s3:// needs boto3: pip install 'stair-search[s3]' ({missing})") from None

_T = TypeVar("_T")

_CUT = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)
"""While a body is read, where botocore itself does not try again."""


class Bucket:
    """A bucket. May be used by several threads."""

    def __init__(self, bucket: str) -> None:
        self._bucket, self._place = bucket, f"s3://{bucket}"
        try:
            session = boto3.session.Session()
            self._anonymous = session.get_credentials() is None
            self._client = session.client(
                "s3",
                region_name=session.region_name or "us-east-1",  # S3 says where a bucket really is
                config=Config(
                    connect_timeout=10,
                    read_timeout=60,
                    max_pool_connections=32,
                    signature_version=UNSIGNED if self._anonymous else None,
                ),
            )
        except (BotoCoreError, ValueError) as error:
            raise PhotoError(f"{self._place}: {_line(error)}") from None

    def objects(self, prefix: str) -> Iterator[Object]:
        lister = self._client.get_paginator("list_objects_v2")
        pages = iter(lister.paginate(Bucket=self._bucket, Prefix=prefix))
        while page := self._asked(lambda: next(pages, None)):
            for one in page.get("Contents", ()):
                yield Object(one["Key"], one["Size"], f"etag:{one['ETag']}")

    def find(self, key: str) -> Object | None:
        try:
            found = self._client.head_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if _status(error) == 404:
                return None
            raise self._refusal(error) from None
        except BotoCoreError as error:
            raise self._failure(error) from None
        return Object(key, found["ContentLength"], f"etag:{found['ETag']}")

    def read(
        self,
        key: str,
        part: tuple[int, int] | None = None,
        version: str | None = None,
        known: str | None = None,
    ) -> Content | None:
        told: dict[str, Any] = {}
        if part:
            told["Range"] = f"bytes={part[0]}-{part[0] + part[1] - 1}"
        if version:
            told["IfMatch"] = version.removeprefix("etag:")
        if known:
            told["IfNoneMatch"] = known.removeprefix("etag:")

        def get() -> Content:
            found = self._client.get_object(Bucket=self._bucket, Key=key, **told)
            with closing(found["Body"]) as body:
                check_size(found["ContentLength"])
                return Content(body.read(), f"etag:{found['ETag']}")

        tries = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(4),
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=10),
            retry=tenacity.retry_if_exception_type(_CUT),
            reraise=True,
        )
        try:
            return self._asked(lambda: tries(get))
        except _NotModifiedError:
            return None

    def _asked(self, act: Callable[[], _T]) -> _T:
        try:
            return act()
        except ClientError as error:
            raise self._refusal(error) from None
        except BotoCoreError as error:
            raise self._failure(error) from None

    def _refusal(self, error: ClientError) -> Exception:
        """What an answer means, by its code alone: the server's own words may name accounts."""
        code, status = str(error.response["Error"].get("Code", "")), _status(error)
        if status == 304:
            return _NotModifiedError()
        words = _WORDS.get(code) or _STATUS.get(status) or "the store refuses it"
        if status in (401, 403) and code not in _WORDS:
            words = f"{_NOBODY if self._anonymous else _DENIED}: {_REMEDY}"
        said = code if code and not code.isdigit() else str(status)
        return PhotoError(f"{self._place}: {words} ({said[:60]})")

    def _failure(self, error: BotoCoreError) -> PhotoError:
        if isinstance(error, NoCredentialsError):
            return PhotoError(f"{self._place}: no credentials: {_REMEDY}")
        if isinstance(error, NoConnectionError):
            return PhotoError(
                f"{self._place}: the store cannot be reached; AWS_ENDPOINT_URL and AWS_REGION say "
                f"where it is ({type(error).__name__})"
            )
        if isinstance(error, _CUT):
            return PhotoError(f"{self._place}: the connection was cut before the photo's end")
        return PhotoError(f"{self._place}: {_line(error)}")


class _NotModifiedError(Exception):
    pass


_NOBODY = "there are no credentials, and the public may not read it"
_DENIED = "the credentials that boto3 finds may not read it"
_REMEDY = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_WORDS = {
    "NoSuchBucket": "there is no such bucket",
    "NoSuchKey": "there is no such object",
    "InvalidObjectState": "it is archived: restore it first",
    "ExpiredToken": "the credentials have expired: get new ones",
    "RequestTimeTooSkewed": "this machine's clock is wrong",
}
_STATUS = {
    301: "it is in another region: set AWS_REGION",
    404: "there is no such object",
    412: "it was changed while it was read: run again",
    416: "it ends before the photo does",
    503: "it asks for fewer requests, again and again",
}


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _line(error: Exception) -> str:
    """What a library says of its settings; it quotes no secret."""
    return " ".join(str(error).split())[:200]
