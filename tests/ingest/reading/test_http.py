"""Photos from web servers: read, known again, tried again, in threads and processes, over TLS."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import ssl
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from email.utils import formatdate
from pathlib import Path

import pytest
import trustme

from stair_search.ingest.photo import PhotoError
from stair_search.ingest.reading.addresses import Allowed
from stair_search.ingest.reading.content import Content
from stair_search.ingest.reading.http import Http
from tests.ingest.reading.conftest import PHOTO, PUBLIC, Internet, Request, Server, refused

HTTP = Http(Allowed(private=True), seconds=10)


def flaky(*answers: Callable[[Request], object]) -> Callable[[Request], object]:
    """One after the other, then the photo."""
    rest = list(answers)
    return lambda request: (rest.pop(0) if rest else Request.answer)(request)


# --- good photos --------------------------------------------------------------------------------


def test_a_photo(server: Server) -> None:
    assert HTTP.get(f"{server.url}/a.jpg") == Content(PHOTO, None)
    sent = server.headers[0]
    assert sent["accept-encoding"] == "identity"
    assert sent["user-agent"].startswith("stair-search/")
    assert not sent.keys() & {"authorization", "cookie", "referer"}


def test_this_machine_only_in_words(server: Server) -> None:
    assert "--allow-private-addresses" in refused(Http(), f"{server.url}/a.jpg")
    assert server.connections == 0


def test_an_address_is_sent_as_it_is_signed(server: Server) -> None:
    signed = "/a%2Fb%7E/%c3%A9.jpg?X=a%2Fb%3D&sig=%2B+/=&e=%20"
    HTTP.get(f"{server.url}{signed}#top")
    HTTP.get(f"{server.url}/写.jpg")
    assert server.requests == [signed, "/%E5%86%99.jpg"]


@pytest.mark.parametrize(
    "answer",
    [
        lambda request: request.raw(b"HTTP/1.0 200 OK\r\n\r\n", PHOTO),
        lambda request: request.raw(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            *(b"1\r\n%c\r\n" % byte for byte in PHOTO),
            b"0\r\n\r\n",
        ),
        lambda request: request.answer(200, Content_Encoding="identity"),
    ],
    ids=["no length", "chunks of a byte", "identity"],
)
def test_in_every_wrapping(answer: Callable[[Request], object], server: Server) -> None:
    server.paths["/a.jpg"] = answer
    assert HTTP.get(f"{server.url}/a.jpg") == Content(PHOTO, None)


def test_a_photo_of_the_largest_size(server: Server) -> None:
    assert Http(HTTP.allowed, most_bytes=len(PHOTO)).get(f"{server.url}/") == Content(PHOTO, None)
    reason = refused(Http(HTTP.allowed, most_bytes=len(PHOTO) - 1), f"{server.url}/")
    assert reason.startswith("too large: ")


def test_redirects_are_followed(server: Server, inner: Server) -> None:
    server.paths["/a"] = lambda request: request.redirect("b/../c?x=1", 301)
    server.paths["/b/../c"] = lambda request: request.redirect(f"{inner.url}/d", 308)
    server.paths["/c"] = server.paths["/b/../c"]
    assert HTTP.get(f"{server.url}/a") == Content(PHOTO, None)
    assert inner.requests == ["/d"]


def test_no_cookies_are_kept(server: Server) -> None:
    server.paths["/a"] = lambda request: request.answer(Set_Cookie="who=me; Path=/")
    HTTP.get(f"{server.url}/a")
    HTTP.get(f"{server.url}/b")
    assert "cookie" not in server.headers[1]


def test_no_proxy_is_asked(server: Server, inner: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, inner.url)
    monkeypatch.setenv("no_proxy", "")
    HTTP.get(f"{server.url}/a.jpg")
    assert inner.connections == 0


# --- known again --------------------------------------------------------------------------------


@pytest.mark.parametrize("etag", ['"abc"', 'W/"abc"', "unquoted", '"a:b,c"'])
def test_an_etag_is_known_again(etag: str, server: Server) -> None:
    def answer(request: Request) -> None:
        same = request.headers["If-None-Match"] == etag
        request.answer(304 if same else 200, b"" if same else PHOTO, ETag=etag)

    server.paths["/a.jpg"] = answer
    first = HTTP.get(f"{server.url}/a.jpg")
    assert first == Content(PHOTO, f"etag:{etag}")
    assert HTTP.get(f"{server.url}/a.jpg", first.version) is None
    assert HTTP.get(f"{server.url}/a.jpg", 'etag:"other"') == first
    assert HTTP.get(f"{server.url}/a.jpg", 'W/"abc"') == first  # of no kind that is ours


def test_size_and_time_where_there_is_no_etag(server: Server) -> None:
    when = formatdate(1_700_000_000, usegmt=True)

    def answer(request: Request) -> None:
        same = request.headers["If-Modified-Since"] == when
        request.answer(304 if same else 200, b"" if same else PHOTO, Last_Modified=when)

    server.paths["/a.jpg"] = answer
    first = HTTP.get(f"{server.url}/a.jpg")
    assert first == Content(PHOTO, f"time:{len(PHOTO)}:{when}")
    assert HTTP.get(f"{server.url}/a.jpg", first.version) is None


def test_a_server_that_takes_no_conditions_sends_its_headers_only(server: Server) -> None:
    """Known by its headers: the body that never comes is not waited for."""
    server.paths["/a.jpg"] = lambda request: request.raw(
        b'HTTP/1.1 200 OK\r\nETag: "abc"\r\nContent-Length: 99\r\n\r\n', pause=3
    )
    started = time.monotonic()
    assert HTTP.get(f"{server.url}/a.jpg", 'etag:"abc"') is None
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("etag", ["", "é" * 3, "x" * 300])
def test_an_etag_that_cannot_be_kept_is_none(etag: str, server: Server) -> None:
    server.paths["/a.jpg"] = lambda request: request.raw(
        f"HTTP/1.1 200 OK\r\nETag: {etag}\r\nContent-Length: 1\r\n\r\nx".encode()
    )
    assert HTTP.get(f"{server.url}/a.jpg") == Content(b"x", None)


# --- tried again --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answers",
    [
        [lambda request: request.answer(503)] * 2,
        [lambda request: request.answer(429), lambda request: request.answer(500)],
        [lambda request: request.raw(b"")],
        [lambda request: request.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n", b"x")],
    ],
    ids=["503", "429 and 500", "no answer", "cut in mid-body"],
)
def test_what_passes_is_tried_again(
    answers: list[Callable[[Request], object]], server: Server
) -> None:
    server.paths["/a.jpg"] = flaky(*answers)
    assert HTTP.get(f"{server.url}/a.jpg") == Content(PHOTO, None)
    assert len(server.requests) == len(answers) + 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 416])
def test_what_does_not_pass_is_asked_for_once(status: int, server: Server) -> None:
    server.paths["/a.jpg"] = lambda request: request.answer(status)
    assert f"127.0.0.1 answers {status}: " in refused(HTTP, f"{server.url}/a.jpg", within=1)
    assert len(server.requests) == 1


@pytest.mark.slow
@pytest.mark.parametrize("after", ["1", lambda: formatdate(time.time() + 2, usegmt=True)])
def test_retry_after_is_waited_for(after: str | Callable[[], str], server: Server) -> None:
    text = after if isinstance(after, str) else after()
    server.paths["/a.jpg"] = flaky(lambda request: request.answer(429, Retry_After=text))
    started = time.monotonic()
    assert HTTP.get(f"{server.url}/a.jpg") == Content(PHOTO, None)
    assert 0.9 < time.monotonic() - started < 5


@pytest.mark.parametrize("after", ["3600", "9" * 99, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_wait_beyond_the_deadline_is_not_begun(after: str, server: Server) -> None:
    server.paths["/a.jpg"] = lambda request: request.answer(429, Retry_After=after)
    assert "asks to wait" in refused(HTTP, f"{server.url}/a.jpg", within=1)


@pytest.mark.parametrize("after", ["", "soon", "-5", "1e9", "Mon, 01 Jan 1990 00:00:00 GMT", "²"])
def test_a_retry_after_that_says_nothing(after: str, server: Server) -> None:
    server.paths["/a.jpg"] = flaky(
        lambda request: request.raw(
            f"HTTP/1.1 503 x\r\nRetry-After: {after}\r\nContent-Length: 0\r\n\r\n".encode()
        )
    )
    assert HTTP.get(f"{server.url}/a.jpg") == Content(PHOTO, None)


def test_nobody_listens(server: Server) -> None:
    server.server_close()
    reason = refused(HTTP, f"{server.url}/a.jpg")
    assert reason == "127.0.0.1: no connection: Connection refused"


# --- threads and processes ----------------------------------------------------------------------


def test_many_threads_at_once(server: Server) -> None:
    """They share one loop, and none waits for another's photo."""

    def slow(request: Request) -> None:
        time.sleep(0.5)
        request.answer()

    server.paths["/slow"] = slow
    started = time.monotonic()
    with ThreadPoolExecutor(5) as pool:
        photos = list(pool.map(HTTP.get, [f"{server.url}/slow"] * 10))
    assert photos == [Content(PHOTO, None)] * 10
    assert time.monotonic() - started < 3
    assert server.connections <= 6  # kept open


