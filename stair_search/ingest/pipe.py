"""Iterators that work in threads, with bounded room between them. Knows nothing of photos."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")


class Background(Generic[T]):
    """Runs an iterator in a thread of its own, at most `room` items ahead.

    What the iterator raises is raised here after the items before it. An interrupt that comes
    while one waits for an item loses nothing: ask again.
    """

    def __init__(self, source: Generator[T, None, None] | Iterator[T], room: int) -> None:
        self._source = source
        self._items: queue.Queue[tuple[T] | BaseException] = queue.Queue(room)
        self._cancelled = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        return self._taken(self._items.get())

    def next(self, timeout: float) -> T | None:
        """The next item, None if there is none after `timeout` seconds.

        Raises StopIteration at the end.
        """
        try:
            return self._taken(self._items.get(timeout=timeout))
        except queue.Empty:
            return None

    def _taken(self, item: tuple[T] | BaseException) -> T:
        if isinstance(item, BaseException):
            self._items.put(item)  # whoever asks again gets the same answer
            raise item
        return item[0]

    def close(self) -> None:
        """Ends the iterator at its next item and waits for that."""
        self._cancelled.set()
        while self._thread.is_alive():
            try:
                self._items.get(timeout=0.05)  # makes room for a thread that waits for it
            except queue.Empty:
                continue
        if not self._items.full():
            self._items.put(StopIteration())

    def _run(self) -> None:
        end: BaseException = StopIteration()
        try:
            for item in self._source:
                self._items.put((item,))
                if self._cancelled.is_set():
                    break
        except BaseException as error:
            end = error
        finally:
            close = getattr(self._source, "close", None)
            if close:
                close()
            self._items.put(end)


def merged(*sources: Generator[T, None, None] | Iterator[T]) -> Generator[T, None, None]:
    """Items of several iterators as they come, each iterator in a thread of its own.

    What one raises is raised after the items of all of them.
    """
    items: queue.Queue[tuple[T] | BaseException] = queue.Queue(len(sources))
    closed = threading.Event()

    def work(source: Iterator[T]) -> None:
        end: BaseException = StopIteration()
        try:
            for item in source:
                items.put((item,))
                if closed.is_set():
                    break
        except BaseException as error:
            end = error
        finally:
            close = getattr(source, "close", None)
            if close:
                close()
            items.put(end)

    for source in sources:
        threading.Thread(target=work, args=(source,), daemon=True).start()
    running, error = len(sources), None
    try:
        while running:
            item = items.get()
            if isinstance(item, tuple):
                yield item[0]
                continue
            running -= 1
            if not isinstance(item, StopIteration):
                error = error or item
    finally:
        closed.set()
        while running:  # makes room for threads that wait for it
            running -= not isinstance(items.get(), tuple)
    if error:
        raise error


def parallel(
    act: Callable[[T], U], items: Iterator[T], threads: int, ahead: int
) -> Generator[U, None, None]:
    """`map` in threads, in the order of the items, with at most `ahead` of them begun."""
    begun: deque[Future[U]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                begun.append(pool.submit(act, item))
                if len(begun) >= ahead:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            for future in begun:
                future.cancel()
            close = getattr(items, "close", None)
            if close:
                close()


class Meter:
    """How long a stage was busy, summed over its workers, and with how many items."""

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers
        self.seconds = 0.0
        self.items = 0
        self._lock = threading.Lock()

    @contextmanager
    def busy(self, items: int = 0) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add(time.perf_counter() - started, items)

    def add(self, seconds: float, items: int) -> None:
        with self._lock:
            self.seconds += seconds
            self.items += items

    def timed(
        self, items: Iterator[T], count: Callable[[T], int] = lambda _: 1
    ) -> Generator[T, None, None]:
        """The same items; the time that it takes to get each is the stage's."""
        try:
            while True:
                started = time.perf_counter()
                item = next(items, None)
                self.add(time.perf_counter() - started, 0 if item is None else count(item))
                if item is None:
                    return
                yield item
        finally:
            close = getattr(items, "close", None)
            if close:
                close()

    def share(self, wall: float) -> float:
        """The share of the wall-clock time, 0 to 1, in which a worker was busy."""
        return min(1.0, self.seconds / (wall * self.workers)) if wall else 0.0
