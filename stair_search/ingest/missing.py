"""Photos that are in their sources no more: their documents are deleted, where that is sure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import chain, islice

from stair_search.engines.base import Engine

from .bulk import Pace
from .job import JobSettings, Report
from .ledger import Ledger
from .sources import Sources
from .takedown import delete_all, refresh

FEW = 10
"""So many may be missing without a question, whatever their share."""

SHOWN = 20
"""Ids that a dry run names."""


def delete_missing(
    job: JobSettings,
    engine: Engine,
    ledger: Ledger,
    sources: Sources,
    report: Report,
    tell: Callable[[str], None],
) -> Report:
    """Deletes the documents and the rows of photos that a run did not come to, which has gone
    through all its sources; `report` is that run's. A dry run counts them and names some.

    Killed, the next run does it. Raises DestinationError where one cannot be deleted.
    """
    missing, documents = ledger.find_missing()
    refused = _refused(job, sources, missing, documents) if missing else None
    if refused:
        tell(f"nothing is deleted: {refused}")
    if job.dry_run:
        for name in islice(chain.from_iterable(ledger.missing()), SHOWN):
            tell(f"to be deleted: {name}")
        if missing > SHOWN:
            tell(f"to be deleted: {missing - SHOWN} more")
    elif not refused:
        refresh(engine, job.index)  # what has a routing is found by a search
        pace = Pace(1, job.documents_per_second)
        for ids in ledger.missing():
            delete_all(engine, job.index, ids, pace, job.retry_seconds)
            ledger.forget(ids)  # after the engine has told: a kill in between is no harm
    done = missing if job.dry_run or not refused else 0
    return replace(report, deleted=done, not_deleted=refused)


def _refused(job: JobSettings, sources: Sources, missing: int, documents: int) -> str | None:
    """Why what seems to be missing may be there all the same, and what to do then."""
    if sources.unlisted:
        return (
            f"{sources.unlisted}. What cannot be listed may hold some of the {missing} photos that "
            "seem to be missing: put it right, or take it out of the sources"
        )
    if job.max_delete is not None:
        if missing <= job.max_delete:
            return None
        return f"{missing} photos are missing, and --max-delete is {job.max_delete}"
    sure = f"if they are to go: --max-delete {missing}"
    if sources.empty:
        return f"{sources.empty[0]} holds no photos: is it mounted? {missing} are missing; {sure}"
    if missing > max(FEW, documents / 2):
        return f"{missing} of {documents} photos are missing, more than half; {sure}"
    return None
