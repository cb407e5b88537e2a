"""Documents into an engine: in requests of bounded size, each document with its outcome.

What the engine does not take now is tried again (tenacity, full jitter), what it never takes
fails alone, and what concerns the destination as a whole ends the run.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import tenacity

from stair_search.engines.base import Document, Engine, Outcome, RequestError
from stair_search.errors import DestinationError

from .limit import Limit, Throttle

LATER = frozenset({0, 409, 429, 502, 503, 504})
"""What may pass later. 0: no answer came; 409: what got none is still being written."""

BUSY = LATER - {409}
"""What means that less is to be asked."""

HALVE = frozenset({400, 413})
"""A request that is too large, or holds a document that spoils it: its halves are sent."""

EVERYWHERE = frozenset({401, 403, 404})
"""What is refused so concerns the index or the user, not one document."""


Act = Callable[[list[Document]], list[Outcome]]
"""A request: an outcome for each document, in their order."""


SILENT_SECONDS = 5
"""For which nothing may be taken before somebody is told."""


class Pace:
    """How fast a job may write, over all of its requests. tell: of waiting for the engine, once
    until it takes something again.
    """

    def __init__(
        self,
        requests: int,
        documents_per_second: float | None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.limit, self.throttle = Limit(requests), Throttle(documents_per_second)
        self._tell, self._told = tell, False

    def waiting(self, why: str) -> None:
        if self._tell and not self._told:
            self._told = True
            self._tell(why)

    def taken(self) -> None:
        self._told = False


class _BusyError(Exception):
    """Not taken now."""


class _Sent(NamedTuple):
    """What became of a request: outcomes, what to send again and why, what ends the run.

    waited: seconds for its turn, in which the engine was not asked.
    """

    done: list[Outcome]
    later: list[Document]
    why: str = ""
    error: DestinationError | None = None
    waited: float = 0.0


def write(
    engine: Engine,
    index: str,
    documents: Sequence[Document],
    *,
    pipeline: str | None = None,
    pace: Pace,
    retry_seconds: float,
    stop: threading.Event,
) -> Iterator[list[Outcome]]:
    """Writes documents; yields final outcomes as they become known, each document's once.

    Raises DestinationError where the engine takes no more, after the outcomes known until then
    have been yielded. `stop` ends the waiting between two attempts. retry_seconds: from the last
    moment at which it took anything.
    """

    def act(some: list[Document]) -> list[Outcome]:
        return engine.bulk(index, some, pipeline)

    yield from _through(act, engine, index, documents, pace, retry_seconds, stop)


def delete(
    engine: Engine,
    index: str,
    ids: Sequence[str],
    *,
    pace: Pace,
    retry_seconds: float,
    stop: threading.Event,
) -> Iterator[list[Outcome]]:
    """Deletes documents in the same way; 404 is a final outcome here, see `Outcome.gone`."""

    def act(some: list[Document]) -> list[Outcome]:
        return engine.delete(index, [document.id for document in some])

    named = [Document(name, {}) for name in ids]
    yield from _through(act, engine, index, named, pace, retry_seconds, stop)


def _through(
    act: Act,
    engine: Engine,
    index: str,
    documents: Sequence[Document],
    pace: Pace,
    retry_seconds: float,
    stop: threading.Event,
) -> Iterator[list[Outcome]]:
    pending = list(documents)
    if not pending:
        return
    since = time.monotonic()

    def enough(_: tenacity.RetryCallState) -> bool:
        return stop.is_set() or time.monotonic() - since >= retry_seconds

    tries = tenacity.Retrying(
        wait=tenacity.wait_random_exponential(multiplier=0.5, max=30),
        stop=enough,
        sleep=tenacity.sleep_using_event(stop),
        retry=tenacity.retry_if_exception_type(_BusyError),
        reraise=True,
    )
    try:
        for attempt in tries:
            sent = _Sent([], [])
            with attempt:  # keeps the error for the next turn, so that what is done comes first
                sent = _send(act, pending, pace, stop)
                pending = sent.later
                since += sent.waited
                if sent.done:
                    since = time.monotonic()
                    pace.taken()
                elif time.monotonic() - since > SILENT_SECONDS:
                    pace.waiting(
                        f"waiting for {engine.info.url}, {retry_seconds:.0f} s at most: {sent.why}"
                    )
                if pending and not sent.error:
                    raise _BusyError(sent.why)
            yield [outcome for outcome in sent.done if not _everywhere(outcome)]
            if sent.error:
                raise sent.error
            for outcome in sent.done:
                if _everywhere(outcome):
                    raise DestinationError(f"{engine.info.url}, index {index}: {outcome.error}")
    except _BusyError as error:
        raise DestinationError(
            f"{engine.info.url} took no documents for {retry_seconds:.0f} s: {error}. What was "
            f"finished is kept; run the same command again to go on"
        ) from None


def _everywhere(outcome: Outcome) -> bool:
    return outcome.status in EVERYWHERE and not outcome.gone


def _send(act: Act, documents: list[Document], pace: Pace, stop: threading.Event) -> _Sent:
    """One request, more where it must be halved."""
    started = time.monotonic()
    pace.throttle.wait(len(documents), stop)
    waited = 0.0
    try:
        with pace.limit.turn(stop) as turn:
            waited = time.monotonic() - started
            try:
                answers = act(documents)
            except RequestError as error:
                if error.status in BUSY:
                    turn.refused()
                raise
            if any(answer.status in BUSY for answer in answers):
                turn.refused()
            else:
                turn.answered(len(documents))
    except RequestError as error:
        if error.status in LATER:
            return _Sent([], documents, str(error), waited=waited)
        if error.status not in HALVE:
            return _Sent([], [], error=error)
        if len(documents) == 1:
            return _Sent([Outcome(documents[0].id, error.status, str(error))], [])
        middle = len(documents) // 2
        first = _send(act, documents[:middle], pace, stop)
        if first.error:
            return first
        second = _send(act, documents[middle:], pace, stop)
        return _Sent(
            first.done + second.done,
            first.later + second.later,
            first.why or second.why,
            second.error,
            first.waited + second.waited,
        )
    except DestinationError as error:
        return _Sent([], [], error=error)
    return _sort(documents, answers)._replace(waited=waited)


def _sort(documents: list[Document], answers: list[Outcome]) -> _Sent:
    done, later, why = [], [], ""
    for document, answer in zip(documents, answers, strict=True):
        if answer.status in LATER:
            later.append(document)
            why = answer.error or f"status {answer.status}"
        else:
            done.append(answer)
    return _Sent(done, later, why)
