"""Iterators side by side."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from stair_search.ingest.pipe import merged


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
