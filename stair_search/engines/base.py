"""What every engine does. The three of them are the folders beside this file.

Compilers return plain dicts; an `Engine` sends them. No engine retries: that is the caller's
business (`ingest.bulk`), which sees from a `RequestError` whether it may.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

from stair_search.engines.documents import serialised
from stair_search.errors import DestinationError
from stair_search.queries import Query, Reason, Search


class EngineInfo(NamedTuple):
    """product: "sqlite", "opensearch" or "elasticsearch"; version: "3.6.0", or "" where the server
    may not be asked for it; url without secrets.
    """

    product: str
    version: str
    url: str

    @property
    def number(self) -> tuple[int, int]:
        """Major and minor version; an unknown one counts as new."""
        found = re.match(r"(\d+)\.(\d+)", self.version)
        return (int(found[1]), int(found[2])) if found else (99, 0)


@dataclass(frozen=True)
class Document:
    """A document to be written: `fields` replace those of the same name, others stay as they are.

    A token field is a list of one object, `[{"dog": 1.5}]`, so that engines replace it as a whole.
    routing: what chooses its shard instead of the id; the same id with another routing is another
    document.
    """

    id: str
    fields: dict[str, Any]
    routing: str | None = None

    @cached_property
    def json(self) -> bytes:
        """The fields as they are sent, made once. Raises ValueError, see `serialised`."""
        return serialised(self)


class Outcome(NamedTuple):
    """What became of one document of a bulk request. status: as HTTP; error: the engine's words."""

    id: str
    status: int
    error: str | None = None

    @property
    def ok(self) -> bool:
        return self.status < 300

    @property
    def gone(self) -> bool:
        """Of a deletion: the document is there no more, or never was (404 and no error)."""
        return self.ok or (self.status == 404 and self.error is None)


class Hit(NamedTuple):
    """photo: of a document with several, the one that scored best, as its fields but the tokens;
    None where no photo was scored, and without `why`. highlights: text field -> its values with the
    words that were found in <em>, as HTML; None where that was not asked for.
    """

    id: str
    score: float
    source: dict[str, Any]
    why: list[Reason]
    photo: dict[str, Any] | None = None
    highlights: dict[str, list[str]] | None = None


@dataclass(frozen=True, slots=True)
class Bucket:
    """A value of a field, and how many have it."""

    value: str | int | float
    count: int


class Hits(NamedTuple):
    """total_relation: "eq", or "gte" where the engine stopped counting; took_ms: its own clock.
    facets: field -> its most frequent values; None where none was asked for.
    """

    total: int
    total_relation: str
    took_ms: float
    hits: list[Hit]
    facets: dict[str, list[Bucket]] | None = None


class RequestError(DestinationError):
    """A whole request failed. status: HTTP status, 0 where no answer came."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.args[0], self.status))


class Engine(Protocol):
    """One destination. Every call raises DestinationError (RequestError) where it cannot be done,
    in one line that names the place and the remedy.
    """

    @property
    def info(self) -> EngineInfo: ...

    def exists(self, index: str) -> bool: ...

    def create(self, index: str, body: Mapping[str, Any]) -> None:
        """Makes an index from a body as `mappings.index_body` gives it. Refuses an existing one."""

    def mapping(self, index: str) -> dict[str, Any]:
        """`{"_meta": {...}, "properties": {...}}` of the index, as the engine holds it."""

    def add_fields(self, index: str, properties: Mapping[str, Any]) -> None:
        """Adds fields, as `properties` of a mapping has them. None that is there is changed."""

    def uuid(self, index: str) -> str:
        """Changes when an index is made anew under the same name."""

    def settings(self, index: str) -> dict[str, Any]:
        """What was set of the index, by name ("refresh_interval"); what was not has its default."""

    def change_settings(self, index: str, values: Mapping[str, Any]) -> None:
        """Sets some of them; None puts one back to its default."""

    def bulk(
        self, index: str, documents: Sequence[Document], pipeline: str | None = None
    ) -> list[Outcome]:
        """Writes documents in one request, an outcome for each in their order (upsert).

        pipeline: an ingest pipeline of the cluster through which they go first.
        """

    def writes_to(self, index: str) -> str:
        """The index that takes what is written under this name: itself, or an alias's. Raises
        DestinationError where there is none, or nothing can be updated there.
        """

    def check_pipeline(self, index: str, pipeline: str) -> None:
        """Raises UsageError where the engine has no such thing, DestinationError where this one is
        not there or may not be run.
        """

    def delete(self, index: str, ids: Sequence[str]) -> list[Outcome]:
        """Deletes documents in one request, an outcome for each in their order; see
        `Outcome.gone`.
        """

    def body(
        self, query: Query | Search, size: int = 10, *, why: bool = True, index: str | None = None
    ) -> dict[str, Any]:
        """The body of a search as it is sent, ready to be pasted into curl. Without an index, as it
        would be sent to one with default settings (how text is scored is a setting).
        """

    def search(
        self, index: str, query: Query | Search, size: int = 10, *, why: bool = True
    ) -> Hits:
        """The best hits. With `why`, each with its reasons, which add up to its score. A `Search`
        says by itself how many and what else.
        """

    def search_many(self, index: str, searches: Sequence[Query | Search]) -> list[Hits]:
        """The hits of each, asked for in one request."""

    def pages(self, index: str, query: Query | Search, size: int = 100) -> Iterator[Hits]:
        """All hits, so many at a time, the best first, as of the moment of the call; without facets
        and from the first on. A cluster waits five minutes for the next page to be asked for.
        """

    def get(self, index: str, id: str) -> dict[str, Any] | None:
        """A document's fields as stored, None where it is not there."""

    def matches(self, index: str, id: str, clauses: Sequence[Query]) -> list[bool]:
        """Whether the document matches each clause taken alone."""

    def models(self, index: str, field: str = "stair") -> dict[str, int]:
        """Model fingerprint -> number of documents that it wrote; of photos where `field` is one of
        theirs ("photos.stair").
        """

    def count(self, index: str) -> int: ...

    def scan(
        self, index: str, fields: Sequence[str], query: Query | None = None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every document's id with these fields, as of the moment of the call. One below another
        ("photos.image") comes in its place there. query: only those that match it.
        """

    def refresh(self, index: str) -> None:
        """Makes what was written findable."""

    def close(self) -> None: ...
