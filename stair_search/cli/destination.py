"""Which engine and index, and how to get in.

Secrets come from the environment alone, since everyone on a machine can read its command lines.
Nothing here is printed but the URL without them.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

import click
from click.core import ParameterSource

from ..errors import UsageError
from .command import utf8
from .output import warn

if TYPE_CHECKING:
    from ..engines.base import Engine

URLS = ("STAIR_SEARCH_URL", "ELASTICSEARCH_URL", "OPENSEARCH_URL")
DEFAULT_URL = "sqlite:stair.db"
AWS_HOSTS = (".es.amazonaws.com", ".on.aws")

F = TypeVar("F", bound=Callable[..., Any])


class Credentials(NamedTuple):
    """How to get in. `repr` shows none of it."""

    username: str | None = None
    password: str | None = None
    api_key: str | None = None

    def __repr__(self) -> str:
        return "Credentials(...)" if any(self) else "Credentials()"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a command works. `url` is without secrets. aws_region: as given, see `connect`."""

    url: str
    index: str
    credentials: Credentials
    ca_certs: str | None
    verify_certs: bool
    cloud_id: str | None
    aws_region: str | None
    timeout: float

    def at(self, url: str, index: str) -> Destination:
        """The same for another place, with the credentials that belong there."""
        if url == self.url:
            return replace(self, index=index)
        url, credentials = _with_credentials(url, None)
        return replace(self, url=url, index=index, credentials=credentials, cloud_id=None)

    def connect(self) -> Callable[[], Engine]:
        """A call that connects. Can be pickled, for executors in other processes."""
        from ..engines import connect

        return functools.partial(
            connect,
            self.url,
            **self.credentials._asdict(),
            ca_certs=self.ca_certs,
            verify_certs=self.verify_certs,
            cloud_id=self.cloud_id,
            # a host of Amazon's may have users of its own as well, who sign nothing
            aws_region=self.aws_region or (None if any(self.credentials) else _region_of(self.url)),
            timeout=self.timeout,
        )

    @contextmanager
    def open(self) -> Iterator[Engine]:
        """A connection that is closed at the end."""
        if not self.verify_certs and self.url.startswith("https:"):
            warn(f"--no-verify-certs: nobody checks that {self.url} is who it says")
        with closing(self.connect()()) as engine:
            yield engine


def destination_options(command: F) -> F:
    """Adds the options of a destination; the command gets them as `destination`."""

    @functools.wraps(command)
    def with_destination(
        *args: Any,
        url: str | None,
        index: str,
        ca_certs: str | None,
        no_verify_certs: bool,
        aws_region: str | None,
        timeout: float,
        **kwargs: Any,
    ) -> Any:
        ctx = click.get_current_context()
        source = ctx.get_parameter_source("url")
        if url and source in (ParameterSource.COMMANDLINE, ParameterSource.DEFAULT_MAP):
            _refuse_secret(url)
        cloud_id = os.environ.get("CLOUD_ID") or None
        if cloud_id and source == ParameterSource.DEFAULT_MAP:
            url = None  # the environment wins over a file
        if url:
            cloud_id = None
        if not index:
            raise UsageError("--index is empty: name an index, or leave it out for 'photos'")
        url, credentials = _with_credentials(url or ("" if cloud_id else DEFAULT_URL), cloud_id)
        destination = Destination(
            url=url,
            index=index,
            credentials=credentials,
            ca_certs=ca_certs,
            verify_certs=not no_verify_certs,
            cloud_id=cloud_id,
            aws_region=aws_region,
            timeout=timeout,
        )
        return command(*args, destination=destination, **kwargs)

    for option in reversed(_OPTIONS):
        with_destination = option(with_destination)
    return with_destination  # type: ignore[return-value]


