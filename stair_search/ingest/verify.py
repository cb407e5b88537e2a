"""Ledger against index, both ways."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from stair_search.engines.base import Engine
from stair_search.errors import DestinationError
from stair_search.mappings import photos_in

from . import job as jobs
from .index import must_be_own
from .ledger import STALE, Ledger
from .load import put_back
from .photo import Place, uri_of
from .takedown import refresh, tell_ledger

_log = logging.getLogger(__name__)


class Ids:
    """Ids in order, in a file of the job's folder: a JSON string a line. It is read each time that
    they are gone through, and there until the next `verify`; no file, no ids.

    known: of how many of them the ledger has a row. Equal to a list of the same ids.
    """

    def __init__(self, file: Path, count: int, known: int) -> None:
        self.file, self.known, self._count = file, known, count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        if self._count:
            with self.file.open(encoding="utf-8") as lines:
                yield from map(json.loads, lines)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, list | Ids) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{self._count} ids in {self.file}>"


class Verification(NamedTuple):
    """expected: documents that the ledger holds as written. present: those that are in the index.

    missing: ids that are not. stale: ids whose document has another hash or model than the ledger
    says, or is named after a file in the job's folders and has no row in the ledger.
    """

    expected: int
    present: int
    missing: Ids
    stale: Ids

    def __eq__(self, other: object) -> bool:
        return tuple(self) == other  # with lists, too

    @property
    def equal(self) -> bool:
        """Whether the index is what the ledger says."""
        return not (self.missing or self.stale)


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
            told = ledger.compare(_found(engine, settings))
            missing = _kept(folder, ledger, "missing", told.missing, told.missing)
            stale = _kept(folder, ledger, "stale", told.stale, told.known)
            ledger.mark("missing", "verify: its document is not in the index")
            ledger.mark("stale", STALE)
        finally:
            ledger.close()
    return Verification(told.expected, told.expected - told.missing, missing, stale)


def _kept(
    folder: Path, ledger: Ledger, what: Literal["missing", "stale"], count: int, known: int
) -> Ids:
    name = f"{what}.ndjson"
    if count:
        jobs.save_lines(folder, name, map(json.dumps, ledger.differing(what)))
    else:
        (folder / name).unlink(missing_ok=True)
    return Ids(folder / name, count, known)


def _uri(source: str) -> str:
    return source if Place(source).remote else uri_of(Path(source).resolve())


def _found(
    engine: Engine, settings: jobs.JobSettings
) -> Iterator[tuple[str, str | None, str | None, bool]]:
    """Every document of the index; own: named after a file in a folder that is the job's source.
    The hash of a document of several photos is theirs, in rising order.
    """
    fields = settings.fields
    # what lies below a folder or in a bucket, and in a tar or Parquet file
    own = tuple(f"{_uri(s).rstrip('/')}{end}" for s in settings.sources for end in "/#")
    refresh(engine, settings.index)
    photos = photos_in(engine.mapping(settings.index), fields)
    if photos is None:
        for name, document in engine.scan(settings.index, [fields.hash, fields.model]):
            yield name, document.get(fields.hash), document.get(fields.model), name.startswith(own)
        return
    inside = fields.in_photos()
    for name, document in engine.scan(settings.index, [inside.hash, inside.model]):
        several = document.get(photos) or []
        hashes, models = ([str(one.get(f)) for one in several] for f in (fields.hash, fields.model))
        yield name, " ".join(sorted(hashes)) or None, " ".join({*models}) or None, False
