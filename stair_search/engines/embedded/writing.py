"""Documents into an index: sources, postings and lengths, in the caller's transaction."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from copy import deepcopy
from itertools import zip_longest
from typing import Any, NamedTuple

from stair_search.engines.base import Document, Outcome
from stair_search.engines.embedded.analysis import (
    ALL,
    EVERY,
    Terms,
    new_fields,
    photos_apart,
    postings,
)
from stair_search.engines.embedded.database import Damaged
from stair_search.engines.embedded.postings import Changes
from stair_search.mappings import types_of

Analysed = dict[str, tuple[Terms, int]]
FREE = -1


class Analysis(NamedTuple):
    """own: of a document's own fields; photos: of those in each nested field."""

    own: Analysed
    photos: dict[str, list[Analysed]]


class Writer:
    """One bulk request on one index. mapping: what the index knows of its fields so far."""

    def __init__(
        self, db: sqlite3.Connection, owner: int, next_number: int, mapping: dict[str, Any]
    ) -> None:
        self._db, self._owner, self._next = db, owner, next_number
        self._mapping = mapping
        self._types = types_of(mapping["properties"])
        self._now: dict[str, tuple[int, dict[str, Any]]] = {}  # id -> number, source
        self._changes = Changes()
        self._words: Counter[str] = Counter()

    def write(self, documents: Sequence[Document]) -> list[Outcome]:
        types = len(self._types)
        outcomes = [self._one(document) for document in documents]
        self._db.executemany(
            "REPLACE INTO documents VALUES (?, ?, ?, ?)",
            (
                (self._owner, number, name, json.dumps(source, ensure_ascii=False))
                for name, (number, source) in self._now.items()
            ),
        )
        self._apply()
        if len(self._types) > types:
            self._db.execute(
                "UPDATE indexes SET mapping = ? WHERE number = ?",
                (json.dumps(self._mapping), self._owner),
            )
        return outcomes

    def delete(self, ids: Sequence[str]) -> list[Outcome]:
        """The last document takes the number of one that goes, so that numbers have no gaps."""
        outcomes = [self._gone(name) for name in ids]
        self._apply()
        return outcomes

    def _gone(self, id: str) -> Outcome:
        number, source = self._held(id)
        if number < 0:
            return Outcome(id, 404)
        self._changes.drop(*ALL, number)
        self._change(number, _analysis(source, self._types), Analysis({}, {}))
        self._next -= 1
        here = (self._owner, number)
        self._db.execute("DELETE FROM documents WHERE owner = ? AND number = ?", here)
        if number < self._next:
            last = (self._owner, self._next)
            (text,) = self._db.execute(
                "SELECT source FROM documents WHERE owner = ? AND number = ?", last
            ).fetchone()
            moved = _analysis(json.loads(text), self._types).own
            self._changes.drop(*ALL, self._next)
            self._differ(self._next, moved, {})
            self._changes.put(*ALL, number, 0)
            self._differ(number, {}, moved)
            for table, column in (("documents", "number"), ("photos", "document")):
                self._db.execute(
                    f"UPDATE {table} SET {column} = ? WHERE owner = ? AND {column} = ?",
                    (number, *last),
                )
        return Outcome(id, 200)

    def _apply(self) -> None:
        self._changes.apply(self._db, self._owner)
        self._db.executemany(
            "INSERT INTO lengths VALUES (?, ?, ?) "
            "ON CONFLICT DO UPDATE SET words = words + excluded.words",
            ((self._owner, field, words) for field, words in self._words.items()),
        )
        self._db.execute("DELETE FROM lengths WHERE owner = ? AND words = 0", (self._owner,))
        self._db.execute(
            "UPDATE indexes SET documents = ? WHERE number = ?", (self._next, self._owner)
        )

    def _one(self, document: Document) -> Outcome:
        number, old = self._held(document.id)
        try:
            fields: dict[str, Any] = json.loads(document.json)
            new = _unknown(fields, self._types)
            mapping = _with_fields(self._mapping, new) if new else self._mapping
            types = {**self._types, **new} if new else self._types
            after = _analysis(fields, types)
        except ValueError as error:
            return Outcome(document.id, 400, str(error))
        self._mapping, self._types = mapping, types  # a refused document teaches nothing
        before = _analysis({name: old[name] for name in fields if name in old}, types)
        status = 200
        if number < 0:
            number, status = self._next, 201
            self._next += 1
            self._changes.put(*ALL, number, 0)
        self._change(number, before, after)
        self._now[document.id] = number, {**old, **fields}
        return Outcome(document.id, status)

    def _held(self, id: str) -> tuple[int, dict[str, Any]]:
        """Number and source of a document; -1 where it is new."""
        if id in self._now:
            return self._now[id]
        try:
            row = self._db.execute(
                "SELECT number, source FROM documents WHERE owner = ? AND id = ?",
                (self._owner, id),
            ).fetchone()
        except UnicodeEncodeError:
            return -1, {}  # it cannot be there; refused with its reason when it is serialised
        return (row[0], json.loads(row[1])) if row else (-1, {})

    def _change(self, number: int, before: Analysis, after: Analysis) -> None:
        """From what a document held to what it is to hold, with its photos."""
        self._differ(number, before.own, after.own)
        for path in before.photos.keys() | after.photos.keys():
            old, new = before.photos.get(path, []), after.photos.get(path, [])
            numbers = self._numbers(path, number, len(old), len(new))
            for photo, held, holds in zip_longest(numbers, old, new):
                if held is None:
                    self._changes.put(path, EVERY, photo, 0)
                if holds is None:
                    self._changes.drop(path, EVERY, photo)
                self._differ(photo, held or {}, holds or {})

    def _numbers(self, path: str, document: int, had: int, has: int) -> list[int]:
        """The numbers of a document's photos, those that it had first; gives back and takes what
        the difference is. They rise, so that they tell the order of the photos.
        """
        rows = self._db.execute(
            "SELECT number FROM photos WHERE owner = ? AND path = ? AND document = ? "
            "ORDER BY number",
            (self._owner, path, document),
        )
        numbers = [number for (number,) in rows]
        if len(numbers) != had:
            raise Damaged("photos are missing")
        give = "UPDATE photos SET document = ? WHERE owner = ? AND path = ? AND number = ?"
        self._db.executemany(give, ((FREE, self._owner, path, n) for n in numbers[has:]))
        if has > had:
            free = self._db.execute(
                "SELECT number FROM photos WHERE owner = ? AND path = ? AND document = ? "
                "AND number > ? ORDER BY number LIMIT ?",
                (self._owner, path, FREE, max(numbers, default=-1), has - had),
            )
            numbers += [number for (number,) in free.fetchall()]
            (last,) = self._db.execute(
                "SELECT max(number) FROM photos WHERE owner = ? AND path = ?", (self._owner, path)
            ).fetchone()
            numbers += range(
                first := (-1 if last is None else last) + 1, first + has - len(numbers)
            )
            self._db.executemany(
                "REPLACE INTO photos VALUES (?, ?, ?, ?)",
                ((self._owner, path, number, document) for number in numbers[had:]),
            )
        return numbers

    def _differ(self, number: int, before: Analysed, after: Analysed) -> None:
        """Only what changed is written; what the document no longer holds is removed exactly."""
        for field in before.keys() | after.keys():
            old, words_before = before.get(field, ({}, 0))
            new, words_after = after.get(field, ({}, 0))
            for term in old.keys() - new.keys():
                self._changes.drop(field, term, number)
            for term, value in new.items():
                if term not in old or old[term] != value:
                    self._changes.put(field, term, number, value)
            if words_after != words_before:
                self._words[field] += words_after - words_before


