"""A hybrid as the body of one search, fused by the cluster. Nothing is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stair_search.engines.base import EngineInfo
from stair_search.errors import UsageError
from stair_search.queries.fusion import RRF, Hybrid

Body = dict[str, Any]
MOST_PARTS = 5
"""Of OpenSearch's `hybrid` query."""


def body(info: EngineInfo, hybrid: Hybrid, bodies: Sequence[Mapping[str, Any]], size: int) -> Body:
    """bodies: of a search for each part."""
    if size > hybrid.depth:
        raise UsageError(f"{size} hits of lists of {hybrid.depth}: name a greater depth")
    _check_version(info, hybrid)
    rest = {name: value for name, value in bodies[0].items() if name == "_source"}
    queries = [one["query"] for one in bodies]
    if info.product == "elasticsearch":
        return {"size": size, "retriever": _retriever(hybrid, queries), **rest}
    if len(queries) > MOST_PARTS:
        raise UsageError(f"OpenSearch fuses {MOST_PARTS} parts at most, not {len(queries)}")
    asked = {"hybrid": {"queries": queries, "pagination_depth": hybrid.depth}}
    return {"size": size, "query": asked, "search_pipeline": pipeline(hybrid), **rest}


def _check_version(info: EngineInfo, hybrid: Hybrid) -> None:
    kind = "rrf" if isinstance(hybrid.by, RRF) else "linear"
    since = {"rrf": (8, 14), "linear": (8, 18)}[kind]
    what = f"retriever {kind!r}"
    if info.product == "opensearch":
        what, since = "query 'hybrid' with a depth", (2, 19)
    if info.number < since:
        raise UsageError(
            f"{info.url} is {info.product} {info.version}, and its {what} came with "
            f"{'.'.join(map(str, since))}: on='client' fuses here"
        )


def pipeline(hybrid: Hybrid) -> Body:
    """The OpenSearch search pipeline that fuses the parts, see `PUT /_search/pipeline/NAME`."""
    weights = hybrid.weights or (1.0,) * len(hybrid.parts)
    parameters = {"weights": [weight / sum(weights) for weight in weights]}
    if isinstance(hybrid.by, RRF):
        if len(set(weights)) > 1:
            raise UsageError("OpenSearch's RRF takes no weights: leave fusing to the client")
        combination: Body = {"technique": "rrf", "rank_constant": hybrid.by.constant}
        return {
            "phase_results_processors": [{"score-ranker-processor": {"combination": combination}}]
        }
    processor = {
        "normalization": {"technique": hybrid.by.how},
        "combination": {"technique": "arithmetic_mean", "parameters": parameters},
    }
    return {"phase_results_processors": [{"normalization-processor": processor}]}


def _retriever(hybrid: Hybrid, queries: Sequence[Body]) -> Body:
    weights = hybrid.weights or (1.0,) * len(queries)
    lists: list[Body] = [{"standard": {"query": query}} for query in queries]
    window = {"rank_window_size": hybrid.depth}
    if isinstance(hybrid.by, RRF):
        if len(set(weights)) > 1:
            raise UsageError("Elasticsearch's RRF takes no weights: leave fusing to the client")
        return {"rrf": {"retrievers": lists, "rank_constant": hybrid.by.constant, **window}}
    normalizer = {"min_max": "minmax", "l2": "l2_norm"}[hybrid.by.how]
    each = [
        {"retriever": one, "weight": weight / sum(weights), "normalizer": normalizer}
        for one, weight in zip(lists, weights, strict=True)
    ]
    return {"linear": {"retrievers": each, **window}}
