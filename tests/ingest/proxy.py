"""A proxy in front of a real engine that answers bulk requests as it is told, now and then."""

from __future__ import annotations

import json
import random
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Fault = int | str
"""An HTTP status for the whole request, or

"cut before", "cut after": the connection ends without an answer, before or after the engine wrote;
"stall": no answer for longer than the client waits, although the engine wrote;
"item 429", "item 400": every other document of the request is answered so and not written.
"""

MIXED: tuple[Fault, ...] = (429, 502, 503, 504, "cut before", "cut after", "stall", "item 429")
SHARE = 0.4


class Proxy(ThreadingHTTPServer):
    """faults: for the next bulk requests, one each; then all pass. dice: with these, all
    of `MIXED` in turn, for a share of the requests that write, settings too.

    largest: bytes of a bulk request, larger ones get 413. requests: size and number of documents of
    each bulk request that the engine got.
    """

    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = upstream
        self.faults: deque[Fault] = deque()
        self.dice: random.Random | None = None
        self.thrown: set[Fault] = set()
        self._turn = threading.Lock()
        self.largest = 2**30
        self.stall_seconds = 3.0
        self.requests: list[tuple[int, int]] = []
        self.refused = 0

    def next_fault(self, path: str) -> Fault | None:
        if self.dice is None:
            return self.faults.popleft() if "_bulk" in path and self.faults else None
        with self._turn:
            if self.dice.random() >= SHARE:
                return None
            if not self.faults:  # each kind once in every round
                self.faults.extend(self.dice.sample(MIXED, len(MIXED)))
            fault = self.faults.popleft()
        if "_bulk" not in path and fault == "item 429":
            fault = 429
        self.thrown.add(fault)
        return fault

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        proxy = self.server
        if "_bulk" not in self.path and not (proxy.dice and self.command == "PUT"):
            self._answer(*self._upstream(body))
            return
        if len(body) > proxy.largest:
            proxy.refused += 1
            self._answer(413, b"<html>too large</html>", "text/html")
            return
        fault = proxy.next_fault(self.path)
        if isinstance(fault, int):
            proxy.refused += 1
            said = {"error": {"type": "told_so", "reason": f"told to say {fault}"}}
            self._answer(fault, json.dumps(said | {"status": fault}).encode())
        elif fault == "cut before":
            proxy.refused += 1
            self.close_connection = True
        elif fault in ("cut after", "stall"):
            self._upstream(body)
            proxy.refused += 1
            time.sleep(proxy.stall_seconds if fault == "stall" else 0)
            self.close_connection = True
        elif isinstance(fault, str) and fault.startswith("item "):
            self._some(body, int(fault.removeprefix("item ")))
        else:
            self._answer(*self._upstream(body))

    def _some(self, body: bytes, status: int) -> None:
        lines = body.rstrip(b"\n").split(b"\n")
        pairs = list(zip(lines[::2], lines[1::2], strict=True))
        passed = b"".join(b"%s\n%s\n" % pair for pair in pairs[::2])
        _, raw, _ = self._upstream(passed)
        answer = json.loads(raw)
        items: list[Any] = []
        rest = iter(answer["items"])
        for place, (action, _) in enumerate(pairs):
            if place % 2 == 0:
                items.append(next(rest))
            else:
                ((verb, about),) = json.loads(action).items()
                said = {"type": "told_so", "reason": f"told to say {status}"}
                items.append({verb: {"_id": about["_id"], "status": status, "error": said}})
        answer |= {"items": items, "errors": True}
        self._answer(200, json.dumps(answer).encode())

    def _upstream(self, body: bytes) -> tuple[int, bytes, str]:
        if "_bulk" in self.path and body:
            self.server.requests.append((len(body), body.count(b"\n") // 2))
        headers = {
            name: value
            for name, value in self.headers.items()
            if name.lower() not in ("host", "content-length", "connection", "accept-encoding")
        }
        request = urllib.request.Request(
            self.server.upstream + self.path, body or None, headers, method=self.command
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read(), answer.headers.get("Content-Type", "")
        except urllib.error.HTTPError as error:
            return error.code, error.read(), error.headers.get("Content-Type", "")

    def _answer(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-elastic-product", "Elasticsearch")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _handle  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def proxy_to(upstream: str) -> Iterator[Proxy]:
    proxy = Proxy(upstream)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        proxy.server_close()