class Seconds(click.FloatRange):
    """A time that a clock can wait for: `nan` is within every range."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        seconds = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value!r} is not a number of seconds", param, ctx)
        return float(seconds)


_OPTIONS = (
    click.option(
        "--url",
        envvar=URLS,
        metavar="URL",
        help=f"sqlite:PATH or http(s)://HOST:PORT.  [default: {DEFAULT_URL}]  [env: "
        f"{', '.join(URLS)}, CLOUD_ID]",
    ),
    click.option(
        "--index",
        envvar="STAIR_SEARCH_INDEX",
        callback=utf8,
        default="photos",
        show_default=True,
        metavar="NAME",
        help="The index, or an alias of it.",
    ),
    click.option(
        "--ca-certs",
        envvar=("STAIR_SEARCH_CA_CERTS", "SSL_CERT_FILE"),
        type=click.Path(exists=True, dir_okay=False),
        help="Certificates that vouch for the server (PEM).",
    ),
    click.option(
        "--no-verify-certs",
        envvar="STAIR_SEARCH_NO_VERIFY_CERTS",
        is_flag=True,
        help="Do not check who the server is.",
    ),
    click.option(
        "--aws-region",
        envvar="STAIR_SEARCH_AWS_REGION",
        metavar="REGION",
        help="Sign requests for Amazon OpenSearch Service (SigV4). Without a user and password, a "
        "host of Amazon's takes the region from AWS_REGION.",
    ),
    click.option(
        "--timeout",
        envvar="STAIR_SEARCH_TIMEOUT",
        type=Seconds(min=0, min_open=True, max=86_400),
        default=30,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait for an answer.",
    ),
)


def _refuse_secret(url: str) -> None:
    # anywhere, since a password may hold what ends the host: / ? #
    if "@" in url and not url.startswith("sqlite:"):
        raise UsageError(
            "--url, or url in stair-search.toml, holds a user or password, which others could read "
            "there; put the URL into STAIR_SEARCH_URL, or set ES_USERNAME and ES_PASSWORD (or "
            "ES_API_KEY, or OPENSEARCH_USERNAME and OPENSEARCH_PASSWORD)"
        )


def _with_credentials(url: str, cloud_id: str | None) -> tuple[str, Credentials]:
    """The URL without its user and password, and the credentials that belong there."""
    if url.startswith("sqlite:"):
        return url, Credentials()
    url, in_url = _split(url)
    return url, in_url or _from_environment(url, cloud_id)


def _split(url: str) -> tuple[str, Credentials | None]:
    """The URL without its user and password, and these. No message repeats what is not read."""
    try:
        parts = urlsplit(url)
        user, secret, _ = parts.username, parts.password, parts.port
    except ValueError:
        raise UsageError(_UNREADABLE) from None
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    if "@" in bare:
        raise UsageError(_UNREADABLE)
    if user is None:
        return url, None
    return bare, Credentials(username=unquote(user), password=unquote(secret or ""))


_UNREADABLE = (
    "the URL cannot be read; it looks like https://HOST:9200, and a user or password in it has "
    "%2F, %3F, %23 and %40 for / ? # and @"
)


def _from_environment(url: str, cloud_id: str | None) -> Credentials:
    """The credentials that belong to the engine at this URL.

    The engine is not known before it answers, and one engine's key is not sent to the other: the
    variable that the URL came from decides, and where it came from elsewhere, only one may be set.
    """
    get = os.environ.get
    elastic = Credentials(
        get("ES_USERNAME") or None, get("ES_PASSWORD") or None, get("ES_API_KEY") or None
    )
    opensearch = Credentials(
        get("OPENSEARCH_USERNAME") or None, get("OPENSEARCH_PASSWORD") or None, None
    )
    if cloud_id or url == get("ELASTICSEARCH_URL") != get("OPENSEARCH_URL"):
        chosen = elastic
    elif url == get("OPENSEARCH_URL") != get("ELASTICSEARCH_URL"):
        chosen = opensearch
    elif any(elastic) and any(opensearch):
        raise UsageError(
            f"ES_* and OPENSEARCH_* credentials are both set: which are for {url}? Name it in "
            "ELASTICSEARCH_URL or OPENSEARCH_URL, or unset the others"
        )
    else:
        chosen = elastic if any(elastic) else opensearch
    if chosen.api_key:
        return Credentials(api_key=chosen.api_key)  # a key and a user at once: the key is newer
    return chosen


def _region_of(url: str) -> str | None:
    host = urlsplit(url).hostname or ""
    if not host.endswith(AWS_HOSTS):
        return None
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
