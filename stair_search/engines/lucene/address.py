"""Where a cluster is and how to be let in. Secrets stay in here: no message carries them."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from stair_search.errors import UsageError
from stair_search.version import __version__

# never with the URL or the parser's words: where it cannot be read, any part may be a password
UNREADABLE = (
    "the URL cannot be read; write http(s)://[USER:PASSWORD@]HOST:PORT, and in a password "
    "%40 for @, %2F for /, %3F for ?, %23 for #"
)


@dataclass(frozen=True, slots=True)
class Address:
    """authorization: value of the HTTP header, None without credentials."""

    scheme: str
    host: str
    port: int
    prefix: str = ""
    authorization: str | None = field(default=None, repr=False)
    ca_certs: str | None = None
    verify_certs: bool = True
    timeout: float = 30

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.prefix}"

    @property
    def headers(self) -> dict[str, str]:
        """Of every request. Slow logs and the tasks API show the opaque id: who asks."""
        named = {"x-opaque-id": f"stair-search/{__version__}"}
        return named | ({"authorization": self.authorization} if self.authorization else {})


def address(
    url: str,
    *,
    api_key: str | None = None,
    username: str | None = None,
    password: str | None = None,
    ca_certs: str | None = None,
    verify_certs: bool = True,
    timeout: float = 30,
) -> Address:
    """Reads `http(s)://[USER:PASSWORD@]HOST[:PORT][/PREFIX]`; without a port http means 9200.

    >>> address("https://me:secret@search.example").url
    'https://search.example:443'
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise UsageError(UNREADABLE) from None
    if (
        not parts.hostname
        or parts.username == ""
        or "@" in parts.path  # a password with a slash: what precedes it was taken for the host
        or parts.query
        or parts.fragment
    ):
        raise UsageError(UNREADABLE)
    if ca_certs and not Path(ca_certs).is_file():
        raise UsageError(f"there is no file {ca_certs!r} with the certificate of an authority")
    if username is None and parts.username:
        username, password = unquote(parts.username), unquote(parts.password or "")
    return Address(
        parts.scheme,
        parts.hostname,
        port or (443 if parts.scheme == "https" else 9200),
        parts.path.rstrip("/"),
        authorization(api_key, username, password),
        ca_certs,
        verify_certs,
        timeout,
    )


def authorization(api_key: str | None, username: str | None, password: str | None) -> str | None:
    """The header's value. api_key: as it is shown encoded, or `ID:KEY`."""
    if api_key:
        return f"ApiKey {_base64(api_key) if ':' in api_key else api_key}"
    if username:
        return f"Basic {_base64(username + ':' + (password or ''))}"
    return None


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
