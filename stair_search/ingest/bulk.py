"""Documents into an engine: in requests of bounded size, each document with its outcome.

What the engine does not take now is tried again (tenacity, full jitter), what it never takes
fails alone, and what concerns the destination as a whole ends the run.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import tenacity

from stair_search.engines.base import Document, Engine, Outcome, RequestError
from stair_search.errors import DestinationError

LATER = frozenset({0, 409, 429, 502, 503, 504})
"""What may pass later. 0: no answer came; 409: what got none is still being written."""

HALVE = frozenset({400, 413})
"""A request that is too large, or holds a document that spoils it: its halves are sent."""

EVERYWHERE = frozenset({401, 403, 404})
"""What is refused so concerns the index or the user, not one document."""


class _BusyError(Exception):
    """Not taken now."""


def write(
    engine: Engine,
    index: str,
    documents: Sequence[Document],
    *,
    retry_seconds: float,
    stop: threading.Event,
) -> Iterator[list[Outcome]]:
    """Writes documents; yields final outcomes as they become known, each document's once.

    Raises DestinationError where the engine takes no more, after the outcomes known until then
    have been yielded. `stop` ends the waiting between two attempts.
    """
    pending = list(documents)
    if not pending:
        return
    tries = tenacity.Retrying(
        wait=tenacity.wait_random_exponential(multiplier=0.5, max=30),
        stop=tenacity.stop_after_delay(retry_seconds) | tenacity.stop_when_event_set(stop),
        sleep=tenacity.sleep_using_event(stop),
        retry=tenacity.retry_if_exception_type(_BusyError),
        reraise=True,
    )
    done: list[Outcome] = []
    try:
        for attempt in tries:
            with attempt:  # keeps the error for the next turn, so that what is done comes first
                done = []
                done, pending, why = _send(engine, index, pending)
                if pending:
                    raise _BusyError(why)
            yield [outcome for outcome in done if outcome.status not in EVERYWHERE]
            for outcome in done:
                if outcome.status in EVERYWHERE:
                    raise DestinationError(f"{engine.info.url}, index {index}: {outcome.error}")
    except _BusyError as error:
        raise DestinationError(
            f"{engine.info.url} took no documents for {retry_seconds:.0f} s: {error}. What was "
            f"finished is kept; run the same command again to go on"
        ) from None


def _send(
    engine: Engine, index: str, documents: list[Document]
) -> tuple[list[Outcome], list[Document], str]:
    """One request (more where it must be halved): outcomes, what to send again, and why."""
    try:
        answers = engine.bulk(index, documents)
    except RequestError as error:
        if error.status in LATER:
            return [], documents, str(error)
        if error.status not in HALVE:
            raise
        if len(documents) == 1:
            return [Outcome(documents[0].id, error.status, str(error))], [], ""
        middle = len(documents) // 2
        first, later, why = _send(engine, index, documents[:middle])
        second, later2, why2 = _send(engine, index, documents[middle:])
        return first + second, later + later2, why or why2
    return _sort(documents, answers)


def _sort(
    documents: list[Document], answers: list[Outcome]
) -> tuple[list[Outcome], list[Document], str]:
    done, later, why = [], [], ""
    for document, answer in zip(documents, answers, strict=True):
        if answer.status in LATER:
            later.append(document)
            why = answer.error or f"status {answer.status}"
        else:
            done.append(answer)
    return done, later, why
