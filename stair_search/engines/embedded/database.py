"""The SQLite file: opening, schema, transactions, errors in one line.

A file is taken for ours only if its schema is exactly the one below: no trigger or view of a file
from elsewhere ever runs.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from stair_search.engines.base import RequestError
from stair_search.errors import DestinationError

APPLICATION_ID = 0x53544152  # "STAR", in the file's header

# postings: (field, term, chunk of 4,096 document numbers) -> the documents that hold it.
#   offsets: uint16 [count], rising, within the chunk; vals: uint16 [count], the weight's upper bits
#   or the word's frequency, NULL for keywords. A text field's term '' holds the length bytes of
#   all its documents; field '' term '' holds every document.
# lengths: words in all documents of a text field.
# photos: those in the nested field `path` have numbers of their own, under which postings hold
#   their fields (field `path` term '' holds every photo); a document's rise in the order of its
#   list. document -1: a number that is free.
SCHEMA = (
    "CREATE TABLE indexes (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, "
    "uuid TEXT NOT NULL, mapping TEXT NOT NULL, documents INTEGER NOT NULL)",
    "CREATE TABLE documents (owner INTEGER NOT NULL, number INTEGER NOT NULL, id TEXT NOT NULL, "
    "source TEXT NOT NULL, PRIMARY KEY (owner, number)) WITHOUT ROWID",
    "CREATE UNIQUE INDEX documents_by_id ON documents (owner, id)",
    "CREATE TABLE postings (owner INTEGER NOT NULL, field TEXT NOT NULL, term TEXT NOT NULL, "
    "chunk INTEGER NOT NULL, count INTEGER NOT NULL, offsets BLOB NOT NULL, vals BLOB, "
    "PRIMARY KEY (owner, field, term, chunk)) WITHOUT ROWID",
    "CREATE TABLE lengths (owner INTEGER NOT NULL, field TEXT NOT NULL, words INTEGER NOT NULL, "
    "PRIMARY KEY (owner, field)) WITHOUT ROWID",
    "CREATE TABLE photos (owner INTEGER NOT NULL, path TEXT NOT NULL, number INTEGER NOT NULL, "
    "document INTEGER NOT NULL, PRIMARY KEY (owner, path, number)) WITHOUT ROWID",
    "CREATE INDEX photos_by_document ON photos (owner, path, document)",
)


class Damaged(Exception):  # noqa: N818
    """What a row holds cannot have been written by us."""


class _Connection(sqlite3.Connection):
    """One that can be held weakly: it closes with the thread that it belongs to."""


def _is_new(connection: _Connection) -> bool:
    """Whether nothing is in the file yet, though it may have a header: its maker was killed."""
    if connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone():
        return False
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    return bool(application == 0)


class Database:
    """One file. Each thread has a connection of its own; WAL lets them read while one writes."""

    def __init__(self, path: str, timeout: float) -> None:
        self.path = Path(path)
        self.place = f"sqlite:{path}"
        self._timeout = timeout
        self._mine = threading.local()
        self._all: weakref.WeakSet[_Connection] = weakref.WeakSet()

    def holds_anything(self) -> bool:
        """Whether there is a file with our schema. Raises DestinationError where it is not ours."""
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:
            return False
        except OSError as error:
            raise DestinationError(f"{self.place}: {error.strerror}") from None
        if not self.path.is_file():
            raise DestinationError(f"{self.place} is a folder, not a file")
        if not size:
            return False
        if getattr(self._mine, "connection", None):
            return True
        with self.translated(), closing(self._open(self._mode())) as connection:
            return not _is_new(connection)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A snapshot: what others write meanwhile is not seen."""
        with self.translated():
            connection = self._connection()
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it or nothing."""
        with self.translated():
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:  # a full disk ends the transaction by itself
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    @contextmanager
    def translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._translation(error) from error
        except Damaged as error:
            raise DestinationError(
                f"{self.place}: the file is damaged ({error}); restore a copy, or ingest into "
                f"another file"
            ) from None

    def prepare(self) -> None:
        """Makes the file and its schema where they are missing."""
        if not self.path.parent.is_dir():
            raise DestinationError(
                f"{self.place}: there is no folder {self.path.parent}; make it first"
            )
        new = not self.holds_anything()
        with self.translated(), closing(self._open("rwc")) as connection:
            if new:
                connection.execute("BEGIN IMMEDIATE")
                if _is_new(connection):  # no other process was faster
                    for statement in SCHEMA:
                        connection.execute(statement)
                    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute("COMMIT")
            self._checked(connection)
            self._write_ahead(connection)

    def own_connection(self) -> sqlite3.Connection:
        """A connection that the caller closes, for a snapshot that lives on."""
        with self.translated():
            return self._checked(self._open(self._mode()))

    def close(self) -> None:
        for connection in list(self._all):
            connection.close()
        self._all.clear()
        self._mine = threading.local()

    def _connection(self) -> _Connection:
        connection: _Connection | None = getattr(self._mine, "connection", None)
        if connection is None:
            connection = self._checked(self._open(self._mode()))
            self._mine.connection = connection
            self._all.add(connection)
        return connection

    def _mode(self) -> str:
        """Where nothing can be written, WAL's side files cannot be made; `immutable` needs none."""
        if os.access(self.path, os.W_OK) and os.access(self.path.parent, os.W_OK):
            return "rw"
        return "ro" if Path(f"{self.path}-wal").exists() else "ro&immutable=1"

    def _open(self, mode: str) -> _Connection:
        connection = sqlite3.connect(
            f"file:{quote(str(self.path.absolute()))}?mode={mode}",
            uri=True,
            timeout=self._timeout,
            isolation_level=None,  # transactions are begun by hand
            factory=_Connection,
            check_same_thread=False,  # used by one thread, closed by any
        )
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        return connection

    def _write_ahead(self, connection: _Connection) -> None:
        """Switches the file to WAL. SQLite does not wait for others here, so this does."""
        until = time.monotonic() + self._timeout
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > until:
                    raise
                time.sleep(0.01)

    def _checked(self, connection: _Connection) -> _Connection:
        try:
            schema = connection.execute(
                "SELECT sql FROM sqlite_schema WHERE sql NOT NULL"
            ).fetchall()
            (application,) = connection.execute("PRAGMA application_id").fetchone()
        except sqlite3.Error:
            connection.close()
            raise
        if application == APPLICATION_ID and {sql for (sql,) in schema} == set(SCHEMA):
            return connection
        connection.close()
        raise DestinationError(
            f"{self.place} is a SQLite file, but not one of this version of stair-search; "
            f"name another file with --url"
        )

    def _translation(self, error: sqlite3.Error) -> DestinationError:
        text = str(error)
        if "locked" in text or "busy" in text:
            return RequestError(
                f"{self.place} is locked by another process for more than {self._timeout:g} s; "
                f"wait for it to end, or end it",
                503,
            )
        remedies = {
            "disk is full": "the disk is full; make room and run the command again",
            "not a database": "this file is no SQLite database; name another file with --url",
            "readonly": "the file or its folder may not be written to; change its permissions",
            "unable to open": "the file or its folder cannot be opened; check its permissions",
            "malformed": "the file is damaged; restore a copy, or ingest into another file",
            "no such table": "the file was changed meanwhile; run the command again",
        }
        for word, remedy in remedies.items():
            if word in text:
                return DestinationError(f"{self.place}: {remedy} ({text})")
        return DestinationError(f"{self.place}: {text}")
