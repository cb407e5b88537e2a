"""Threads with bounded room between them: order, ends, and which thread does the work."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from stair_search.ingest.pipe import QUICK, Background, merged, parallel


def test_the_order_stays_and_no_more_than_ahead_are_begun() -> None:
    begun: list[int] = []
    done = 0

    def act(n: int) -> int:
        begun.append(n)
        time.sleep(0.02 if n % 2 else 0.01)
        return n

    for n in parallel(act, iter(range(30)), threads=3, ahead=5):
        assert n == done
        done += 1
        assert len(begun) <= done + 5
    assert done == 30


def test_slow_work_is_done_in_threads_and_quick_work_where_it_is_asked_for() -> None:
    def threads(seconds: float) -> list[str]:
        def act(_: int) -> str:
            time.sleep(seconds)
            return threading.current_thread().name

        return list(parallel(act, iter(range(40)), threads=2, ahead=4))

    # A busy machine can make any one call slow; not every time.
    assert any(set(threads(0)) == {threading.current_thread().name} for _ in range(5))
    slow = threads(20 * QUICK)
    assert set(slow[1:]) & {threading.current_thread().name} == set()
    assert len(set(slow[1:])) == 2


@pytest.mark.parametrize("seconds", [0, 20 * QUICK])
def test_an_error_comes_after_what_was_before_it(seconds: float) -> None:
    def act(n: int) -> int:
        time.sleep(seconds)
        return 10 // (5 - n)

    found = parallel(act, iter(range(9)), threads=2, ahead=4)
    assert [next(found) for _ in range(5)] == [2, 2, 3, 5, 10]
    with pytest.raises(ZeroDivisionError):
        next(found)


def test_a_background_ends_as_its_source_does_and_says_so_again() -> None:
    def source() -> Iterator[int]:
        yield from range(100)
        raise LookupError("no more")

    background = Background(source(), room=3)
    assert [next(background) for _ in range(100)] == list(range(100))
    for _ in range(2):
        with pytest.raises(LookupError):
            background.next(0.1)


def test_a_background_is_bounded_waits_and_closes_its_source() -> None:
    made: list[int] = []
    closed = threading.Event()
    go_on = threading.Event()

    def source() -> Iterator[int]:
        try:
            for n in range(1000):
                made.append(n)
                yield n
                if n == 10:
                    go_on.wait(10)
        finally:
            closed.set()

    background = Background(source(), room=4)
    for n in range(11):
        assert next(background) == n
        assert len(made) <= n + 2 * 4 + 2  # as many at hand as in the room
    assert background.next(0.01) is None
    go_on.set()
    assert next(background) == 11
    background.close()
    assert closed.is_set()
    assert len(made) < 40


def test_all_items_of_all_come() -> None:
    assert sorted(merged(iter(range(0, 100, 2)), iter(range(1, 100, 2)), iter(()))) == [*range(100)]


def test_they_run_beside_each_other() -> None:
    ready = threading.Event()

    def waits() -> Iterator[str]:
        assert ready.wait(10), "the other one had no turn"
        yield "waited"

    def helps() -> Iterator[str]:
        ready.set()
        yield "helped"

    assert set(merged(waits(), helps())) == {"waited", "helped"}


def test_an_error_comes_after_what_the_others_have() -> None:
    def fails() -> Iterator[int]:
        yield 1
        raise ValueError("two")

    seen: list[int] = []
    with pytest.raises(ValueError, match="two"):
        seen.extend(merged(fails(), iter(range(10, 30))))
    assert sorted(seen) == [1, *range(10, 30)]


def test_closed_early_all_are_closed() -> None:
    closed = []

    def endless(name: str) -> Iterator[str]:
        try:
            while True:
                yield name
        finally:
            closed.append(name)

    one = merged(endless("a"), endless("b"))
    next(one)
    one.close()
    assert sorted(closed) == ["a", "b"]
