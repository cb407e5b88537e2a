"""Hybrid search: parts asked for in one request, and made one list here or by the cluster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from stair_search.engines.base import Engine, Hit, Hits, RequestError
from stair_search.engines.lucene.engine import LuceneEngine
from stair_search.engines.lucene.hybrid import body, scale
from stair_search.errors import DestinationError, UsageError
from stair_search.queries import Reason, Search
from stair_search.queries.fusion import Fused, Hybrid, fused


def search_hybrid(
    engine: Engine,
    index: str,
    hybrid: Hybrid,
    size: int = 10,
    *,
    why: bool = True,
    on: Literal["client", "cluster"] = "client",
    pipeline: str | None = None,
) -> Hits:
    """The best hits of the fused list.

    on: where the lists are fused. "client" works with every engine, and each hit's reasons add up:
    those of its parts, each scaled to what the part has added. "cluster" is OpenSearch's `hybrid`
    query, or the `rrf` and `linear` retrievers of an Elasticsearch with a licence for them; it
    tells no reasons. pipeline: the name of OpenSearch's search pipeline for it, which is made where
    it is missing and checked where it is there; without a name it travels with the search.
    """
    if size < 0:
        raise UsageError(f"an engine gives 0 hits or more, not {size}")
    if on not in ("client", "cluster"):
        raise UsageError(f"lists are fused on 'client' or 'cluster', not {on!r}")
    if on == "cluster":
        return _by_cluster(engine, index, hybrid, size, pipeline)
    searches = [Search(query, hybrid.depth, why=why) for query in hybrid.queries]
    lists = engine.search_many(index, searches)
    ranked = fused(hybrid, [[(hit.id, hit.score) for hit in found.hits] for found in lists])
    by_id = [{hit.id: hit for hit in found.hits} for found in lists]
    hits = [_hit(hybrid, one, by_id, why) for one in ranked[:size]]
    more = any(found.total > len(found.hits) for found in lists)
    took = max((found.took_ms for found in lists), default=0.0)
    return Hits(len(ranked), "gte" if more else "eq", took, hits)


def _hit(hybrid: Hybrid, one: Fused, lists: list[dict[str, Hit]], why: bool) -> Hit:
    held = [found.get(one.id) for found in lists]
    named = [
        (name, share, hit)
        for (name, _), share, hit in zip(hybrid.parts, one.parts, held, strict=True)
        if hit
    ]
    reasons = [r for name, share, hit in named for r in _reasons(name, share, hit)]
    first = next(hit for _, _, hit in named)
    photo = next((hit.photo for _, _, hit in named if hit.photo), None)
    ordered = sorted(reasons, key=lambda reason: -reason.score)
    return Hit(one.id, one.score, first.source, ordered if why else [], photo)


def _reasons(name: str, share: float, hit: Hit) -> Iterator[Reason]:
    """A part's reasons, with scores that add up to its share of the fused score."""
    scale = share / hit.score if hit.score else 0.0
    if not hit.why or not scale:
        yield Reason(name, "", share, None, share)
        return
    for reason in hit.why:
        yield reason._replace(part=name, score=reason.score * scale)


def _by_cluster(
    engine: Engine, index: str, hybrid: Hybrid, size: int, pipeline: str | None
) -> Hits:
    if not isinstance(engine, LuceneEngine):
        raise UsageError(f"{engine.info.url} is a file, no cluster: on='client' fuses here")
    prepared = [engine.prepare(index, Search(query, size, why=False)) for query in hybrid.queries]
    sent = body(engine.info, hybrid, [one.body for one in prepared], size)
    named = {}
    if pipeline:
        if "search_pipeline" not in sent:
            raise UsageError(f"pipeline {pipeline!r}: {engine.info.url} has no search pipelines")
        engine.hold_search_pipeline(pipeline, sent.pop("search_pipeline"))
        named = {"search_pipeline": pipeline}
    try:
        answer = engine.send_search(index, sent, **named)
    except RequestError as error:
        if error.status not in (400, 403):
            raise
        raise DestinationError(
            f"{error}; on='client' fuses here, with every version and without a licence"
        ) from None
    found, by = prepared[0].hits(answer), scale(engine.info, hybrid)
    return found._replace(hits=[hit._replace(score=hit.score * by) for hit in found.hits])
