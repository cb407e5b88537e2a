"""Ledger against index, both ways."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from stair_search.engines.base import Engine


class Verification(NamedTuple):
    """expected: documents that the ledger holds as written. present: those that are in the index.

    missing: ids that are not. stale: ids whose document has another hash or model than the ledger
    says, or lies under the job's folders without a row in the ledger.
    """

    expected: int
    present: int
    missing: list[str]
    stale: list[str]

    @property
    def equal(self) -> bool:
        return not (self.missing or self.stale)

    def to_dict(self) -> dict[str, Any]:
        return self._asdict()


def verify(folder: Path, engine: Engine) -> Verification:
    """Compares a job's ledger with its index by scanning the index.

    What is missing or stale is marked as failed in the ledger, so that `retry` or the next `run`
    writes it again. Raises UsageError where the folder is no job's, DestinationError.
    """
    raise NotImplementedError
