"""Requests in threads of their own; what becomes of their photos comes back to one thread."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Senders(Generic[T, R]):
    """send: brings a request to its end and yields what is known of it. threads: requests at once.

    An error of `send` is raised when the requests beside it have come to their end, after all that
    they tell.
    """

    def __init__(self, send: Callable[[T], Iterator[R]], threads: int) -> None:
        self._send, self._threads = send, threads
        self._pool = ThreadPoolExecutor(threads, "bulk")
        self._told: queue.SimpleQueue[tuple[R] | BaseException | None] = queue.SimpleQueue()
        self._busy = 0
        self._error: BaseException | None = None

    def add(self, request: T) -> Iterator[R]:
        """Hands a request over, once a thread is free; yields what has come in the meantime."""
        while self._busy >= self._threads:
            yield from self._next()
        if self._error:
            yield from self.rest()
        self._busy += 1
        self._pool.submit(self._work, request)

    def known(self) -> Iterator[R]:
        """What has come already; waits for nothing, raises nothing."""
        while not self._told.empty():
            yield from self._next()

    def rest(self) -> Iterator[R]:
        """What the requests under way tell, to their end."""
        while self._busy:
            yield from self._next()
        if self._error:
            raise self._error

    def close(self) -> None:
        """Waits for the requests under way; what they tell is `known` then."""
        self._pool.shutdown(cancel_futures=True)

    def _next(self) -> Iterator[R]:
        told = self._told.get()
        if isinstance(told, tuple):
            yield told[0]
            return
        self._busy -= 1
        self._error = self._error or told

    def _work(self, request: T) -> None:
        end: BaseException | None = None
        try:
            for told in self._send(request):
                self._told.put((told,))
        except BaseException as error:
            end = error
        self._told.put(end)