def _with_fields(mapping: dict[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that come unannounced enter the mapping, as they do in a cluster."""
    mapping = deepcopy(mapping)
    for name, field in new.items():
        *above, last = name.split(".")
        properties = mapping["properties"]
        for part in above:
            parent = properties.setdefault(part, {})
            if parent.get("type", "nested") != "nested":
                raise ValueError(f"field {name!r} cannot be: {part!r} is no object")
            properties = parent.setdefault("properties", {})
        if not all((*above, last)) or last in properties:
            raise ValueError(f"field {name!r} cannot be: it is an object, or a name is empty")
        properties[last] = field
    return mapping


def _unknown(fields: Mapping[str, Any], types: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Mappings of the fields that the index has not seen yet, also below its photos."""
    own, photos = photos_apart(fields, types)
    new = new_fields(own, types)
    for path, several in photos.items():
        for photo in several:
            new = new_fields(photo, types, f"{path}.") | new
    return new


def _analysis(fields: Mapping[str, Any], types: Mapping[str, Any]) -> Analysis:
    own, photos = photos_apart(fields, types)
    return Analysis(
        _analysed(own, types),
        {
            path: [_analysed(photo, types, f"{path}.") for photo in several]
            for path, several in photos.items()
        },
    )


def _analysed(fields: Mapping[str, Any], types: Mapping[str, Any], prefix: str = "") -> Analysed:
    return {name: (terms, n) for name, terms, n in postings(fields, types, prefix)}
