"""Object stores of this test: Amazon's as moto speaks it, Google's as far as it is asked here."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

PAGE = 1000

Answer = Callable[[str, list[tuple[str, str]]], Any]


class S3:
    """A server for all tests. requests: method, path with query, and range of each that came.
    faults: status and code of the answer to requests that hold this text.
    """

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.faults: dict[str, tuple[int, str]] = {}
        self._app = DomainDispatcherApplication(create_backend_app)
        self.server = make_server("127.0.0.1", 0, self._answer, True, request_handler=_Quiet)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    def _answer(self, environ: dict[str, Any], start: Answer) -> Iterable[bytes]:
        query = environ.get("QUERY_STRING", "")
        asked = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}{'?' * bool(query)}{query}"
        self.requests.append(f"{asked} {environ.get('HTTP_RANGE', '')}")
        self.headers.append({k[5:].lower(): v for k, v in environ.items() if k.startswith("HTTP_")})
        for text, (status, code) in self.faults.items():
            if text in asked:
                start(f"{status} x", [("Content-Type", "application/xml")])
                return [f"<Error><Code>{code}</Code><Message>m</Message></Error>".encode()]
        answer: Iterable[bytes] = self._app(environ, start)
        return answer


class _Quiet(MotoRequestHandler):  # type: ignore[misc]
    def log(self, *_: object, **__: object) -> None:
        pass


@contextmanager
def serving_s3() -> Iterator[S3]:
    s3 = S3()
    thread = threading.Thread(target=s3.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield s3
    finally:
        s3.server.shutdown()
        s3.server.server_close()


class GCS(ThreadingHTTPServer):
    """buckets: their objects, as generation and bytes. denied: answered 403."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Google)
        self.buckets: dict[str, dict[str, tuple[int, bytes]]] = {}
        self.requests: list[str] = []
        self.denied: set[str] = set()
        self._generation = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def put(self, bucket: str, key: str, data: bytes) -> None:
        self._generation += 1
        self.buckets.setdefault(bucket, {})[key] = (self._generation, data)


class _Google(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: GCS

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(asked.query).items()}
        self.server.requests.append(f"{self.path} {self.headers.get('Range', '')}")
        parts = asked.path.removeprefix("/download").split("/")
        assert parts[:4] == ["", "storage", "v1", "b"], self.path
        name, key = unquote(parts[4]), unquote(parts[6]) if len(parts) > 6 else None
        bucket = self.server.buckets.get(name)
        if name in self.server.denied or key in self.server.denied:
            self._json({"error": {"code": 403, "message": "no"}}, 403)
        elif bucket is None or (key is not None and key not in bucket):
            self._json({"error": {"code": 404, "message": "no"}}, 404)
        elif key is None:
            self._list(bucket, query)
        elif "/download" in asked.path or query.get("alt") == "media":
            self._media(*bucket[key], query)
        else:
            self._json(_about(key, *bucket[key]))

    def _list(self, bucket: dict[str, tuple[int, bytes]], query: dict[str, str]) -> None:
        keys = sorted(key for key in bucket if key.startswith(query.get("prefix", "")))
        start, most = int(query.get("pageToken", 0)), int(query.get("maxResults", PAGE))
        told: dict[str, Any] = {"items": [_about(k, *bucket[k]) for k in keys[start:][:most]]}
        if start + most < len(keys):
            told["nextPageToken"] = str(start + most)
        self._json(told)

    def _media(self, generation: int, data: bytes, query: dict[str, str]) -> None:
        if int(query.get("ifGenerationMatch", generation)) != generation:
            self._json({"error": {"code": 412, "message": "changed"}}, 412)
            return
        told = self.headers.get("Range")
        headers = {"X-Goog-Generation": str(generation)}
        if told:
            first, last = map(int, told.removeprefix("bytes=").split("-"))
            headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
            data = data[first : last + 1]
        self._send(206 if told else 200, data, headers)

    def _json(self, value: Any, status: int = 200) -> None:
        self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def _about(key: str, generation: int, data: bytes) -> dict[str, str]:
    return {"name": key, "size": str(len(data)), "generation": str(generation)}


@contextmanager
def serving_gcs() -> Iterator[GCS]:
    server = GCS()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