def test_pickled_it_is_the_same(server: Server) -> None:
    HTTP.get(f"{server.url}/a.jpg")
    copy = pickle.loads(pickle.dumps(HTTP))
    assert copy == HTTP
    assert copy.get(f"{server.url}/a.jpg") == Content(PHOTO, None)
    assert server.connections == 1  # one loop for equal settings


def _read(http: Http, url: str) -> tuple[int, Content | None]:
    return os.getpid(), http.get(url)


@pytest.mark.parametrize("start", ["spawn", "fork"])
def test_in_another_process_while_this_one_goes_on(start: str, server: Server) -> None:
    url = f"{server.url}/a.jpg"
    HTTP.get(url)
    with ProcessPoolExecutor(1, multiprocessing.get_context(start)) as pool:
        pid, content = pool.submit(_read, HTTP, url).result(60)
    assert pid != os.getpid() and content == Content(PHOTO, None)
    assert HTTP.get(url) == Content(PHOTO, None)


def test_photo_errors_survive_pickling(server: Server) -> None:
    server.paths["/a.jpg"] = lambda request: request.answer(404)
    with pytest.raises(PhotoError) as caught:
        HTTP.get(f"{server.url}/a.jpg?s3cret")
    raw = pickle.dumps(caught.value)
    assert str(pickle.loads(raw)) == str(caught.value) and b"s3cret" not in raw


