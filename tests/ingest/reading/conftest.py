"""Web servers of this test, and an internet of names and public addresses that leads to them.

The guard is not loosened for it: names are resolved by a `socket.getaddrinfo` of ours, and a
connection that was checked and allowed is led to a server on loopback at the last moment, where
the event loop connects.
"""

from __future__ import annotations

import asyncio.selector_events
import errno
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from stair_search.ingest.photo import PhotoError
from stair_search.ingest.reading.http import Http, close_all

PUBLIC = "93.184.215.14"
OTHER = "93.184.215.15"
PHOTO = b"\xff\xd8\xff" + bytes(range(256)) * 40


class Request(BaseHTTPRequestHandler):
    """What a path of a server is given: one request and the means to answer it."""

    protocol_version = "HTTP/1.1"
    server: Server

    def answer(self, status: int = 200, body: bytes = PHOTO, **headers: str) -> None:
        self.send_response(status)
        headers.setdefault("Content_Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def redirect(self, to: str, status: int = 302) -> None:
        raw = f"HTTP/1.1 {status} Found\r\nContent-Length: 0\r\nLocation: {to}\r\n\r\n"
        self.wfile.write(raw.encode())

    def raw(self, *parts: bytes, pause: float = 0) -> None:
        """These bytes as the whole answer, then the end of the connection."""
        self.close_connection = True
        for part in parts:
            self.wfile.write(part)
            time.sleep(pause)

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
        path = self.path.partition("?")[0]
        try:
            self.server.paths.get(path, Request.answer)(self)
        except ConnectionError:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """paths: what answers each; others are answered with a photo. Counts connections."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.paths: dict[str, Callable[[Request], object]] = {}
        self.connections = 0
        self.requests: list[str] = []
        self.headers: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def get_request(self) -> tuple[socket.socket, Any]:
        taken = super().get_request()
        self.connections += 1
        return taken

    def handle_error(self, *_: object) -> None:
        pass  # clients that refuse an answer hang up


@contextmanager
def serving() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def inner() -> Iterator[Server]:
    """A server that nobody outside may reach."""
    with serving() as server:
        yield server


class Internet:
    """names: the addresses of each, one list a lookup, the last of which stays. servers: the port
    on loopback behind a public address. connected: addresses that a connection was made to.
    """

    def __init__(self, port: int) -> None:
        self.names: dict[str, list[list[str]]] = {"photos.example.net": [[PUBLIC]]}
        self.servers = {PUBLIC: port}
        self.lookups: list[str] = []
        self.connected: list[str] = []

    def getaddrinfo(self, host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        self.lookups.append(host)
        answers = self.names.get(host.lower())
        if not answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (ip, port, 0, 0))
            if ":" in ip
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port))
            for ip in (answers.pop(0) if len(answers) > 1 else answers[0])
        ]


@pytest.fixture
def internet(server: Server, monkeypatch: pytest.MonkeyPatch) -> Internet:
    net = Internet(server.server_port)
    loops = asyncio.selector_events.BaseSelectorEventLoop
    connect = loops.sock_connect

    async def sock_connect(loop: Any, sock: socket.socket, address: tuple[Any, ...]) -> None:
        net.connected.append(address[0])
        if address[0] in net.servers:
            address = ("127.0.0.1", net.servers[address[0]])
        elif not address[0].startswith(("127.", "0.", "::")):
            raise OSError(errno.ENETUNREACH, "there is no internet in this test")
        await connect(loop, sock, address)

    monkeypatch.setattr(loops, "sock_connect", sock_connect)
    monkeypatch.setattr(socket, "getaddrinfo", net.getaddrinfo)
    return net


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    close_all()


def refused(http: Http, url: str, within: float = 2.0) -> str:
    """Why it is refused, which must not take longer than so many seconds."""
    started = time.monotonic()
    with pytest.raises(PhotoError) as caught:
        http.get(url)
    assert time.monotonic() - started < within
    reason = str(caught.value)
    assert reason and "\n" not in reason and len(reason) < 400
    return reason
