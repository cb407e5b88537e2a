"""Photos from web servers: only from where `addresses` allows, within bounds of size and time.

What is checked is what is connected to: each name is resolved once a connection, every address that
it has is checked, and the one that a socket is made for is checked again, which is also where IP
addresses in an address end, since aiohttp resolves only names. Redirects are followed by hand, so
that each is checked like the first address. No proxies (they would connect in our place), no
cookies, no credentials, no decompression. Reasons name hosts, never an address with its query.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import re
import socket
import ssl
import sys
import threading
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from io import BytesIO
from typing import IO, Any, NamedTuple, TypeVar
from urllib.parse import quote, urljoin

import tenacity

from stair_search import __version__
from stair_search.errors import UsageError

from ..photo import PhotoError
from .addresses import Allowed, check_characters, check_ip, check_url, shown
from .content import Content
from .local import MOST_BYTES

try:
    import aiohttp
    from aiohttp.abc import AbstractResolver, ResolveResult
    from yarl import URL
except ImportError as missing:
    raise UsageError(
        f"photos on web servers need aiohttp: pip install 'stair-search[remote]' ({missing})"
    ) from None

MOST_REDIRECTS = 5
_RANGE = re.compile(r"bytes ([0-9]{1,15})-[0-9]{1,15}/([0-9]{1,15})")

_T = TypeVar("_T")
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))
_MANY = sys.maxsize


@dataclass(frozen=True)
class Http:
    """Reads photos from web servers; from many threads, and pickled from many processes.

    seconds: for a photo with all redirects and further tries; connect_seconds: for each
    connection, its name resolved. Each process keeps one event loop and its open connections for
    equal settings, until it ends. TLS is verified against the system's certificates, or those in
    the file that SSL_CERT_FILE names.
    """

    allowed: Allowed = field(default_factory=Allowed)
    seconds: float = 60.0
    connect_seconds: float = 10.0
    most_bytes: int = MOST_BYTES

    def get(self, url: str, known: str | None = None) -> Content | None:
        """The photo; None where it is still the version that is `known` from an earlier run.

        Raises PhotoError. 429, 5xx and cut connections are tried again while there is time.
        """
        found = self._asked(_Ask(url, known))
        assert not isinstance(found, Part)
        return found

    def part(self, url: str, first: int, length: int) -> Part:
        """So many bytes of a file, fewer at its end. Raises PhotoError."""
        found = self._asked(_Ask(url, part=(first, length)))
        assert isinstance(found, Part)
        return found

    def save(self, url: str, file: IO[bytes]) -> None:
        """The whole of a file of at most `most_bytes` into another. Raises PhotoError."""
        self._asked(_Ask(url, file=file))

    def _asked(self, ask: _Ask) -> Content | Part | None:
        check_url(ask.url, self.allowed)
        background = _background(self)
        try:
            # Longer than the deadline inside, which says it better.
            return background.run(_get(self, background.session, ask), self.seconds + 10)
        except TimeoutError:
            raise PhotoError(f"not read within {self.seconds:g} s") from None


class Part(NamedTuple):
    """A part of a file, and the size of the whole. version: of the whole, see `Content`."""

    data: bytes
    version: str | None
    size: int


class _Ask(NamedTuple):
    """known: a version that is not to be sent again. file: takes what is read."""

    url: str
    known: str | None = None
    part: tuple[int, int] | None = None
    file: IO[bytes] | None = None


class _LaterError(Exception):
    """May pass later; after: seconds that the server asks for; tries: at most."""

    def __init__(self, reason: str, tries: int = _MANY, after: float = 0.0) -> None:
        super().__init__(reason)
        self.tries = tries
        self.after = after


async def _get(http: Http, session: aiohttp.ClientSession, ask: _Ask) -> Content | Part | None:
    said: list[str] = []
    tries = tenacity.AsyncRetrying(
        sleep=asyncio.sleep,
        before_sleep=lambda state: said.append(str(_later(state))),
        wait=_wait,
        stop=tenacity.stop_any(tenacity.stop_before_delay(http.seconds), _Enough()),
        retry=tenacity.retry_if_exception_type(_LaterError),
        reraise=True,
    )
    try:
        async with asyncio.timeout(http.seconds):
            return await tries(_follow, http, session, ask)
    except TimeoutError:
        host = shown(URL(ask.url, encoded=True).raw_host or "")
        before = f"; before that, {said[-1]}" if said else ""
        raise PhotoError(f"{host} gave no whole photo within {http.seconds:g} s{before}") from None
    except _LaterError as error:
        raise PhotoError(str(error)) from None


def _wait(state: tenacity.RetryCallState) -> float:
    """Full jitter, on top of what the server asks for, so that not all come back at once."""
    return _jitter(state) + _later(state).after


_jitter = tenacity.wait_random_exponential(multiplier=0.5, max=30)


class _Enough(tenacity.stop.stop_base):
    def __call__(self, retry_state: tenacity.RetryCallState) -> bool:
        return retry_state.attempt_number >= _later(retry_state).tries


def _later(state: tenacity.RetryCallState) -> _LaterError:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, _LaterError)  # nothing else is tried again
    return error


async def _follow(http: Http, session: aiohttp.ClientSession, ask: _Ask) -> Content | Part | None:
    for _ in range(MOST_REDIRECTS + 1):
        answer = await _once(http, session, ask)
        if not isinstance(answer, str):
            return answer
        ask = ask._replace(url=answer)
    raise PhotoError(f"more than {MOST_REDIRECTS} redirects")


async def _once(
    http: Http, session: aiohttp.ClientSession, ask: _Ask
) -> Content | Part | str | None:
    """One request; a text is the address that it is redirected to."""
    # As it was written: what yarl would rewrite may be signed.
    where = URL(quote(ask.url, safe=_PRINTABLE), encoded=True)
    host = shown(where.raw_host or "")
    headers = _conditions(ask.known)
    if ask.part:
        headers["Range"] = f"bytes={ask.part[0]}-{sum(ask.part) - 1}"
    try:
        async with session.get(where, headers=headers, allow_redirects=False) as answer:
            if answer.status in (301, 302, 303, 307, 308):
                return _target(http, host, ask.url, answer.headers.get("Location"))
            if answer.status == 304 and ask.known:
                return None
            if ask.part and answer.status in (200, 206):
                return await _part(http, host, answer, ask.part[0])
            if answer.status != 200:
                raise _refusal(host, answer.status, answer.headers)
            return await _content(http, host, answer, ask)
    except (PhotoError, _LaterError):
        raise
    except Exception as error:
        # Any at all: the errors of aiohttp hold the whole address, and cost this photo alone.
        raise _failure(http, host, error) from None


async def _content(
    http: Http, host: str, answer: aiohttp.ClientResponse, ask: _Ask
) -> Content | None:
    _check_coding(host, answer)
    length = answer.content_length
    _check_size(http, length or 0)
    if ask.known and _version(answer.headers, length) == ask.known:
        return None  # a server that takes no conditions: the rest is not read
    file = ask.file or BytesIO()
    file.seek(0)
    file.truncate()  # of a try before
    size = 0
    async for chunk in answer.content.iter_chunked(2**18):
        size += len(chunk)
        _check_size(http, size)
        file.write(chunk)
    data = file.getvalue() if isinstance(file, BytesIO) else b""
    return Content(data, _version(answer.headers, size))


async def _part(http: Http, host: str, answer: aiohttp.ClientResponse, first: int) -> Part:
    _check_coding(host, answer)
    told = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    if answer.status != 206 or not told or int(told[1]) != first:
        raise PhotoError(f"{host} gives no parts of files: fetch the file, and ingest that")
    _check_size(http, answer.content_length or 0)
    data = bytearray()
    async for chunk in answer.content.iter_chunked(2**18):
        data += chunk
        _check_size(http, len(data))
    size = int(told[2])
    return Part(bytes(data), _version(answer.headers, size), size)


def _check_coding(host: str, answer: aiohttp.ClientResponse) -> None:
    encoding = answer.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        # Nobody knows how large it becomes.
        raise PhotoError(f"{host} sends it compressed ({shown(encoding)}), although asked not to")


def _check_size(http: Http, size: int) -> None:
    if size > http.most_bytes:
        raise PhotoError(f"too large: {size:,} bytes or more, at most {http.most_bytes:,} are read")


def _target(http: Http, host: str, url: str, location: str | None) -> str:
    """Where a redirect leads to, if it may be read."""
    try:
        if not location:
            raise PhotoError("to nowhere")
        check_characters(location)
        # urljoin would take `http:///x` for a path of this server
        absolute = ":" in location.partition("/")[0]
        target = location if absolute else urljoin(url, location)
        check_url(target, http.allowed)
        if url.lower().startswith("https:") and not target.lower().startswith("https:"):
            raise PhotoError("from https to http, which anybody on the way can change")
    except ValueError:
        raise PhotoError(f"{host} redirects: the new address is malformed") from None
    except PhotoError as error:
        raise PhotoError(f"{host} redirects: {error}") from None
    return target


def _version(headers: Mapping[str, str], size: int | None) -> str | None:
    """See `Content`. An ETag is opaque: weak ones are equal as texts too."""
    etag, modified = (_short(headers.get(name)) for name in ("ETag", "Last-Modified"))
    if etag:
        return f"etag:{etag}"
    return f"time:{size}:{modified}" if modified and size is not None else None


def _short(value: str | None) -> str:
    value = (value or "").strip()
    return value if len(value) <= 256 and value.isascii() and value.isprintable() else ""


def _conditions(known: str | None) -> dict[str, str]:
    """The headers that ask for a photo only if it is another version."""
    kind, _, value = (known or "").partition(":")
    if kind == "etag":
        return {"If-None-Match": value}
    return {"If-Modified-Since": value.partition(":")[2]} if kind == "time" else {}


_WORDS = {
    401: "it wants credentials",
    403: "not allowed, or a signed address that has expired",
    404: "no such photo",
    410: "the photo is gone",
    429: "too many requests",
}


def _refusal(host: str, status: int, headers: Mapping[str, str]) -> Exception:
    """What an answer that is no photo means."""
    words = _WORDS.get(status)
    if words is None:
        words = HTTPStatus(status).phrase if status in set(HTTPStatus) else "no known status"
    reason = f"{host} answers {status}: {words}"
    if status in (408, 429) or 500 <= status < 600:
        after = _retry_after(headers.get("Retry-After", ""))
        asked = f"; it asks to wait {after:,.0f} s" if after else ""
        # an error of the server's own seldom passes in a minute, and holds a reader for so long
        tries = _MANY if status in (408, 429, 503) else 3
        return _LaterError(reason + asked, tries, after)
    return PhotoError(reason)


def _retry_after(text: str) -> float:
    """Seconds to wait, from a number of them or a date; 0 where it says nothing."""
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        when = parsedate_to_datetime(text)
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        return max(0.0, (when - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):
        return 0.0


def _failure(http: Http, host: str, error: Exception) -> Exception:
    """Why no answer came, in words that hold nothing of the address but its host."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            why = getattr(error.certificate_error, "verify_message", "") or "not valid"
            return PhotoError(f"{host}: its TLS certificate is refused: {why}")
        case aiohttp.ClientConnectorSSLError():
            return PhotoError(f"{host}: no TLS connection can be made")
        case aiohttp.ClientConnectorDNSError():
            if error.errno != socket.EAI_AGAIN:
                return PhotoError(f"{host}: no such host")
            return _LaterError(f"{host}: its name cannot be resolved now", tries=2)
        case aiohttp.ClientConnectorError():
            why = os.strerror(error.errno) if error.errno else "cannot be reached"
            return _LaterError(f"{host}: no connection: {why}", tries=2)
        case TimeoutError():
            return _LaterError(f"{host}: no connection in {http.connect_seconds:g} s", tries=2)
        case OSError() | aiohttp.ClientConnectionError() | aiohttp.ClientPayloadError():
            return _LaterError(f"{host}: the connection was cut before the photo's end", tries=5)
        case aiohttp.ClientResponseError():
            return PhotoError(f"{host}: its answer is malformed HTTP")
    return PhotoError(f"{host}: cannot be read: {type(error).__name__}")


