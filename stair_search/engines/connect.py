"""From a URL to an engine."""

from __future__ import annotations

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
    """The engine at `sqlite:PATH` or `http(s)://HOST:PORT`."""
    if url.startswith("sqlite:"):
        from stair_search.engines.embedded import SqliteEngine

        path = url.removeprefix("sqlite:").removeprefix("//")
        if not path:
            raise UsageError("sqlite: names no file; write sqlite:PATH")
        return SqliteEngine(path, timeout)
    raise UsageError(f"{url}: write sqlite:PATH or http(s)://HOST:PORT")
