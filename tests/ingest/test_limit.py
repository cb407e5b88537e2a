"""How much a cluster is asked at once, on a clock that stands still; and what senders tell."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from stair_search.errors import DestinationError, UsageError
from stair_search.ingest import JobSettings
from stair_search.ingest.limit import Limit, Throttle
from stair_search.ingest.senders import Senders

GO_ON = threading.Event()


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def ask(limit: Limit, clock: Clock, seconds: float = 1.0, refused: bool = False) -> int:
    """As many requests of a hundred documents as are allowed; how many are allowed after them."""
    with ExitStack() as until:
        turns = [until.enter_context(limit.turn(GO_ON)) for _ in range(limit.now)]
        clock.now += seconds
        for turn in turns:
            if refused:
                turn.refused()
            else:
                turn.answered(100)
    return limit.now


def test_it_grows_while_all_is_taken(clock: Clock) -> None:
    limit = Limit(4, clock)
    assert [ask(limit, clock) for _ in range(5)] == [2, 3, 4, 4, 4]


def test_it_does_not_grow_beyond_what_is_used(clock: Clock) -> None:
    limit = Limit(8, clock)
    for _ in range(20):
        with limit.turn(GO_ON) as turn:
            clock.now += 1
            turn.answered(100)
    assert limit.now == 2


def test_a_refusal_halves_it_and_it_recovers(clock: Clock) -> None:
    limit = Limit(8, clock)
    for _ in range(10):
        ask(limit, clock)
    assert limit.now == 8
    # requests of one moment halve it once
    assert [ask(limit, clock, refused=True) for _ in range(5)] == [4, 2, 1, 1, 1]
    assert [ask(limit, clock) for _ in range(3)] == [2, 3, 4]


def test_answers_that_grow_slow_shrink_it(clock: Clock) -> None:
    limit = Limit(4, clock)
    for _ in range(20):
        ask(limit, clock, 1.0)
    assert limit.now == 4
    assert min(ask(limit, clock, 5.0) for _ in range(10)) < 3
    for _ in range(60):
        ask(limit, clock, 1.0)
    assert limit.now == 4


def test_an_engine_with_one_writer_is_not_asked_by_four(clock: Clock) -> None:
    limit = Limit(4, clock)
    found = [ask(limit, clock, float(limit.now)) for _ in range(200)]  # they wait for each other
    assert sum(found[50:]) / 150 < 2.5


def test_small_requests_are_quick_by_themselves(clock: Clock) -> None:
    limit = Limit(4, clock)
    for _ in range(50):
        with limit.turn(GO_ON) as turn:
            clock.now += 0.1
            turn.answered(8)
        ask(limit, clock, 1.0)
    assert limit.now == 4


def test_no_more_than_allowed_are_under_way() -> None:
    limit, stop = Limit(1), threading.Event()
    with limit.turn(stop):
        entered = threading.Event()

        def second() -> None:
            with limit.turn(stop):
                entered.set()

        thread = threading.Thread(target=second)
        thread.start()
        assert not entered.wait(0.2)
    assert entered.wait(2)
    thread.join()


def test_a_throttle_spreads_documents(clock: Clock) -> None:
    waited: list[float] = []

    class Waiting(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waited.append(timeout or 0.0)
            return False

    throttle = Throttle(100, clock)
    for _ in range(3):
        throttle.wait(50, Waiting())
    assert waited == [0.5, 1.0, 1.5]
    clock.now = 100.0
    throttle.wait(50, Waiting())
    assert waited[-1] == 0.5
    Throttle(None, clock).wait(50, Waiting())
    assert len(waited) == 4
    with pytest.raises(UsageError, match="over 0, not -1"):
        JobSettings(("x",), documents_per_second=-1)


def test_senders_tell_all_before_they_raise() -> None:
    def send(name: str) -> Iterator[str]:
        yield f"{name}1"
        if name == "b":
            raise DestinationError("gone")
        time.sleep(0.05)
        yield f"{name}2"

    senders = Senders(send, 3)
    found: list[str] = []

    def add_all() -> None:
        for name in "abcdefgh":
            found.extend(senders.add(name))
        found.extend(senders.rest())

    with pytest.raises(DestinationError, match="gone"):
        add_all()
    senders.close()
    # what began has come to its end, but for the one that failed; nothing began after that
    begun = {one[0] for one in found}
    assert begun >= set("abc") and "h" not in begun
    assert sorted(found) == sorted(
        one for name in begun for one in ([f"{name}1"] if name == "b" else [f"{name}1", f"{name}2"])
    )


def test_what_is_known_is_told_without_waiting() -> None:
    end = threading.Event()

    def send(name: str) -> Iterator[str]:
        yield f"{name}1"
        end.wait(5)
        yield f"{name}2"

    senders = Senders(send, 2)
    assert not list(senders.add("a"))
    time.sleep(0.1)
    assert list(senders.known()) == ["a1"]
    end.set()
    senders.close()
    assert list(senders.known()) == ["a2"]
