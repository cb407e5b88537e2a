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
    return {"size": size, "query": asked, "search_pipeline": _pipeline(info, hybrid), **rest}


def scale(info: EngineInfo, hybrid: Hybrid) -> float:
    """What the scores of the cluster's list are too small by: weights that are all the same are not
    sent with RRF, and OpenSearch wants those that are to add up to 1.
    """
    if not hybrid.weights or not isinstance(hybrid.by, RRF):
        return 1.0
    if not _uneven(hybrid):
        return hybrid.weights[0]
    return sum(hybrid.weights) if info.product == "opensearch" else 1.0


def _uneven(hybrid: Hybrid) -> bool:
    return len(set(hybrid.weights)) > 1


def _check_version(info: EngineInfo, hybrid: Hybrid) -> None:
    weighted = isinstance(hybrid.by, RRF) and _uneven(hybrid)
    if info.product == "opensearch":
        what, since = "'hybrid' query", (3, 1) if weighted else (2, 19)
    elif isinstance(hybrid.by, RRF):
        what, since = "'rrf' retriever", (9, 2) if weighted else (8, 14)
    else:
        what, since = "'linear' retriever", (8, 18)
    if info.number < since:
        raise UsageError(
            f"{info.url} is {info.product} {info.version}, and its {what} fuses like this from "
            f"{'.'.join(map(str, since))} on: on='client' does it here"
        )


def _pipeline(info: EngineInfo, hybrid: Hybrid) -> Body:
    """The OpenSearch search pipeline that fuses the parts, see `PUT /_search/pipeline/NAME`."""
    weights = hybrid.weights or (1.0,) * len(hybrid.parts)
    parameters = {"weights": [weight / sum(weights) for weight in weights]}
    if isinstance(hybrid.by, RRF):
        combination: Body = {"technique": "rrf"}
        if info.number < (3, 1):  # which takes a constant elsewhere, and does nothing by it
            combination["parameters"] = {"rank_constant": hybrid.by.constant}
        else:
            combination["rank_constant"] = hybrid.by.constant
        if _uneven(hybrid):
            combination["parameters"] = parameters
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
        if _uneven(hybrid):
            lists = [
                {"retriever": one, "weight": weight}
                for one, weight in zip(lists, weights, strict=True)
            ]
        return {"rrf": {"retrievers": lists, "rank_constant": hybrid.by.constant, **window}}
    normalizer = {"min_max": "minmax", "l2": "l2_norm"}[hybrid.by.how]
    each = [
        {"retriever": one, "weight": weight / sum(weights), "normalizer": normalizer}
        for one, weight in zip(lists, weights, strict=True)
    ]
    return {"linear": {"retrievers": each, **window}}
