"""`bulk.write` against an engine that answers as told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import cast

import pytest

from stair_search.engines.base import Document, Engine, EngineInfo, Outcome, RequestError
from stair_search.errors import DestinationError
from stair_search.ingest import bulk

Answer = Callable[[Sequence[Document]], list[Outcome]]


class Told:
    info = EngineInfo("told", "1", "http://told")

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def bulk(self, index: str, documents: Sequence[Document], *_: object) -> list[Outcome]:
        return self._answer(documents)


def written(answer: Answer, ids: str, retry_seconds: float = 5.0) -> tuple[str, Exception | None]:
    """The ids whose outcomes came, and how it ended."""
    seen = ""
    try:
        for outcomes in bulk.write(
            cast(Engine, Told(answer)),
            "photos",
            [Document(one, {}) for one in ids],
            pace=bulk.Pace(1, None),
            retry_seconds=retry_seconds,
            stop=threading.Event(),
        ):
            seen += "".join(outcome.id for outcome in outcomes)
    except DestinationError as error:
        return seen, error
    return seen, None


@pytest.mark.parametrize("error", [RequestError("forbidden", 403), DestinationError("gone")])
def test_what_one_half_has_written_is_told_when_the_other_fails(error: DestinationError) -> None:
    def answer(documents: Sequence[Document]) -> list[Outcome]:
        if len(documents) > 2:
            raise RequestError("too large", 413)
        if documents[0].id == "c":
            raise error
        return [Outcome(document.id, 200) for document in documents]

    assert written(answer, "abcd") == ("ab", error)


def test_an_engine_that_takes_a_little_each_time_is_not_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0

    def answer(documents: Sequence[Document]) -> list[Outcome]:
        nonlocal now
        now += 3.0
        first, *others = documents
        return [Outcome(first.id, 200), *(Outcome(other.id, 429) for other in others)]

    monkeypatch.setattr("tenacity.sleep_using_event", lambda _: lambda _: None)
    monkeypatch.setattr("time.monotonic", lambda: now)
    assert written(answer, "abcd", retry_seconds=5.0) == ("abcd", None)
