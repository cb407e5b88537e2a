"""Hostile addresses and hostile servers: refused with a clear reason, in time, and not reached.

No test here allows private addresses: servers stand behind public ones, see `conftest`.
"""

from __future__ import annotations

import gzip
import itertools
import socket
import time
from collections.abc import Callable

import pytest

from stair_search.ingest.reading.addresses import Allowed
from stair_search.ingest.reading.http import MOST_REDIRECTS, Http, _Resolver
from tests.ingest.reading.conftest import OTHER, PHOTO, PUBLIC, Internet, Request, Server, refused
from tests.ingest.reading.hostile import HOSTILE, NAMES

pytestmark = pytest.mark.slow

HTTP = Http(seconds=5)
OURS = "http://photos.example.net/a.jpg"


@pytest.fixture(autouse=True)
def _names(internet: Internet) -> None:
    internet.names |= {name: [addresses] for name, addresses in NAMES.items()}


def test_the_list_is_long() -> None:
    assert len(HOSTILE) >= 60


@pytest.mark.parametrize("address", HOSTILE)
def test_a_hostile_address_is_refused_and_nothing_is_connected(
    address: str, internet: Internet, inner: Server
) -> None:
    url = address.replace("PORT", str(inner.server_port))
    assert HOSTILE[address] in refused(HTTP, url)
    assert internet.connected == [] and inner.connections == 0


# a header ends at the end of its line, and without a scheme it is a path of the same server
REDIRECTS = [
    a for a in HOSTILE if "//" in a and a[0] not in " /" and not set(a) & set("\r\n\ud800")
]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("address", REDIRECTS[::20])
def test_redirects_of_every_status(
    address: str, status: int, internet: Internet, inner: Server, server: Server
) -> None:
    _redirected(address, status, internet, inner, server)


@pytest.mark.parametrize("address", REDIRECTS)
def test_a_redirect_to_a_hostile_address_is_refused(
    address: str, internet: Internet, inner: Server, server: Server
) -> None:
    _redirected(address, 302, internet, inner, server)


def _redirected(
    address: str, status: int, internet: Internet, inner: Server, server: Server
) -> None:
    to = address.replace("PORT", str(inner.server_port))
    server.paths["/a.jpg"] = lambda request: request.redirect(to, status)
    refused(HTTP, OURS)
    assert internet.connected == [PUBLIC] and inner.connections == 0


def test_a_redirect_says_who_led_where(server: Server, inner: Server) -> None:
    server.paths["/a.jpg"] = lambda request: request.redirect(f"{inner.url}/?s3cret")
    assert refused(HTTP, OURS) == (
        "photos.example.net redirects: 127.0.0.1 is this machine: --allow-private-addresses lets "
        "it be read"
    )


@pytest.mark.parametrize("to", ["", "//127.0.0.1/", "http://[::1", "http:///", "\\\\127.0.0.1\\"])
def test_relative_redirects_are_checked_too(to: str, internet: Internet, server: Server) -> None:
    server.paths["/a.jpg"] = lambda request: request.redirect(to)
    assert "photos.example.net redirects" in refused(HTTP, OURS)
    assert internet.connected == [PUBLIC]


def test_a_redirect_to_a_host_that_is_not_allowed(internet: Internet, server: Server) -> None:
    server.paths["/a.jpg"] = lambda request: request.redirect("http://evil.example.com/")
    http = Http(Allowed(("*.example.net",)), seconds=5)
    assert "--allow-host evil.example.com adds it" in refused(http, OURS)
    assert internet.lookups == ["photos.example.net"]


def test_a_redirect_loop_ends(server: Server) -> None:
    server.paths["/a.jpg"] = lambda request: request.redirect("/a.jpg")
    assert f"more than {MOST_REDIRECTS} redirects" in refused(HTTP, OURS)
    assert len(server.requests) == MOST_REDIRECTS + 1


def test_a_name_that_resolves_twice_differently(internet: Internet, server: Server) -> None:
    """What connects is what was checked, and a second connection is checked anew."""
    internet.names["rebind.example.net"] = [[PUBLIC], ["127.0.0.1"]]
    server.paths["/a.jpg"] = lambda request: request.answer(Connection="close")
    url = f"http://rebind.example.net:{server.server_port}/a.jpg"
    content = HTTP.get(url)
    assert content and content.data == PHOTO
    assert internet.lookups == ["rebind.example.net"] and internet.connected == [PUBLIC]
    assert "rebind.example.net (127.0.0.1) is this machine" in refused(HTTP, url)
    assert len(internet.lookups) == 2 and internet.connected == [PUBLIC]


def test_a_name_that_resolves_differently_after_its_own_redirect(
    internet: Internet, server: Server
) -> None:
    internet.names["rebind.example.net"] = [[PUBLIC], ["169.254.169.254"]]
    server.paths["/a.jpg"] = lambda request: request.raw(
        b"HTTP/1.1 302 Found\r\nLocation: /latest/meta-data/\r\nContent-Length: 0\r\n"
        b"Connection: close\r\n\r\n"
    )
    assert "is a cloud's metadata service" in refused(HTTP, "http://rebind.example.net/a.jpg")
    assert internet.connected == [PUBLIC]


