"""The embedded engine: indices in one SQLite file, no server."""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stair_search.engines.base import Document, EngineInfo, Hits, Outcome
from stair_search.engines.checks import (
    check_index_name,
    check_model,
    check_neural_sparse,
    check_search,
    check_size,
    no_index,
    wanted_models,
)
from stair_search.engines.documents import only
from stair_search.engines.embedded import answer, postings
from stair_search.engines.embedded.database import Damaged, Database
from stair_search.engines.embedded.evaluate import Evaluation, Ranked
from stair_search.engines.embedded.writing import Writer
from stair_search.engines.lucene.compile import search_body
from stair_search.engines.lucene.target import Target
from stair_search.errors import DestinationError, UsageError
from stair_search.fields import model_field
from stair_search.mappings import hidden_fields, types_of
from stair_search.queries import Query, Search
from stair_search.queries.search import as_search, page_of

_LEAST_BYTES = 16  # of a document in the file: row, id, entry in the index of ids


class _Index(NamedTuple):
    name: str
    number: int
    uuid: str
    mapping: dict[str, Any]
    documents: int  # numbers given so far

    @property
    def hidden_fields(self) -> set[str]:
        return hidden_fields(self.mapping)


class SqliteEngine:
    """See `engines.base.Engine`. May be used by several threads; a file by several processes."""

    def __init__(self, path: str, timeout: float = 30) -> None:
        self._database = Database(path, timeout)
        self.info = EngineInfo("sqlite", sqlite3.sqlite_version, self._database.place)

    def exists(self, index: str) -> bool:
        if not self._database.holds_anything():
            return False
        with self._database.reading() as db:
            return self._row(db, index) is not None

    def create(self, index: str, body: Mapping[str, Any]) -> None:
        check_index_name(index)
        mapping = {"properties": {}, **body.get("mappings", {})}
        self._database.prepare()
        with self._database.writing() as db:
            if self._row(db, index):
                raise DestinationError(
                    f"{self.info.url} has an index {index!r} already; nothing was changed"
                )
            db.execute(
                "INSERT INTO indexes (name, uuid, mapping, documents) VALUES (?, ?, ?, 0)",
                (index, uuid.uuid4().hex, json.dumps(mapping)),
            )

    def mapping(self, index: str) -> dict[str, Any]:
        with self._reading(index) as (_, found):
            return found.mapping

    def add_fields(self, index: str, properties: Mapping[str, Any]) -> None:
        self._must_exist(index)
        with self._database.writing() as db:
            found = self._index(db, index)
            held = found.mapping.get("properties", {})
            mapping = {**found.mapping, "properties": {**properties, **held}}
            db.execute(
                "UPDATE indexes SET mapping = ? WHERE number = ?",
                (json.dumps(mapping), found.number),
            )

    def uuid(self, index: str) -> str:
        with self._reading(index) as (_, found):
            return found.uuid

    def settings(self, index: str) -> dict[str, Any]:
        """None: what is written is findable at once, and there are no replicas."""
        self._must_exist(index)
        return {}

    def change_settings(self, index: str, values: Mapping[str, Any]) -> None:
        self._must_exist(index)

    def bulk(
        self, index: str, documents: Sequence[Document], pipeline: str | None = None
    ) -> list[Outcome]:
        if pipeline:
            self.check_pipeline(index, pipeline)
        self._must_exist(index)
        with self._database.writing() as db:
            found = self._index(db, index)
            return Writer(db, found.number, found.documents, found.mapping).write(documents)

    def writes_to(self, index: str) -> str:
        self._must_exist(index)
        return index

    def check_pipeline(self, index: str, pipeline: str) -> None:
        raise UsageError(
            f"pipeline {pipeline!r}: {self.info.url} is a file, and ingest pipelines are run by "
            f"Elasticsearch and OpenSearch; leave it out, or name one of them with --url"
        )

    def delete(self, index: str, ids: Sequence[str]) -> list[Outcome]:
        self._must_exist(index)
        with self._database.writing() as db:
            found = self._index(db, index)
            return Writer(db, found.number, found.documents, found.mapping).delete(ids)

    def body(
        self, query: Query | Search, size: int = 10, *, why: bool = True, index: str | None = None
    ) -> dict[str, Any]:
        """The body that an OpenSearch cluster takes for the same search."""
        search = as_search(query, size, why)
        if index is None:
            return search_body(search)
        with self._reading(index) as (_, found):
            target = Target(types=types_of(found.mapping["properties"]))
            return search_body(search, found.hidden_fields, target)

    def search(
        self, index: str, query: Query | Search, size: int = 10, *, why: bool = True
    ) -> Hits:
        began = time.perf_counter()
        search = as_search(query, size, why)
        with self._reading(index) as (db, found):
            evaluation = self._evaluation(db, found, search)
            most = search.start + search.size
            ranked = evaluation.best(search.query, most, search.min_score)
            return self._hits(db, found, evaluation, search, ranked, search.start, began)

    def search_many(self, index: str, searches: Sequence[Query | Search]) -> list[Hits]:
        return [self.search(index, search) for search in searches]

    def pages(self, index: str, query: Query | Search, size: int = 100) -> Iterator[Hits]:
        search = page_of(query, size)
        db, found = self._snapshot(index)
        try:
            with self._database.translated():
                evaluation = self._evaluation(db, found, search)
                ranked = evaluation.best(search.query, found.documents, search.min_score)
        except BaseException:
            db.close()
            raise
        return self._paged(db, found, evaluation, search, ranked)

    def _paged(
        self,
        db: sqlite3.Connection,
        found: _Index,
        evaluation: Evaluation,
        search: Search,
        ranked: Ranked,
    ) -> Iterator[Hits]:
        try:
            with self._database.translated():
                for start in range(0, len(ranked.best), search.size):
                    began = time.perf_counter()
                    yield self._hits(db, found, evaluation, search, ranked, start, began)
        finally:
            db.close()

    def _evaluation(self, db: sqlite3.Connection, found: _Index, search: Search) -> Evaluation:
        """What answers a search, which is refused where it cannot be answered."""
        if search.neural_sparse:
            check_neural_sparse(self.info, search.query)
        types = types_of(found.mapping["properties"])
        check_search(found.name, search, types)
        check_size(search.query, types)
        for field, model in wanted_models(search.query):
            known = postings.counts(db, found.number, model_field(field))
            check_model(found.name, field, model, known)
        return Evaluation(db, found.number, found.documents, found.mapping)

    def _hits(
        self,
        db: sqlite3.Connection,
        found: _Index,
        evaluation: Evaluation,
        search: Search,
        ranked: Ranked,
        start: int,
        began: float,
    ) -> Hits:
        hidden = found.hidden_fields
        hits = [
            answer.hit(evaluation, search, one, *self._document(db, found, one[0]), hidden)
            for one in ranked.best[start : start + search.size]
        ]
        total, relation = ranked.total, "eq"
        if search.count is not None and search.count is not True and search.count < total:
            total = len(hits) if search.count is False else int(search.count)
            relation = "gte"
        counted = answer.facets(evaluation, search, found.mapping)
        return Hits(total, relation, (time.perf_counter() - began) * 1000, hits, counted)

    def get(self, index: str, id: str) -> dict[str, Any] | None:
        with self._reading(index) as (db, found):
            row = db.execute(
                "SELECT source FROM documents WHERE owner = ? AND id = ?", (found.number, id)
            ).fetchone()
            return _object(row[0]) if row else None

    def matches(self, index: str, id: str, clauses: Sequence[Query]) -> list[bool]:
        with self._reading(index) as (db, found):
            row = db.execute(
                "SELECT number FROM documents WHERE owner = ? AND id = ?", (found.number, id)
            ).fetchone()
            if not row:
                return [False] * len(clauses)
            evaluation = Evaluation(db, found.number, found.documents, found.mapping)
            return [bool(evaluation.find(clause).matched[row[0]]) for clause in clauses]

    def models(self, index: str, field: str = "stair") -> dict[str, int]:
        with self._reading(index) as (db, found):
            return postings.counts(db, found.number, model_field(field))

    def count(self, index: str) -> int:
        with self._reading(index) as (db, found):
            (count,) = db.execute(
                "SELECT count(*) FROM documents WHERE owner = ?", (found.number,)
            ).fetchone()
            return int(count)

    def scan(
        self, index: str, fields: Sequence[str], query: Query | None = None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        db, found = self._snapshot(index)
        matched = None
        if query is not None:
            evaluation = Evaluation(db, found.number, found.documents, found.mapping)
            try:
                with self._database.translated():
                    matched = evaluation.find(query).matched
            except BaseException:
                db.close()
                raise
        return self._scanned(db, found, fields, matched)

    def _snapshot(self, index: str) -> tuple[sqlite3.Connection, _Index]:
        """A connection of its own, which sees the index as it is now until it is closed."""
        self._must_exist(index)
        db = self._database.own_connection()
        try:
            with self._database.translated():
                db.execute("BEGIN")
                return db, self._index(db, index)
        except BaseException:
            db.close()
            raise

    def _scanned(
        self,
        db: sqlite3.Connection,
        found: _Index,
        fields: Sequence[str],
        matched: NDArray[np.bool_] | None,
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        try:
            with self._database.translated():
                for number, name, text in db.execute(
                    "SELECT number, id, source FROM documents WHERE owner = ? ORDER BY number",
                    (found.number,),
                ):
                    if matched is not None and not matched[number]:
                        continue
                    source = _object(text)
                    yield name, only(source, fields)
        finally:
            db.close()

    def refresh(self, index: str) -> None:
        self._must_exist(index)  # what is committed is findable

    def close(self) -> None:
        self._database.close()

    @contextmanager
    def _reading(self, index: str) -> Iterator[tuple[sqlite3.Connection, _Index]]:
        if not self._database.holds_anything():
            raise DestinationError(no_index(self.info.url, index))
        with self._database.reading() as db:
            yield db, self._index(db, index)

    def _must_exist(self, index: str) -> None:
        if not self.exists(index):
            raise DestinationError(no_index(self.info.url, index))

    def _index(self, db: sqlite3.Connection, index: str) -> _Index:
        found = self._row(db, index)
        if found is None:
            raise DestinationError(no_index(self.info.url, index))
        return found

    def _row(self, db: sqlite3.Connection, index: str) -> _Index | None:
        row = db.execute(
            "SELECT number, uuid, mapping, documents FROM indexes WHERE name = ?", (index,)
        ).fetchone()
        if row is None:
            return None
        number, identity, mapping, documents = row[0], row[1], _object(row[2]), row[3]
        if not isinstance(mapping.get("properties"), dict):
            raise Damaged("an index has no mapping")
        (last,) = db.execute(
            "SELECT max(number) FROM documents WHERE owner = ?", (number,)
        ).fetchone()
        if documents != (0 if last is None else last + 1):
            raise Damaged("documents are missing")
        (size,) = db.execute(
            "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
        ).fetchone()
        if documents * _LEAST_BYTES > size:  # or a forged number would claim all memory
            raise Damaged("it has more documents than it can hold")
        return _Index(index, number, identity, mapping, documents)

    def _document(
        self, db: sqlite3.Connection, found: _Index, number: int
    ) -> tuple[str, dict[str, Any]]:
        row = db.execute(
            "SELECT id, source FROM documents WHERE owner = ? AND number = ?",
            (found.number, number),
        ).fetchone()
        if row is None:
            raise Damaged(f"document {number} is missing")
        return row[0], _object(row[1])


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (TypeError, ValueError):
        value = None
    if not isinstance(value, dict):
        raise Damaged("a document is no JSON object")
    return value
