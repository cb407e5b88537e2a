"""A cluster as an engine: requests made, sent by a product's client, answers read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

from stair_search.engines.base import Document, EngineInfo, Hits, Outcome, RequestError
from stair_search.engines.checks import (
    check_model,
    check_neural_sparse,
    check_search,
    check_size,
    no_index,
    token_fields,
    wanted_models,
)
from stair_search.engines.documents import check_id
from stair_search.engines.lucene import pipelines, reading
from stair_search.engines.lucene.compile import compiled, search_body
from stair_search.engines.lucene.failures import reason, refused
from stair_search.engines.lucene.target import Target, hides_vectors
from stair_search.engines.parts import nested_above
from stair_search.errors import DestinationError, StairError
from stair_search.fields import model_field
from stair_search.mappings import hidden_fields, types_of
from stair_search.queries import Bool, Ids, Query, Search
from stair_search.queries.search import MOST_HITS, as_search, page_of

_PAGE = 1_000
_KEEP = "5m"
_BY_SCORE = [{"_score": "desc"}, {"_shard_doc": "asc"}]
_MOST_MODELS = 1_000


class Send(Protocol):
    """Sends a request and gives back the parsed JSON. Raises RequestError.

    index: named in the message of a failure. body: JSON, or lines of JSON for `_bulk`.
    """

    def __call__(
        self,
        method: str,
        path: str,
        *,
        index: str | None = None,
        body: bytes | None = None,
        params: Mapping[str, str] | None = None,
        lines: bool = False,
    ) -> Any: ...


class Dialect(NamedTuple):
    """In what the products differ. pit: the path that opens a point in time, None for scroll."""

    legacy_bm25: bool
    pit: str | None


def dialect(info: EngineInfo) -> Dialect:
    if info.product == "elasticsearch":
        # _shard_doc, the order in which a point in time is read, came with 7.12
        return Dialect(True, "_pit")
    pit = "_search/point_in_time" if info.number >= (3, 3) else None
    return Dialect(info.number < (3, 0), pit)


@dataclass(frozen=True)
class _About:
    """What an index says of itself; what follows from it is worked out once."""

    mapping: dict[str, Any]
    settings: dict[str, Any]
    uuid: str
    hides_vectors: bool

    @cached_property
    def types(self) -> dict[str, dict[str, Any]]:
        return types_of(self.mapping.get("properties", {}))

    @property
    def runtime(self) -> Mapping[str, Any]:
        """Fields that the index computes."""
        found: Mapping[str, Any] = self.mapping.get("runtime", {})
        return found

    @cached_property
    def hidden_fields(self) -> set[str]:
        return hidden_fields(self.mapping)


class Prepared(NamedTuple):
    """A search as it is sent, and how its answer is read.

    body: of `POST /INDEX/_search`, to be sent with `allow_partial_search_results=false`. hidden:
    fields that only the reasons need.
    """

    search: Search
    body: dict[str, Any]
    hidden: set[str]

    def hits(self, answer: Any) -> Hits:
        """answer: as a client gives it, a dict or like one. Raises DestinationError where it is no
        answer to a search, or shards have not answered.
        """
        if "hits" not in answer:
            why = reason(answer["error"]) if "error" in answer else "it holds no hits"
            raise DestinationError(f"no answer to a search: {why}")
        if answer.get("timed_out") or answer.get("_shards", {}).get("failed"):
            raise DestinationError(
                "not all shards have answered: ask again, with allow_partial_search_results=false"
            )
        return reading.hits(self.search, answer, self.hidden)


class LuceneEngine:
    """See `engines.base.Engine`. May be used by several threads."""

    def __init__(self, info: EngineInfo, send: Send, close: Callable[[], None]) -> None:
        self.info = info
        self._send, self._close = send, close
        self._dialect = dialect(info)
        self._abouts: dict[str, _About | None] = {}
        self._fitting: set[tuple[str, str, str]] = set()

    def exists(self, index: str) -> bool:
        try:
            # of all that an index tells, the least: each bulk asks
            only = {"filter_path": "*.settings.index.uuid,error"}
            self._send("GET", _path(index), index=index, params=only)
        except RequestError as error:
            if error.status == 404:
                return False
            raise
        return True

    def create(self, index: str, body: Mapping[str, Any]) -> None:
        self._send("PUT", _path(index), index=index, body=_json(body))
        self._abouts.pop(index, None)

    def mapping(self, index: str) -> dict[str, Any]:
        return self._ask(index).mapping

    def uuid(self, index: str) -> str:
        return self._ask(index).uuid

    def settings(self, index: str) -> dict[str, Any]:
        return self._ask(index).settings

    def add_fields(self, index: str, properties: Mapping[str, Any]) -> None:
        body = {"properties": properties}
        try:
            self._send("PUT", _path(index, "_mapping"), index=index, body=_json(body))
        except RequestError as error:
            raise RequestError(
                f"{error}; add the fields with PUT /{index}/_mapping {json.dumps(body)}",
                error.status,
            ) from None
        self._abouts.pop(index, None)

    def change_settings(self, index: str, values: Mapping[str, Any]) -> None:
        self._send("PUT", _path(index, "_settings"), index=index, body=_json({"index": values}))

    def bulk(
        self, index: str, documents: Sequence[Document], pipeline: str | None = None
    ) -> list[Outcome]:
        """One `_bulk` of updates. What cannot be sent gets its outcome without being sent."""
        actions = [_update(document) for document in documents]
        if pipeline:
            sound = [d for d, a in zip(documents, actions, strict=True) if isinstance(a, bytes)]
            made = iter(self._through(pipeline, index, sound))
            actions = [_update(next(made)) if isinstance(a, bytes) else a for a in actions]
        answers = self._bulk(index, actions)
        # a document that a pipeline has dropped comes back under a name of the engine's own
        return [a._replace(id=d.id) for d, a in zip(documents, answers, strict=True)]

    def delete(self, index: str, ids: Sequence[str]) -> list[Outcome]:
        """A `_bulk` of deletions; a second one for what was written with a routing, which a search
        tells. An id that no document can have is not sent.
        """
        actions = [_deletion(name) for name in ids]
        outcomes = self._bulk(index, actions)
        answers = [o for o, a in zip(outcomes, actions, strict=True) if isinstance(a, bytes)]
        left = [answer.id for answer in answers if answer.status in (400, 404)]
        if not left:
            return outcomes
        body = {"query": compiled(Ids(tuple(left))), "size": MOST_HITS, "_source": False}
        found = self._search(index, body)["hits"]["hits"]
        routed = [_deletion(one["_id"], one["_routing"]) for one in found if "_routing" in one]
        again = {outcome.id: outcome for outcome in self._bulk(index, routed)}
        return [again.get(outcome.id, outcome) for outcome in outcomes]

    def _bulk(self, index: str, actions: Sequence[bytes | Outcome]) -> list[Outcome]:
        """Sends the actions; what is an outcome already stays one."""
        lines = [action for action in actions if isinstance(action, bytes)]
        if not lines:
            return [action for action in actions if isinstance(action, Outcome)]
        if not self.exists(index):  # or the engine would make one of its own devising
            raise RequestError(no_index(self.info.url, index), 404)
        answer = self._send(
            "POST", _path(index, "_bulk"), index=index, body=b"\n".join([*lines, b""]), lines=True
        )
        sent = (_outcome(*item.values()) for item in answer["items"])
        return [action if isinstance(action, Outcome) else next(sent) for action in actions]

    def writes_to(self, index: str) -> str:
        answer: dict[str, Any] = self._send("GET", _path(index), index=index)
        if index in answer:
            return index
        place, names = f"{self.info.url}: {index!r}", ", ".join(sorted(answer))
        if any("data_stream" in one for one in answer.values()):
            raise DestinationError(
                f"{place} is a data stream, where nothing is updated in place; name an index"
            )
        flags = {
            name: one["aliases"].get(index, {}).get("is_write_index")
            for name, one in answer.items()
        }
        for name, flag in flags.items():
            if flag or (flag is None and len(flags) == 1):
                return name
        raise DestinationError(
            f"{place} is an alias without a write index; name one of {names}, or give one of them "
            "is_write_index (POST /_aliases)"
        )

    def check_pipeline(self, index: str, pipeline: str) -> None:
        self._through(pipeline, index, [Document("stair-search", {})])

    def _through(
        self, name: str, index: str, documents: Sequence[Document]
    ) -> list[Document | Outcome]:
        """What a pipeline makes of each document, see `pipelines`."""
        if not documents:
            return []
        path = _path("_ingest", "pipeline", name)
        body = _json(pipelines.simulation(index, documents))
        try:
            answer = self._send("POST", f"{path}/_simulate", body=body)
        except RequestError as error:
            if error.status == 403:
                raise RequestError(f"{error}; {pipelines.RIGHTS}", 403) from None
            if error.status == 400 and not self._there(path):
                raise DestinationError(f"{self.info.url} has no ingest pipeline {name!r}") from None
            raise
        told = zip(documents, answer["docs"], strict=True)
        return [pipelines.made(name, index, document, one) for document, one in told]

    def _there(self, path: str) -> bool:
        try:
            self._send("GET", path)
        except RequestError as error:
            return error.status != 404
        return True

    def body(
        self, query: Query | Search, size: int = 10, *, why: bool = True, index: str | None = None
    ) -> dict[str, Any]:
        """As it is sent to `index`; without one, as to an index with the default settings."""
        return self._prepared(
            as_search(query, size, why), self._about(index) if index else None
        ).body

    def prepare(
        self, index: str, query: Query | Search, size: int = 10, *, why: bool = True
    ) -> Prepared:
        """A search to be sent by a client of one's own, as an asynchronous one."""
        search = as_search(query, size, why)
        return self._prepared(search, self._checked(index, search))

    def search(
        self, index: str, query: Query | Search, size: int = 10, *, why: bool = True
    ) -> Hits:
        prepared = self.prepare(index, query, size, why=why)
        return prepared.hits(self._search(index, prepared.body))

    def send_search(self, index: str, body: Mapping[str, Any], **params: str) -> dict[str, Any]:
        """The answer to a body as `prepare` or somebody else has made it."""
        return self._search(index, body, **params)

    def hold_search_pipeline(self, name: str, body: Mapping[str, Any]) -> None:
        """Makes an OpenSearch search pipeline where there is none of this name. Raises
        DestinationError where the one that is there does something else.
        """
        path = _path("_search", "pipeline", name)
        try:
            held = self._send("GET", path)[name]
        except RequestError as error:
            if error.status != 404:
                raise
            self._send("PUT", path, body=_json(body))
            return
        if {key: held.get(key) for key in body} != body:
            raise DestinationError(
                f"{self.info.url}: search pipeline {name!r} does something else; name another, or "
                f"send PUT {path} {json.dumps(body)}"
            )

    def search_many(self, index: str, searches: Sequence[Query | Search]) -> list[Hits]:
        prepared = [self.prepare(index, search) for search in searches]
        if not prepared:
            return []
        header = {"allow_partial_search_results": False}
        lines = [line for one in prepared for line in (_json(header), _json(one.body))]
        answers = self._send(
            "POST",
            _path(index, "_msearch"),
            index=index,
            body=b"\n".join([*lines, b""]),
            lines=True,
        )["responses"]
        return [
            one.hits(self._answered(index, answer))
            for one, answer in zip(prepared, answers, strict=True)
        ]

    def pages(self, index: str, query: Query | Search, size: int = 100) -> Iterator[Hits]:
        prepared = self.prepare(index, page_of(query, size))
        ask = self._pit_answers if self._dialect.pit else self._scroll_answers
        answers = ask(index, prepared.body | ({"sort": _BY_SCORE} if self._dialect.pit else {}))
        first = next(answers, None)  # the snapshot is of the call, not of the first page's use
        return (prepared.hits(one) for one in chain([first] if first else [], answers))

    def get(self, index: str, id: str) -> dict[str, Any] | None:
        try:
            whole = {"_source_exclude_vectors": "false"} if self._hides_vectors_of(index) else None
            found = [self._send("GET", _path(index, "_doc", id), index=index, params=whole)]
        except RequestError as error:
            if error.status not in (400, 404):
                raise
            # one that is not routed by its id, or is behind an alias of several indices
            body = {"query": compiled(Ids((id,))), "size": 1, **self._source(index)}
            found = self._search(index, body)["hits"]["hits"]
        return found[0]["_source"] if found else None

    def matches(self, index: str, id: str, clauses: Sequence[Query]) -> list[bool]:
        target = self._target(self._about(index))
        named = [
            {"bool": {"filter": [compiled(Bool(filter=(one,)), target)], "_name": str(place)}}
            for place, one in enumerate(clauses)
        ]
        query = {"bool": {"filter": [compiled(Ids((id,)))], "should": named}}
        body = {"query": query, "_source": False, "size": 1}
        answer = self._search(index, body)
        found = answer["hits"]["hits"]
        matched = found[0].get("matched_queries", []) if found else []
        return [str(place) in matched for place in range(len(clauses))]

    def models(self, index: str, field: str = "stair") -> dict[str, int]:
        terms = {"field": model_field(field), "size": _MOST_MODELS}
        counted: dict[str, Any] = {"models": {"terms": terms}}
        about = self._about(index) if "." in field else None
        path = nested_above(field, about.types) if about else None
        if path:  # photos are searched apart from their documents
            counted = {"photos": {"nested": {"path": path}, "aggs": counted}}
        found = self._search(index, {"size": 0, "aggs": counted})["aggregations"]
        buckets = (found["photos"] if path else found)["models"]["buckets"]
        return {one["key"]: one["doc_count"] for one in buckets}

    def count(self, index: str) -> int:
        answer = self._send("GET", _path(index, "_count"), index=index)
        return int(self._whole(index, answer)["count"])

    def scan(
        self, index: str, fields: Sequence[str], query: Query | None = None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        body: dict[str, Any] = {"size": _PAGE, **self._source(index, fields)}
        if query is not None:
            body["query"] = compiled(query, self._target(self._about(index)))
        if self._dialect.pit:
            in_place = {"sort": [{"_shard_doc": "asc"}], "track_total_hits": False}
            answers = self._pit_answers(index, body | in_place)
        else:
            answers = self._scroll_answers(index, body | {"sort": ["_doc"]})
        # the first page is read now: the snapshot is of the call, not of the first hit's use
        first = next(answers, None)
        return _rows(chain([first] if first else [], answers))

    def _hides_vectors(self, about: _About | None) -> bool:
        return about.hides_vectors if about else hides_vectors(self.info, {})

    def _hides_vectors_of(self, index: str) -> bool:
        """An index of OpenSearch is not looked at for that."""
        return self.info.product == "elasticsearch" and self._hides_vectors(self._about(index))

    def _source(self, index: str, fields: Sequence[str] | None = None) -> dict[str, Any]:
        """The part of a body that asks for these fields, None for all."""
        if fields is not None and not fields:
            return {"_source": False}
        names = {} if fields is None else {"includes": list(fields)}
        vectors = {"exclude_vectors": False} if self._hides_vectors_of(index) else {}
        return {"_source": names | vectors} if names or vectors else {}

    def refresh(self, index: str) -> None:
        self._send("POST", _path(index, "_refresh"), index=index)

    def close(self) -> None:
        self._close()

    def _pit_answers(self, index: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """One search after the other, each going on where the last one ended. body: with a sort."""
        opened = self._send(
            "POST", _path(index, *str(self._dialect.pit).split("/")), index=index,
            params={"keep_alive": _KEEP},
        )  # fmt: skip
        key = "id" if "id" in opened else "pit_id"  # Elasticsearch's, OpenSearch's
        pit = opened[key]
        body = dict(body)
        try:
            self._whole(index, opened)
            while True:
                body["pit"] = {"id": pit, "keep_alive": _KEEP}
                answer = self._search(index, body, "/_search")
                pit = answer.get("pit_id", pit)  # the newest counts
                page = answer["hits"]["hits"]
                if not page:
                    return
                yield answer
                body["search_after"] = page[-1]["sort"]
        finally:
            path = "/_pit" if key == "id" else "/_search/point_in_time"
            closing = {"id": pit} if key == "id" else {"pit_id": [pit]}
            with suppress(RequestError):  # it ends by itself
                self._send("DELETE", path, body=_json(closing))

    def _scroll_answers(self, index: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        answer = self._search(index, body, scroll=_KEEP)
        try:
            while self._whole(index, answer)["hits"]["hits"]:
                yield answer
                more = {"scroll": _KEEP, "scroll_id": answer["_scroll_id"]}
                answer = self._send("POST", "/_search/scroll", index=index, body=_json(more))
        finally:
            done = {"scroll_id": answer["_scroll_id"]}
            with suppress(RequestError):
                self._send("DELETE", "/_search/scroll", body=_json(done))

    def _search(
        self, index: str, body: Mapping[str, Any], path: str = "", **params: str
    ) -> dict[str, Any]:
        """An answer of all shards. Raises RequestError where one has none."""
        answer = self._send(
            "POST", path or _path(index, "_search"), index=index, body=_json(body),
            params={"allow_partial_search_results": "false", **params},
        )  # fmt: skip
        return self._whole(index, answer)

    def _whole(self, index: str, answer: dict[str, Any]) -> dict[str, Any]:
        """The answer, refused where shards are missing: not all requests can ask for that."""
        shards = answer.get("_shards", {})
        if answer.get("timed_out") or shards.get("failed"):
            error = {"type": "partial answer", "failed_shards": shards.get("failures")}
            raise refused(self.info.url, index, 503, error)
        return answer

    def _answered(self, index: str, answer: dict[str, Any]) -> dict[str, Any]:
        """One of several answers."""
        if "error" in answer:
            raise refused(self.info.url, index, answer.get("status", 400), answer)
        return self._whole(index, answer)

    def _prepared(self, search: Search, about: _About | None) -> Prepared:
        hidden, target = self._hidden(search.query, about), self._target(about)
        if search.neural_sparse:
            check_neural_sparse(self.info, search.query)
            target = target._replace(neural_sparse=True)
        return Prepared(search, search_body(search, hidden, target), hidden)

    def _target(self, about: _About | None) -> Target:
        settings, types = (about.settings, about.types) if about else ({}, {})
        return Target(
            self._dialect.legacy_bm25,
            settings,
            types,
            hides_vectors=self._hides_vectors(about),
            product=self.info.product,
            number=self.info.number,
        )

    def _hidden(self, query: Query, about: _About | None) -> set[str]:
        return token_fields(query) | (about.hidden_fields if about else set())

    def _checked(self, index: str, search: Search) -> _About | None:
        """Fields and models that are asked for are there, or an error says what is."""
        about = self._about(index)
        if about:
            try:
                check_search(index, search, about.types, about.runtime)
            except StairError:
                self._abouts.pop(index, None)  # fields come with documents: look again, once
                about = self._ask(index)
                check_search(index, search, about.types, about.runtime)
        check_size(search.query, about.types if about else {})
        for field, model in wanted_models(search.query):
            if (index, field, model) not in self._fitting:
                known = self.models(index, field)
                check_model(index, field, model, known)
                if model in known:
                    self._fitting.add((index, field, model))
        return about

    def _about(self, index: str) -> _About | None:
        """What is known of an index; None where a role may search it but not look at it."""
        with suppress(KeyError):  # another thread may forget it at any time
            return self._abouts[index]
        try:
            about = self._ask(index)
        except RequestError as error:
            if error.status != 403:
                raise
            about = None
        self._abouts[index] = about
        return about

    def _ask(self, index: str) -> _About:
        """Of an alias to several indices: the fields of all, the settings of the first."""
        answer = self._send("GET", _path(index), index=index)
        indices = [answer[name] for name in sorted(answer)]
        if not indices:
            raise DestinationError(no_index(self.info.url, index))
        mapping: dict[str, Any] = dict(indices[0]["mappings"])
        mapping["properties"] = {}
        for one in indices:
            mapping["properties"] |= one["mappings"].get("properties", {})
        settings = [one["settings"]["index"] for one in indices]
        hides = any(hides_vectors(self.info, one) for one in settings)
        return _About(mapping, settings[0], ",".join(one["uuid"] for one in settings), hides)


def _update(document: Document | Outcome) -> bytes | Outcome:
    """The action and the fields of a document; why not, where it cannot be sent."""
    if isinstance(document, Outcome):
        return document
    meta = {"_id": document.id}
    if document.routing is not None:
        meta["routing"] = document.routing
    try:
        fields = document.json
    except ValueError as error:
        return Outcome(document.id, 400, str(error))
    return b'{"update":%s}\n{"doc":%s,"doc_as_upsert":true}' % (_json(meta), fields)


def _deletion(id: str, routing: str | None = None) -> bytes | Outcome:
    """The action that deletes a document."""
    try:
        check_id(id)
    except ValueError:
        return Outcome(id, 404)
    return _json({"delete": {"_id": id} | ({"routing": routing} if routing else {})})


def _outcome(item: Mapping[str, Any]) -> Outcome:
    error = item.get("error")
    if not error and item.get("_shards", {}).get("total") == 0:  # it has come to no shard
        return Outcome(item["_id"], 400, "dropped by an ingest pipeline of the index")
    return Outcome(item["_id"], item["status"], reason(error) if error else None)


def _rows(answers: Iterable[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for answer in answers:
        yield from ((hit["_id"], hit.get("_source", {})) for hit in answer["hits"]["hits"])


def _path(*parts: str) -> str:
    return "/" + "/".join(quote(part, safe="") for part in parts)


def _json(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()