class _Resolver(AbstractResolver):
    """The system's; refuses a name of which any address is refused."""

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed
        self._system = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._system.resolve(host, port, family)
        for one in found:
            check_ip(one["host"], self._allowed, host)
        return found

    async def close(self) -> None:
        await self._system.close()


async def _session(http: Http) -> aiohttp.ClientSession:
    def checked_socket(to: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = to
        check_ip(address[0], http.allowed)
        return socket.socket(family, kind, protocol)

    connector = aiohttp.TCPConnector(
        limit=0,  # the threads that ask are the limit
        resolver=_Resolver(http.allowed),
        use_dns_cache=False,  # each connection resolves, and checks, its own
        socket_factory=checked_socket,
        ssl=ssl.create_default_context(),
    )
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None, connect=http.connect_seconds),
        headers={
            "Accept": "image/*, */*;q=0.5",
            "Accept-Encoding": "identity",
            "User-Agent": f"stair-search/{__version__}",
        },
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
    )


class _Background:
    """An event loop in a thread of its own, and a session in it."""

    def __init__(self, http: Http) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_log)
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="stair-http", daemon=True
        )
        self._thread.start()
        self.session = self.run(_session(http), 60)

    def run(self, work: Coroutine[Any, Any, _T], seconds: float) -> _T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(seconds)
        except BaseException:  # an interrupt too: nobody waits for it any more
            future.cancel()
            raise

    def close(self) -> None:
        self.run(self.session.close(), 10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


def _log(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What asyncio has to say, without the objects, which hold addresses."""
    kind = type(context.get("exception")).__name__
    logging.getLogger(__name__).debug("%s (%s)", context.get("message"), kind)


# By process: after a fork the parent's are there, but not its threads. They are kept, not closed:
# closing them would take the parent's sockets off the epoll that both share.
_backgrounds: dict[tuple[int, Http], _Background] = {}
_lock = threading.Lock()


def _background(http: Http) -> _Background:
    key = (os.getpid(), http)
    with _lock:
        if key not in _backgrounds:
            _backgrounds[key] = _Background(http)
        return _backgrounds[key]


@atexit.register
def close_all() -> None:
    """Ends this process's connections; at its end by itself."""
    with _lock:
        for key in [key for key in _backgrounds if key[0] == os.getpid()]:
            _backgrounds.pop(key).close()
