"""What a job knows of its photos: one row a photo in a SQLite file of the job's folder.

A row is written after the engine has acknowledged the document, in transactions, so that a kill at
any moment leaves whole rows of finished work. `content_hash`, `columns_hash`, `names`, `model` and
`routing` tell of the document in the index as written last (`columns_hash` is null where that
document must be written again, come what may); `state` and `reason` of the last time that the photo
was seen. So a photo that has become unreadable is `failed` while its document stays.

Photos that share a document have its id as `document`. `part` is what it holds of one of them, so
that it can be written anew when another has changed; `rules` is what that part was made by.

No secret is kept here.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NamedTuple

from stair_search.errors import DestinationError, UsageError

from .photo import TAKEN_DOWN, Photo, Result, State, printable

_TABLES = """
CREATE TABLE IF NOT EXISTS photos(
  id TEXT PRIMARY KEY, uri TEXT NOT NULL, state TEXT NOT NULL, reason TEXT,
  document TEXT, part TEXT, rules TEXT,
  version TEXT, content_hash TEXT, columns_hash TEXT, names TEXT, model TEXT, routing TEXT,
  decode_ms REAL, encode_ms REAL, run INTEGER NOT NULL, at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS photos_by_document ON photos(document) WHERE document IS NOT NULL;
CREATE TABLE IF NOT EXISTS job(key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
"""

STALE = "verify: its document is not as it was written"
"""The reason of a photo whose document is there and must be written again."""

SHAPE = 3
"""Of these tables; raised where they change."""

_SEEN = """
CREATE TEMP TABLE IF NOT EXISTS seen_id(id TEXT PRIMARY KEY, uri TEXT) WITHOUT ROWID;
CREATE TEMP TABLE IF NOT EXISTS seen_uri(uri TEXT PRIMARY KEY, start INTEGER) WITHOUT ROWID;
"""

_INDEXED = """
INSERT INTO photos VALUES (:id, :uri, :state, NULL, :document, :part, :rules, :version,
                           :content_hash, :columns_hash, :names, :model, :routing, :decode_ms,
                           :encode_ms, :run, :at)
ON CONFLICT(id) DO UPDATE SET uri = :uri, state = :state, reason = NULL,
  document = :document, part = :part, rules = :rules,
  version = :version, content_hash = :content_hash, columns_hash = :columns_hash, names = :names,
  model = :model, routing = :routing, decode_ms = :decode_ms, encode_ms = :encode_ms,
  run = :run, at = :at
"""

_UNCHANGED = """
INSERT INTO photos(id, uri, state, reason, document, version, run, at)
  VALUES (:id, :uri, :state, :reason, :document, :version, :run, :at)
ON CONFLICT(id) DO UPDATE SET state = :state, reason = :reason, version = :version, run = :run,
  at = :at
"""

_FAILED = """
INSERT INTO photos(id, uri, state, reason, document, run, at)
  VALUES (:id, :uri, :state, :reason, :document, :run, :at)
ON CONFLICT(id) DO UPDATE SET uri = :uri, state = :state, reason = :reason, run = :run, at = :at,
  columns_hash = CASE WHEN :due THEN NULL ELSE columns_hash END
"""

# Documents of several photos as written last: known by the hashes of all, in rising order.
_GROUPED = """
CREATE TEMP TABLE grouped(id TEXT PRIMARY KEY, hash TEXT, model TEXT);
INSERT INTO grouped
SELECT document, group_concat(content_hash, ' '), max(model) FROM (
  SELECT document, content_hash, model FROM photos
  WHERE document IS NOT NULL AND content_hash IS NOT NULL ORDER BY document, content_hash
) GROUP BY document;
"""

_DIFFERING = """
CREATE INDEX temp.found_in_order ON found(id, hash, model, own);
CREATE TEMP TABLE missing AS
  SELECT id FROM photos WHERE content_hash IS NOT NULL AND document IS NULL
    AND NOT EXISTS (SELECT 1 FROM found WHERE found.id = photos.id)
  UNION ALL
  SELECT id FROM grouped WHERE NOT EXISTS (SELECT 1 FROM found WHERE found.id = grouped.id)
  ORDER BY id;
CREATE TEMP TABLE stale AS
  SELECT DISTINCT found.id, photos.id IS NOT NULL OR grouped.id IS NOT NULL AS known
  FROM found INDEXED BY found_in_order
  LEFT JOIN photos ON photos.id = found.id LEFT JOIN grouped ON grouped.id = found.id
  WHERE CASE
    WHEN grouped.id IS NOT NULL
      THEN found.hash IS NOT grouped.hash OR found.model IS NOT grouped.model
    WHEN photos.id IS NOT NULL
      THEN found.hash IS NOT photos.content_hash OR found.model IS NOT photos.model
    ELSE own END
  ORDER BY found.id;
"""

_NOT_MET = "id NOT IN (SELECT id FROM seen_id) AND uri NOT IN (SELECT uri FROM seen_uri)"

_STATEMENTS: dict[State, str] = {
    "indexed": _INDEXED,
    "unchanged": _UNCHANGED,
    "failed": _FAILED,
}


class Entry(NamedTuple):
    """A row, as much of it as decides whether a photo must be written again."""

    state: State
    version: str | None
    content_hash: str | None
    columns_hash: str | None
    model: str | None
    routing: str | None
    rules: str | None
    names: tuple[str, ...]


class Compared(NamedTuple):
    """expected: rows that tell of a document; missing: those of them without one; stale: documents
    that are not as their row tells, or that are the job's own and have none; known: those with one.
    """

    expected: int
    missing: int
    stale: int
    known: int


_ENTRY = "state, version, content_hash, columns_hash, model, routing, rules, names"


class Ledger:
    """One file, one connection, usable from several threads.

    folder None: a ledger in memory, for a dry run of a job that has none yet.
    """

    def __init__(self, folder: Path | None, *, read_only: bool = False) -> None:
        self._place = folder.absolute() / "ledger.db" if folder else None
        file = self._place.as_uri() if self._place else "file:memory"
        mode = "memory" if folder is None else "ro" if read_only else "rwc"
        try:
            self._db = sqlite3.connect(
                f"{file}?mode={mode}",
                uri=True,
                check_same_thread=False,
                isolation_level=None,
            )
            # The temporary tables go to a file where they grow beyond SQLite's page cache.
            self._db.execute("PRAGMA temp_store = FILE")
            (shape,) = self._db.execute("PRAGMA user_version").fetchone()
            (tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if tables and shape != SHAPE:
                raise UsageError(
                    f"the ledger {self._place} was written by another version of stair-search: "
                    "name another --job; its photos are then written anew"
                )
            if not read_only:
                # After a power cut the last transactions may be gone, never half there: those
                # photos are encoded again.
                self._db.executescript(
                    "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                    + _TABLES
                    + f"PRAGMA user_version = {SHAPE};"
                )
            self._db.executescript(_SEEN)
        except sqlite3.Error as error:
            raise DestinationError(f"the ledger {self._place} cannot be opened: {error}") from None
        self._lock = threading.Lock()
        self.run = int(self.about("run") or 0) + 1
        (some,) = self._db.execute("SELECT EXISTS (SELECT 1 FROM photos)").fetchone()
        self._empty = not some

    def close(self) -> None:
        with self._lock:  # SQLite crashes where another thread, of a run that ^C ends, is in it
            self._db.close()

    def about(self, key: str) -> str | None:
        """A fact on the whole job: "index_uuid", "run"; "made": the UUID of an index that the job
        has made and not filled yet; "load": see `load`.
        """
        with self._lock:
            row = self._db.execute("SELECT value FROM job WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def note(self, key: str, value: str | None) -> None:
        """Keeps such a fact; None forgets it."""
        with self._transaction():
            if value is None:
                self._db.execute("DELETE FROM job WHERE key = ?", (key,))
            else:
                self._db.execute("INSERT OR REPLACE INTO job VALUES (?, ?)", (key, value))

    def knows(self, index_uuid: str) -> bool:
        """Whether the rows tell of this index, and not of one that had its name before."""
        return self.about("index_uuid") == index_uuid

    def begin(self, index_uuid: str) -> None:
        """Starts a run. Documents written to an index that is no more are to be written again."""
        same = self.knows(index_uuid)
        with self._transaction():
            if not same:
                self._db.execute(
                    "UPDATE photos SET state = 'failed', reason = 'the index was made anew', "
                    "columns_hash = NULL, names = NULL WHERE content_hash IS NOT NULL"
                )
            self._db.executemany(
                "INSERT OR REPLACE INTO job VALUES (?, ?)",
                [("index_uuid", index_uuid), ("run", str(self.run))],
            )

    def meet_group(self, photos: Iterable[Photo]) -> None:
        """Notes that this run has come to photos of one document; others may have them too."""
        with self._lock:
            self._db.executemany(
                "INSERT OR IGNORE INTO seen_id VALUES (?, ?)",
                ((photo.id, photo.uri) for photo in photos),
            )

    def meet(self, photo: Photo) -> str | None:
        """Notes that this run has come to a photo.

        None at the first time. Else the URI of the first, another photo's where two share an id;
        with its first byte where another member of a tar file has the same name.
        """
        with self._lock:
            add = "INSERT OR IGNORE INTO"
            met = (photo.uri, photo.place.offset)
            if not self._db.execute(f"{add} seen_uri VALUES (?, ?)", met).rowcount:
                (start,) = self._db.execute(
                    "SELECT start FROM seen_uri WHERE uri = ?", (photo.uri,)
                ).fetchone()
                return photo.uri if start == photo.place.offset else f"{photo.uri}@{start}"
            pair = (photo.id, photo.uri)
            if self._db.execute(f"{add} seen_id VALUES (?, ?)", pair).rowcount:
                return None
            first = self._db.execute("SELECT uri FROM seen_id WHERE id = ?", (photo.id,)).fetchone()
        return str(first[0])

    def meet_new(self, photos: Sequence[Photo]) -> bool:
        """Notes that this run has come to all of them for the first time; if it has not, nothing is
        noted, and `meet` tells of each.
        """
        with self._lock:
            self._db.execute("SAVEPOINT meeting")
            add = "INSERT OR IGNORE INTO"
            new = len(photos) == self._db.executemany(
                f"{add} seen_uri VALUES (?, ?)", [(p.uri, p.place.offset) for p in photos]
            ).rowcount == self._db.executemany(
                f"{add} seen_id VALUES (?, ?)", [(p.id, p.uri) for p in photos]
            ).rowcount  # fmt: skip
            if not new:
                self._db.execute("ROLLBACK TO meeting")
            self._db.execute("RELEASE meeting")
        return new

    def entries(self, ids: Sequence[str]) -> dict[str, Entry]:
        """What is known of photos from before this run, by their ids."""
        if self._empty:
            return {}
        with self._lock:
            rows = self._db.execute(
                f"SELECT id, {_ENTRY} FROM photos WHERE id IN (SELECT value FROM json_each(?))",
                (json.dumps(ids),),
            ).fetchall()
        return {name: _entry(row) for name, *row in rows}

    def group(self, document: str) -> dict[str, Entry]:
        """What is known of the photos that share a document, by their ids."""
        with self._lock:
            rows = self._db.execute(
                f"SELECT id, {_ENTRY} FROM photos WHERE document = ?", (document,)
            ).fetchall()
        return {name: _entry(row) for name, *row in rows}

    def parts(self, document: str) -> dict[str, dict[str, Any]]:
        """What a shared document holds of its photos, by their ids."""
        with self._lock:
            rows = self._db.execute(
                "SELECT id, part FROM photos WHERE document = ? AND part IS NOT NULL", (document,)
            ).fetchall()
        return {name: json.loads(part) for name, part in rows}

    def record(self, results: Sequence[Result], *, model: str) -> None:
        """Final states, in one transaction: photos that share a document are given together."""
        now = time.time()
        rows = [(_STATEMENTS[result.state], self._row(result, model, now)) for result in results]
        gone = [(name,) for result in results for name in result.forget]
        with self._transaction():
            self._db.executemany("DELETE FROM photos WHERE id = ?", gone)
            for statement, row in rows:
                self._db.execute(statement, row)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            with self._lock, self._db:
                self._db.execute("BEGIN")
                yield
        except sqlite3.Error as error:
            raise DestinationError(f"the ledger {self._place} cannot be written: {error}") from None

    def _row(self, result: Result, model: str, now: float) -> dict[str, Any]:
        photo = result.photo
        return {
            **result._asdict(),
            "photo": None,
            "id": photo.id,
            "uri": photo.uri,
            "reason": printable(result.reason) if result.reason else None,
            "document": photo.group,
            "part": None if result.part is None else json.dumps(result.part, separators=(",", ":")),
            "forget": None,
            "names": json.dumps(sorted(photo.columns)),
            "model": model,
            "routing": photo.routing,
            "run": self.run,
            "at": now,
        }

    def failures(self) -> Iterator[tuple[str, str, str]]:
        """The document's id, uri and reason of the photos that failed when they were last seen."""
        yield from self._db.execute(
            "SELECT coalesce(document, id), uri, reason FROM photos WHERE state = 'failed' "
            "ORDER BY id"
        )

    def failures_not_met(self) -> Iterator[tuple[str, str]]:
        """The photos (id, uri) that failed before and that this run has not come to."""
        last = ""
        while True:  # in pages: their new state is written meanwhile
            with self._lock:
                rows = self._db.execute(
                    f"SELECT id, uri FROM photos WHERE id > ? AND state = 'failed' AND {_NOT_MET} "
                    "ORDER BY id LIMIT 500",
                    (last,),
                ).fetchall()
            if not rows:
                return
            last = rows[-1][0]
            yield from rows

    def forget_gone(self, *, written: bool) -> None:
        """Drops failures that this run has not come to and that have no document to tell of.

        written: also where there is one, which was to be written again.
        """
        which = "columns_hash" if written else "content_hash"
        with self._transaction():
            self._db.execute(
                f"DELETE FROM photos WHERE state = 'failed' AND {which} IS NULL AND {_NOT_MET} "
                f"AND reason IS NOT '{STALE}'"
            )

    def find_missing(self) -> tuple[int, int]:
        """Looks for documents of photos that this run has not come to, nor to another id of the
        same photo, which has failed; of several photos, to none of them. Answers how many there
        are, and of how many.
        """
        with self._lock:
            self._db.execute(
                "CREATE TEMP TABLE missing AS SELECT id FROM photos "
                "WHERE content_hash IS NOT NULL AND document IS NULL "
                "AND id NOT IN (SELECT id FROM seen_id) "
                "AND (uri NOT IN (SELECT uri FROM seen_uri) OR uri IN (SELECT uri FROM seen_id)) "
                "AND uri NOT IN (SELECT uri FROM photos WHERE state = 'failed' AND run = ?) "
                "UNION ALL SELECT document FROM photos WHERE document IS NOT NULL "
                "GROUP BY document HAVING max(content_hash) IS NOT NULL "
                "AND NOT max(id IN (SELECT id FROM seen_id))",
                (self.run,),
            )
            (missing,) = self._db.execute("SELECT count(*) FROM missing").fetchone()
            (documents,) = self._db.execute(
                "SELECT count(DISTINCT coalesce(document, id)) FROM photos "
                "WHERE content_hash IS NOT NULL"
            ).fetchone()
        return missing, documents

    def missing(self) -> Iterator[list[str]]:
        """The ids that `find_missing` found, in pages."""
        return self._pages("missing")

    def _pages(self, table: str) -> Iterator[list[str]]:
        """The ids of a temporary table; others may use the ledger between two pages."""
        last = 0
        while True:
            with self._lock:
                rows = self._db.execute(
                    f"SELECT id, rowid FROM temp.{table} WHERE rowid > ? ORDER BY rowid LIMIT 500",
                    (last,),
                ).fetchall()
            if not rows:
                return
            last = rows[-1][1]
            yield [row[0] for row in rows]

    def forget(self, ids: Iterable[str]) -> None:
        """Drops rows."""
        with self._transaction():
            self._db.executemany(
                "DELETE FROM photos WHERE document = ?1 OR (id = ?1 AND document IS NULL)",
                ((name,) for name in ids),
            )

    def compare(self, found: Iterable[tuple[str, str | None, str | None, bool]]) -> Compared:
        """Holds all documents of the index (id, hash, model, own) beside the rows.

        Both sides, and what differs (see `differing`), stay on disk: sorted first, so that they are
        gone through side by side and nothing is looked up here and there.
        """
        with self._lock:
            self._db.execute("CREATE TEMP TABLE found(id TEXT, hash TEXT, model TEXT, own INTEGER)")
            self._db.execute("BEGIN")
            self._db.executemany("INSERT INTO found VALUES (?, ?, ?, ?)", found)
            self._db.execute("COMMIT")
            self._db.executescript(_GROUPED + _DIFFERING)
            counts = self._db.execute(
                "SELECT (SELECT count(*) FROM photos WHERE content_hash IS NOT NULL "
                "AND document IS NULL) + (SELECT count(*) FROM grouped), "
                "(SELECT count(*) FROM missing), (SELECT count(*) FROM stale), "
                "(SELECT count(*) FROM stale WHERE known)"
            ).fetchone()
        return Compared(*counts)

    def differing(self, what: Literal["missing", "stale"]) -> Iterator[str]:
        """The ids that `compare` found, in order."""
        return chain.from_iterable(self._pages(what))

    def take_down(self, ids: Iterable[str]) -> None:
        """Notes that photos have no document any more and are to have none."""
        with self._transaction():
            self._db.executemany(
                f"UPDATE photos SET state = 'unchanged', reason = '{TAKEN_DOWN}', version = NULL, "
                "content_hash = NULL, columns_hash = NULL, names = NULL, part = NULL "
                "WHERE (document = ?1 OR (id = ?1 AND document IS NULL)) "
                "AND content_hash IS NOT NULL",
                ((name,) for name in ids),
            )

    def mark(self, what: Literal["missing", "stale"], reason: str) -> None:
        """Notes those photos to be written again, whatever their files tell."""
        with self._transaction():
            self._db.execute(
                "UPDATE photos SET state = 'failed', reason = ?, columns_hash = NULL "
                f"WHERE (id IN (SELECT id FROM temp.{what}) AND document IS NULL) "
                f"OR (document IN (SELECT id FROM temp.{what}) AND content_hash IS NOT NULL)",
                (reason,),
            )


def _entry(row: Sequence[Any]) -> Entry:
    return Entry._make((*row[:-1], tuple(json.loads(row[-1] or "[]"))))