@pytest.mark.parametrize("answers", [["127.0.0.1"], [OTHER, "127.0.0.1"], ["127.0.0.1", "::1"]])
def test_a_resolver_that_lets_everything_through_meets_the_second_wall(
    answers: list[str], internet: Internet, inner: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unchecked(self: _Resolver, host: str, port: int = 0, family: int = 0) -> object:
        return await self._system.resolve(host, port)

    monkeypatch.setattr(_Resolver, "resolve", unchecked)
    internet.names["lies.example.net"] = [answers]
    refused(HTTP, f"http://lies.example.net:{inner.server_port}/", within=4)
    assert set(internet.connected) <= {OTHER} and inner.connections == 0


# --- servers ------------------------------------------------------------------------------------

HEAD = b"HTTP/1.1 200 OK\r\n"
BOMB = gzip.compress(bytes(50_000_000))


def endless(request: Request) -> None:
    request.raw(HEAD, b"\r\n", *itertools.repeat(bytes(65536), 2000))


def endless_chunks(request: Request) -> None:
    chunk = b"10000\r\n" + bytes(65536) + b"\r\n"
    request.raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *itertools.repeat(chunk, 2000))


def drip(start: bytes, drop: bytes) -> Callable[[Request], None]:
    return lambda request: request.raw(start, *itertools.repeat(drop, 200), pause=0.05)


def silent(request: Request) -> None:
    request.raw(b"", pause=6)


def length(claimed: str, body: bytes = PHOTO) -> Callable[[Request], None]:
    return lambda request: request.raw(HEAD + f"Content-Length: {claimed}\r\n\r\n".encode(), body)


SLOW = "photos.example.net gave no whole photo within 1 s"
CUT = "photos.example.net: the connection was cut"
TOO_LARGE = "too large: "
MALFORMED = "photos.example.net: its answer is malformed HTTP"

SERVERS: dict[str, tuple[Callable[[Request], object], str]] = {
    "endless body": (endless, TOO_LARGE),
    "endless chunks": (endless_chunks, TOO_LARGE),
    "body drop by drop": (drip(HEAD + b"Content-Length: 9999\r\n\r\n", b"x"), SLOW),
    "body without length drop by drop": (drip(HEAD + b"\r\n", b"x"), SLOW),
    "chunks drop by drop": (
        drip(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        SLOW,
    ),
    "headers drop by drop": (drip(HEAD, b"X: y\r\n"), SLOW),
    "status drop by drop": (drip(b"HTTP/1.1 200 ", b"O"), SLOW),
    "one endless header": (lambda r: r.raw(HEAD + b"X: ", *[b"x" * 9999] * 999), MALFORMED),
    "endless headers": (lambda r: r.raw(HEAD, *[b"X: y\r\n" * 999] * 99), MALFORMED),
    "endless 1xx": (drip(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"), SLOW),
    "silence": (silent, SLOW),
    "no answer at all": (lambda r: r.raw(), CUT),
    "no HTTP": (lambda r: r.raw(b"SSH-2.0-OpenSSH_9.6\r\n"), MALFORMED),
    "longer than it is": (length("99999"), CUT),
    "negative length": (length("-1"), MALFORMED),
    "no number as length": (length("many"), MALFORMED),
    "two lengths": (length("5\r\nContent-Length: 6"), MALFORMED),
    "huge length": (length(str(2**62)), TOO_LARGE),
    "hugest length": (length(str(2**70)), MALFORMED),
    "length over the limit": (length(str(2**20 + 1)), TOO_LARGE),
    "length and chunks": (length("5\r\nTransfer-Encoding: chunked"), MALFORMED),
    "bad chunks": (
        lambda r: r.raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc"),
        "photos.example.net: ",  # it depends on what comes in one piece
    ),
    "cut in mid-body": (length("20000", PHOTO[:5000]), CUT),
    "cut in mid-chunk": (
        lambda r: r.raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\nffff\r\nabc"),
        CUT,
    ),
    "gzip bomb": (lambda r: r.answer(200, BOMB, Content_Encoding="gzip"), "sends it compressed"),
    "unknown encoding": (lambda r: r.answer(200, Content_Encoding="br, x"), "sends it compressed"),
    "304 unasked": (lambda r: r.answer(304, b""), "answers 304"),
    "206": (lambda r: r.answer(206), "answers 206: Partial Content"),
    "no content": (lambda r: r.answer(204, b""), "answers 204: No Content"),
    "wants a password": (lambda r: r.answer(401), "answers 401: it wants credentials"),
    "forbidden": (lambda r: r.answer(403), "answers 403: not allowed"),
    "not found": (lambda r: r.answer(404), "answers 404: no such photo"),
    "gone": (lambda r: r.answer(410), "answers 410: the photo is gone"),
    "teapot": (lambda r: r.answer(418), "answers 418: "),
    "unknown status": (lambda r: r.answer(799), "answers 799: no known status"),
    "choices": (lambda r: r.answer(300), "answers 300: Multiple Choices"),
    "busy for an hour": (lambda r: r.answer(503, Retry_After="3600"), "asks to wait 3,600 s"),
    "always broken": (lambda r: r.answer(500), "answers 500: Internal Server Error"),
}


@pytest.mark.parametrize("name", SERVERS)
def test_a_hostile_server_costs_its_photo_and_little_time(
    name: str, server: Server, internet: Internet
) -> None:
    path, reason = SERVERS[name]
    server.paths["/a.jpg"] = path
    http = Http(seconds=1, most_bytes=2**20)
    assert reason in refused(http, f"{OURS}?token=s3cret", within=3)
    good = http.get("http://photos.example.net/good.jpg")
    assert good and good.data == PHOTO


def test_a_name_server_that_is_silent(internet: Internet, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*args: object, **options: object) -> list[object]:
        time.sleep(3)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    http = Http(seconds=1, connect_seconds=0.3)
    assert "no connection in 0.3 s" in refused(http, OURS, within=2.5)


def test_a_host_that_answers_no_connection(internet: Internet) -> None:
    internet.names["away.example.net"] = [[OTHER]]
    reason = refused(HTTP, "http://away.example.net/a.jpg", within=4)
    assert reason == "away.example.net: no connection: Network is unreachable"
    assert internet.connected == [OTHER, OTHER]
