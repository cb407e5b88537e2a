"""Photos that were taken out of an index and may not come back: their documents' ids, remembered
for all jobs of this user on this machine, in a SQLite file beside the jobs' folders.

An index is known by its UUID, so that it counts by whatever way it is reached, and by its place and
name, so that it counts when it is made anew.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from stair_search.engines.base import Engine
from stair_search.errors import DestinationError

from .job import jobs_folder, place

PAGE = 500
"""Ids at a time."""

_TABLE = """
CREATE TABLE IF NOT EXISTS kept_out(
  number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, uuid TEXT NOT NULL,
  place TEXT NOT NULL, name TEXT NOT NULL, at REAL NOT NULL, lifted INTEGER NOT NULL DEFAULT 0,
  UNIQUE(id, uuid, place, name))
"""
# an alias has the UUIDs of several
_OF_INDEX = """
(uuid IN (SELECT value FROM json_each(:uuids)) OR (place = :place AND name = :name))
"""


def remembered_in() -> Path:
    """The file; there is none before the first takedown."""
    return jobs_folder().parent / "kept_out.db"


class KeptOut:
    """The ids that are kept out of one index.

    met: how many of those that were asked for. make: the file, where there is none. Every call
    raises DestinationError where the file cannot be used.
    """

    def __init__(self, engine: Engine, index: str, *, make: bool = False) -> None:
        self._uuids = engine.uuid(index).split(",") if engine.exists(index) else []
        self._index = {
            "uuids": json.dumps(self._uuids), "place": place(engine.info.url), "name": index
        }  # fmt: skip
        self._file, self.met = remembered_in(), 0
        with self._told():
            if make:
                self._file.parent.mkdir(parents=True, exist_ok=True)
            there = make or self._file.exists()
            self._db = sqlite3.connect(
                str(self._file) if there else ":memory:",
                timeout=30,
                isolation_level=None,
                check_same_thread=False,  # made by one thread, asked by the one that plans
            )
            self._db.execute(_TABLE)
        self._lock = threading.Lock()

    def close(self) -> None:
        with self._lock:  # see `Ledger.close`
            self._db.close()

    def among(self, ids: Collection[str]) -> set[str]:
        """Those of them that are kept out."""
        with self._told(), self._lock:
            found = self._db.execute(
                "SELECT DISTINCT id FROM kept_out WHERE id IN (SELECT value FROM json_each(:ids)) "
                f"AND NOT lifted AND {_OF_INDEX}",
                self._index | {"ids": json.dumps(list(ids))},
            ).fetchall()
        self.met += len(found)
        return {name for (name,) in found}

    def add(self, ids: Iterable[str]) -> None:
        """Remembers them from now on; one that is remembered already becomes the latest."""
        row = self._index | {"at": time.time()}
        with self._told():
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(
                "INSERT OR REPLACE INTO kept_out(id, uuid, place, name, at) "
                "VALUES (:id, :uuid, :place, :name, :at)",
                (row | {"id": name, "uuid": uuid} for name in ids for uuid in self._uuids),
            )
            self._db.execute("COMMIT")

    def lift(self, ids: Iterable[str]) -> int:
        """They may come in again; how many were kept out. Each stays, under a new number, to tell
        the ledgers that still hold its document.
        """
        lifted = 0
        with self._told():
            self._db.execute("BEGIN IMMEDIATE")
            for name in ids:
                done = self._db.execute(
                    "INSERT OR REPLACE INTO kept_out(id, uuid, place, name, at, lifted) "
                    "SELECT id, uuid, place, name, :at, 1 FROM kept_out "
                    f"WHERE id = :id AND NOT lifted AND {_OF_INDEX}",
                    self._index | {"id": name, "at": time.time()},
                )
                lifted += done.rowcount > 0
            self._db.execute("COMMIT")
        return lifted

    @property
    def last(self) -> int:
        """The number of the latest, 0 where there is none."""
        with self._told():
            (number,) = self._db.execute(
                f"SELECT max(number) FROM kept_out WHERE {_OF_INDEX}", self._index
            ).fetchone()
        return number or 0

    def since(self, number: int) -> Iterator[tuple[list[str], list[str], int]]:
        """What came after a number, the earliest first, in pages: ids that are kept out, those that
        were and are no more, and the last number.
        """
        while True:
            with self._told():
                rows = self._db.execute(
                    "SELECT id, lifted, number FROM kept_out "
                    f"WHERE number > :after AND {_OF_INDEX} ORDER BY number LIMIT {PAGE}",
                    self._index | {"after": number},
                ).fetchall()
            if not rows:
                return
            number = rows[-1][2]
            kept = [name for name, lifted, _ in rows if not lifted]
            yield kept, [name for name, lifted, _ in rows if lifted], number

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise DestinationError(
                f"{self._file}, where takedowns are remembered, cannot be used: {error}"
            ) from None
