"""Iterators that work in threads, with bounded room between them. Knows nothing of photos."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Generic, TypeGuard, TypeVar

QUICK = 0.0005
"""Seconds of an act."""

T = TypeVar("T")
U = TypeVar("U")


class Background(Generic[T]):
    """Runs an iterator in a thread of its own, at most `room` items ahead.

    What the iterator raises is raised here after the items before it. An interrupt that comes
    while one waits for an item loses nothing: ask again.
    """

    def __init__(self, source: Generator[T, None, None] | Iterator[T], room: int) -> None:
        self._source, self._room = source, room
        self._items: deque[T] = deque()  # passed without the lock, which would cost more than they
        self._end: BaseException | None = None
        self._cancelled = False
        self._hungry = self._full = False  # who waits is told
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        while True:
            item = self.next(3600.0)
            if item is not None:
                return item

    def next(self, timeout: float) -> T | None:
        """The next item, None if there is none after `timeout` seconds.

        Raises StopIteration at the end.
        """
        if not self._items:
            with self._changed:
                self._hungry = True
                self._changed.wait_for(lambda: self._items or self._end, timeout)
                self._hungry = False
        end = self._end  # before the look at the items: the last may come in between
        if not self._items:
            if end:
                raise end
            return None
        item = self._items.popleft()
        if self._full and len(self._items) <= self._room // 2:
            with self._changed:
                self._changed.notify_all()
        return item

    def close(self) -> None:
        """Ends the iterator at its next item and waits for that."""
        with self._changed:
            self._cancelled = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        end: BaseException = StopIteration()
        try:
            for item in self._source:
                if len(self._items) >= self._room:
                    self._wait_for_room()
                if self._cancelled:
                    break
                self._items.append(item)
                if self._hungry:
                    with self._changed:
                        self._changed.notify_all()
        except BaseException as error:
            end = error
        finally:
            try:
                _close(self._source)
            except BaseException as error:
                end = error
            with self._changed:
                self._end = end
                self._changed.notify_all()

    def _wait_for_room(self) -> None:
        """Until half of it is free: to wake up for each item would cost more than the items."""
        with self._changed:
            self._full = True
            self._changed.wait_for(lambda: len(self._items) <= self._room // 2 or self._cancelled)
            self._full = False


def _close(source: object) -> None:
    close = getattr(source, "close", None)
    if close:
        close()


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
            try:
                _close(source)
            except BaseException as error:
                end = error
            finally:
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
    """`map` in threads, in the order of the items, with at most `ahead` of them begun.

    Quick acts are done in the caller's thread: in several they would wait for each other's turn
    with the interpreter, which costs more than they do.
    """
    begun: deque[Future[U]] = deque()
    mean = 0.0  # seconds, of the latest ones

    def timed(item: T) -> U:
        nonlocal mean
        started = time.perf_counter()
        made = act(item)
        mean += (time.perf_counter() - started - mean) / 10
        return made

    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                if mean < QUICK:
                    while begun:
                        yield begun.popleft().result()
                    yield timed(item)
                    continue
                begun.append(pool.submit(timed, item))
                if len(begun) >= ahead:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            for future in begun:
                future.cancel()
            _close(items)


class Room:
    """Bounds what is held, in any unit: who is to take more waits until there is room, and may
    then take more than that.
    """

    def __init__(self, most: int) -> None:
        self._most, self._held = most, 0.0
        self._changed = threading.Condition()

    def wait(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._held < self._most)

    def take(self, number: float) -> None:
        """Negative: to give back; -inf ends the bound."""
        with self._changed:
            self._held += number
            self._changed.notify_all()


def as_done(
    act: Callable[[T], U],
    items: Iterator[T | U],
    wanted: Callable[[T | U], TypeGuard[T]],
    threads: int,
    ahead: int,
) -> Generator[T | U, None, None]:
    """`map` in threads over the items that are `wanted`, the others pass; in the order in which
    they are done, with at most `ahead` of them begun.
    """
    done: queue.SimpleQueue[Future[U]] = queue.SimpleQueue()
    begun = 0
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                if wanted(item):
                    pool.submit(act, item).add_done_callback(done.put)
                    begun += 1
                else:
                    yield item
                while begun and (begun >= ahead or not done.empty()):
                    yield done.get().result()
                    begun -= 1
            while begun:
                yield done.get().result()
                begun -= 1
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            _close(items)


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
            _close(items)

    def share(self, wall: float) -> float:
        """The share of the wall-clock time, 0 to 1, in which a worker was busy."""
        return min(1.0, self.seconds / (wall * self.workers)) if wall else 0.0