# --- TLS ----------------------------------------------------------------------------------------


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """Trusted by this test."""
    authority = trustme.CA()
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    return authority


def secure(server: Server, authority: trustme.CA, name: str = "photos.example.net") -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)


OURS = "https://photos.example.net/a.jpg"


def test_over_tls(server: Server, internet: Internet, authority: trustme.CA) -> None:
    secure(server, authority)
    assert Http().get(OURS) == Content(PHOTO, None)


def test_an_unknown_authority_is_refused(
    server: Server, internet: Internet, authority: trustme.CA
) -> None:
    secure(server, trustme.CA())
    assert "TLS certificate is refused: " in refused(Http(), f"{OURS}?s3cret")


def test_a_certificate_of_another_host_is_refused(
    server: Server, internet: Internet, authority: trustme.CA
) -> None:
    secure(server, authority, "other.example.net")
    assert "TLS certificate is refused: Hostname mismatch" in refused(Http(), OURS)


def test_a_server_without_tls_is_refused(server: Server, internet: Internet) -> None:
    assert refused(Http(), OURS) == "photos.example.net: no TLS connection can be made"


@pytest.mark.parametrize(
    ("to", "reason"),
    [
        ("http://photos.example.net/b.jpg", "from https to http"),
        ("HTTP://photos.example.net/b.jpg", "from https to http"),
        ("file:///etc/passwd", "not an http:// or https:// address"),
        ("https://127.0.0.1/", "is this machine"),
    ],
)
def test_no_redirect_leads_out_of_tls(
    to: str, reason: str, server: Server, internet: Internet, authority: trustme.CA
) -> None:
    secure(server, authority)
    server.paths["/a.jpg"] = lambda request: request.redirect(to)
    assert reason in refused(Http(), OURS)
    assert internet.connected == [PUBLIC] and len(server.requests) == 1


