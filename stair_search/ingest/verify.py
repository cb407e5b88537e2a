"""Ledger against index, both ways."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from stair_search.engines.base import Engine
from stair_search.errors import DestinationError

from . import job as jobs
from .index import must_be_own
from .ledger import Ledger
from .load import put_back
from .photo import uri_of
from .takedown import refresh, tell_ledger

_log = logging.getLogger(__name__)


class Verification(NamedTuple):
    """expected: documents that the ledger holds as written. present: those that are in the index.

    missing: ids that are not. stale: ids whose document has another hash or model than the ledger
    says, or is named after a file in the job's folders and has no row in the ledger.
    """

    expected: int
    present: int
    missing: list[str]
    stale: list[str]

    @property
    def equal(self) -> bool:
        """Whether the index is what the ledger says."""
        return not (self.missing or self.stale)

    def to_dict(self) -> dict[str, Any]:
        """The names and lists as the command line prints them."""
        return self._asdict()


def verify(folder: Path, engine: Engine) -> Verification:
    """Compares a job's ledger with its index by scanning the index.

    What is missing or stale is marked as failed in the ledger, so that `retry` or the next `run`
    writes it again. Raises UsageError where the folder is no job's, the job is running or the index
    is not the job's, DestinationError where the index is gone or cannot be read.
    """
    past = jobs.load(folder)
    folder, settings = past.folder, past.settings
    if not engine.exists(settings.index):
        raise DestinationError(
            f"there is no index {settings.index!r} in {engine.info.url}; `ingest` makes it anew"
        )
    must_be_own(folder, settings, engine, engine.info.url, settings.index)
    with jobs.locked(folder):
        ledger = Ledger(folder)
        try:
            put_back(engine, settings.index, ledger, _log.warning)
            tell_ledger(engine, settings.index, ledger)
            expected, missing, stale = ledger.compare(_found(engine, settings))
            ledger.mark(missing, "verify: its document is not in the index")
            ledger.mark(stale, "verify: its document is not as it was written")
        finally:
            ledger.close()
    return Verification(expected, expected - len(missing), missing, stale)


def _found(
    engine: Engine, settings: jobs.JobSettings
) -> Iterator[tuple[str, str | None, str | None, bool]]:
    """Every document of the index; own: named after a file in a folder that is the job's source."""
    fields = settings.fields
    # what lies below a folder, and in a tar file
    ends = ((s, "/" if Path(s).is_dir() else "#") for s in settings.sources)
    own = tuple(f"{uri_of(Path(s).resolve())}{end}" for s, end in ends)
    refresh(engine, settings.index)
    for name, document in engine.scan(settings.index, [fields.hash, fields.model]):
        yield name, document.get(fields.hash), document.get(fields.model), name.startswith(own)
