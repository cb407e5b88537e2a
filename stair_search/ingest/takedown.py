"""Documents out of an index by their ids, for good: no job of this machine brings them back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import islice
from typing import NamedTuple

from stair_search.engines.base import Engine, Outcome, RequestError
from stair_search.engines.documents import check_id
from stair_search.errors import DestinationError
from stair_search.queries import Ids

from . import bulk
from .kept_out import PAGE, KeptOut
from .ledger import Ledger

SETTLED = "kept_out"
"""The fact of a ledger: up to which number its index was rid of what is kept out of it."""


class Counts(NamedTuple):
    """asked: ids. not_found: without a document; they are kept out all the same."""

    asked: int = 0
    deleted: int = 0
    not_found: int = 0
    failed: int = 0

    def plus(self, **more: int) -> Counts:
        return self._replace(**{name: getattr(self, name) + n for name, n in more.items()})


def take_down(
    engine: Engine,
    index: str,
    ids: Iterable[str],
    *,
    dry_run: bool = False,
    progress: Callable[[Counts], None] = lambda _: None,
    failed: Callable[[str, str], None] = lambda _id, _reason: None,
    retry_seconds: float = 300.0,
) -> Counts:
    """Deletes documents and remembers their ids, see `KeptOut`. Killed, the same call goes on.

    failed: told of each id that cannot be deleted, and why. Raises DestinationError where the index
    is not there or cannot be used.
    """
    counts = Counts()
    refresh(engine, index)  # a dry run searches
    with closing(KeptOut(engine, index, make=not dry_run)) as kept:
        for given in _pages(ids):
            page = []
            for name in given:
                try:
                    check_id(name)
                    page.append(name)
                except ValueError as error:
                    failed(name, str(error))
            counts = counts.plus(asked=len(given), failed=len(given) - len(page))
            if dry_run:
                there = sum(1 for _ in engine.scan(index, [], Ids(tuple(page))))
                counts = counts.plus(deleted=there, not_found=len(page) - there)
                continue
            kept.add(page)  # before they are deleted: none may come back in between
            for outcome in deleted(engine, index, page, bulk.Pace(1, None), retry_seconds):
                what = "deleted" if outcome.ok else "not_found" if outcome.gone else "failed"
                counts = counts.plus(**{what: 1})
                if not outcome.gone:
                    failed(outcome.id, f"{engine.info.product}: {outcome.error}")
            progress(counts)
    if not dry_run:
        refresh(engine, index)
    return counts


def lift(engine: Engine, index: str, ids: Iterable[str], *, dry_run: bool = False) -> int:
    """Lets photos into the index again that were taken down; how many were."""
    with closing(KeptOut(engine, index)) as kept:
        return sum(len(kept.among([name])) for name in ids) if dry_run else kept.lift(ids)


def settle(
    engine: Engine, index: str, ledger: Ledger, pace: bulk.Pace, retry_seconds: float
) -> None:
    """Takes out of the index what a run, or one that was killed, may have written after its
    takedown, and tells the ledger. Before a run and after it, by its process.
    """
    with closing(KeptOut(engine, index)) as kept:
        for page, (ids, lifted, number) in enumerate(kept.since(int(ledger.about(SETTLED) or 0))):
            if page == 0:
                refresh(engine, index)  # what has a routing is found by a search
            delete_all(engine, index, ids, pace, retry_seconds)
            ledger.take_down([*ids, *lifted])
            ledger.note(SETTLED, str(number))


def tell_ledger(engine: Engine, index: str, ledger: Ledger) -> None:
    """What was taken down since the job's last run is expected in the index no more."""
    with closing(KeptOut(engine, index)) as kept:
        for ids, lifted, _ in kept.since(int(ledger.about(SETTLED) or 0)):
            ledger.take_down([*ids, *lifted])


def deleted(
    engine: Engine, index: str, ids: list[str], pace: bulk.Pace, retry_seconds: float
) -> Iterator[Outcome]:
    """Deletes documents by the road on which they are written, see `bulk.delete`."""
    stop = threading.Event()
    for outcomes in bulk.delete(
        engine, index, ids, pace=pace, retry_seconds=retry_seconds, stop=stop
    ):
        yield from outcomes


def delete_all(
    engine: Engine, index: str, ids: list[str], pace: bulk.Pace, retry_seconds: float
) -> None:
    """The same, where none may stay. Raises DestinationError."""
    for outcome in deleted(engine, index, ids, pace, retry_seconds):
        if not outcome.gone:
            raise DestinationError(
                f"{engine.info.url}, index {index}: {outcome.id!r} cannot be deleted: "
                f"{outcome.error}"
            )


def refresh(engine: Engine, index: str) -> None:
    """Makes the index as it is now findable; a user who may not do that can do without."""
    try:
        engine.refresh(index)
    except RequestError as error:
        if error.status != 403:
            raise


def _pages(ids: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(ids)
    while page := list(islice(rest, PAGE)):
        yield list(dict.fromkeys(page))
