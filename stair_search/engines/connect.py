"""From a URL to an engine. The product's client is imported only when it is known."""

from __future__ import annotations

import base64
from pathlib import Path

from stair_search.engines.base import Engine
from stair_search.errors import UsageError


def connect(
    url: str = "sqlite:stair.db",
    *,
    api_key: str | None = None,
    username: str | None = None,
    password: str | None = None,
    ca_certs: str | None = None,
    verify_certs: bool = True,
    cloud_id: str | None = None,
    aws_region: str | None = None,
    timeout: float = 30,
) -> Engine:
    """The engine at `sqlite:PATH` or `http(s)://HOST:PORT`; the server tells which one it is.

    api_key, or username and password: credentials, also as `https://USER:PASSWORD@HOST` in the URL.
    ca_certs: file of the authority that signed the server's certificate. cloud_id: a deployment on
    Elastic Cloud, instead of the URL. aws_region: sign requests with SigV4 (Amazon OpenSearch
    Service). timeout: seconds that a request may take, or a locked file be waited for.

    Raises DestinationError where nothing that we can use is there. A missing SQLite file is no
    error: it comes to be with its first index.
    """
    if cloud_id:
        url = _of_cloud(cloud_id)
    scheme = url.partition(":")[0]
    if scheme == "sqlite":
        from stair_search.engines.embedded import SqliteEngine

        return SqliteEngine(sqlite_path(url), timeout)
    if scheme not in {"http", "https"}:
        # what stands before the colon may be a password
        what = "this" if "@" in scheme else repr(scheme)
        raise UsageError(f"{what} is no engine; the URL is sqlite:PATH or http(s)://HOST:PORT")
    from stair_search.engines.lucene.address import address

    where = address(
        url,
        api_key=api_key,
        username=username,
        password=password,
        ca_certs=ca_certs,
        verify_certs=verify_certs,
        timeout=timeout,
    )
    if aws_region:
        from stair_search.engines.opensearch import amazon

        return amazon(where, aws_region)
    from stair_search.engines.lucene.detect import probe

    info = probe(where)
    if info.product == "opensearch":
        from stair_search.engines.opensearch import opensearch

        return opensearch(where, info)
    from stair_search.engines.elasticsearch import elasticsearch

    return elasticsearch(where, info)


def sqlite_path(url: str) -> str:
    """The absolute path of the file at `sqlite:PATH` or `sqlite://PATH`.

    >>> sqlite_path("sqlite:///data/stair.db")
    '/data/stair.db'
    """
    path = url.removeprefix("sqlite:").removeprefix("//")
    if not path:
        raise UsageError(f"{url} names no file; write sqlite:PATH")
    return str(Path(path).absolute())


def _of_cloud(cloud_id: str) -> str:
    """The address within a Cloud ID: NAME:base64("DOMAIN[:PORT]$UUID OF ELASTICSEARCH$...")."""
    try:
        decoded = base64.b64decode(cloud_id.rpartition(":")[2], validate=True).decode()
        domain, uuid, *_ = decoded.split("$")
    except ValueError:
        raise UsageError(
            f"{cloud_id!r} is no Cloud ID; copy it from the deployment's page"
        ) from None
    host, _, port = domain.partition(":")
    return f"https://{uuid}.{host}:{port or 443}"