# --- secrets ------------------------------------------------------------------------------------

SECRET = "X-Amz-Signature=s3cret&X-Amz-Credential=AKIAs3cret"
TROUBLE: dict[str, Callable[[Request], object]] = {
    "404": lambda r: r.answer(404),
    "503": lambda r: r.answer(503, Retry_After="99"),
    "cut": lambda r: r.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
    "malformed": lambda r: r.raw(b"HTTP/1.1 200 OK\r\nContent-Length: -9\r\n\r\n"),
    "no answer": lambda r: r.raw(),
    "slow": lambda r: r.raw(b"", pause=2),
    "redirect out": lambda r: r.redirect(f"http://10.0.0.1/?{SECRET}"),
    "redirect in": lambda r: r.redirect(f"http://me:s3cret@photos.example.net/?{SECRET}"),
    "redirect nowhere": lambda r: r.redirect(f"http://s3cret:x/{SECRET}"),
    "redirect to no name": lambda r: r.redirect(f"http://gone.example.net/?{SECRET}"),
    "redirect loop": lambda r: r.redirect(f"/?{SECRET}"),
    "compressed": lambda r: r.answer(Content_Encoding="gzip"),
}


@pytest.mark.parametrize("trouble", TROUBLE)
def test_no_secret_in_reasons_and_logs(
    trouble: str, server: Server, internet: Internet, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.paths["/"] = TROUBLE[trouble]
    with pytest.raises(PhotoError) as caught:
        Http(seconds=0.7).get(f"http://photos.example.net/?{SECRET}")
    assert server.requests
    _no_secret(caught.value, caplog)


@pytest.mark.parametrize(
    "url",
    [
        f"http://user:s3cret@photos.example.net/?{SECRET}",
        f"http://user:s3cret@127.0.0.1/?{SECRET}",
        f"http://user:s3/cret@photos.example.net/?{SECRET}",
        f"http://photos.example.net:99999/?{SECRET}",
        f"http://photos.example.net/a b?{SECRET}",
        f"ftp://photos.example.net/?{SECRET}",
        f"http://10.0.0.1/?{SECRET}",
        f"http://gone.example.net/?{SECRET}",
    ],
)
def test_no_secret_where_nothing_is_asked(
    url: str, server: Server, internet: Internet, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(PhotoError) as caught:
        Http(seconds=2).get(url)
    assert server.connections == 0
    _no_secret(caught.value, caplog)


def test_no_secret_of_an_error_that_nobody_thought_of(
    internet: Internet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(session: object, url: object, **_: object) -> None:
        raise KeyError(url)

    monkeypatch.setattr("aiohttp.ClientSession.get", breaks)
    with pytest.raises(PhotoError) as caught:
        Http().get(f"http://photos.example.net/?{SECRET}")
    assert str(caught.value) == "photos.example.net: cannot be read: KeyError"
    _no_secret(caught.value, caplog)


def _no_secret(error: PhotoError, caplog: pytest.LogCaptureFixture) -> None:
    told = f"{error} {error!r} {pickle.dumps(error)!r} {caplog.text}"
    for line in traceback.TracebackException.from_exception(error).format(chain=True):
        told += line.splitlines()[-1]  # of a frame it is source code
    assert "s3" not in told
