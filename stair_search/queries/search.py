"""What is to come back of a query."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from stair_search.errors import UsageError
from stair_search.queries.tree import Node, Query, make_tuples

MOST_HITS = 10_000
"""How far clusters look by place; `Engine.pages` goes on."""


@dataclass(frozen=True, slots=True)
class Facet:
    """The values that most of the matching documents have in a field, `size` of them. In a field of
    photos it is the photos of these documents that are counted.
    """

    field: str
    size: int = 10

    def __post_init__(self) -> None:
        if not 1 <= self.size <= MOST_HITS:
            raise UsageError(f"facet {self.field}: 1 to {MOST_HITS} values, not {self.size}")


@dataclass(frozen=True, slots=True)
class Search:
    """A query, and what of its hits is to come back.

    size, start: so many hits from this place on, the best one's place being 0.
    min_score: what scores less is no hit.
    count: how many hits are counted: True all, False none, a number so many of them (then
    `Hits.total_relation` is "gte"), None as many as the engine counts by itself. Counting costs: an
    engine that need not count leaves out what is too weak to be among the best.
    highlight: text fields that come back with the words that were found in <em>, as HTML.
    why: whether hits come with their reasons.
    neural_sparse: whether OpenSearch is asked for tokens by its query of that name (of the plugin
    neural-search, with tokens as they are; weights up to 64), which its pipelines know to speed up.
    The scores are the same.

    >>> from stair_search.queries import All
    >>> Search(All(), start=20, facets=(Facet("stair_tokens"),)).size
    10
    """

    query: Query
    size: int = 10
    start: int = 0
    min_score: float | None = None
    count: bool | int | None = None
    facets: tuple[Facet, ...] = ()
    highlight: tuple[str, ...] = ()
    why: bool = True
    neural_sparse: bool = False

    def __post_init__(self) -> None:
        make_tuples(self, "facets", "highlight")
        if not isinstance(self.query, Node):
            raise UsageError(
                f"a search is for a query, not for {type(self.query).__name__}; `search_hybrid` "
                f"takes a Hybrid"
            )
        fields = [getattr(facet, "field", None) for facet in self.facets]
        if None in fields or len(set(fields)) < len(fields):
            raise UsageError("facets are of type Facet, one a field")
        if self.size < 0 or self.start < 0 or self.start + self.size > MOST_HITS:
            raise UsageError(
                f"an engine gives 0 to {MOST_HITS} hits at a time, not {self.size} from "
                f"{self.start} on; `pages` goes through all"
            )
        if self.min_score is not None and not math.isfinite(self.min_score):
            raise UsageError(f"the least score must be a finite number, not {self.min_score}")
        if self.count is not None and not 0 <= self.count < 2**31:
            raise UsageError(f"so many hits cannot be counted: {self.count}")


def page_of(query: Query | Search, size: int) -> Search:
    """The search for each page of all hits."""
    page = replace(as_search(query, size), start=0, count=None, facets=())
    if not page.size:
        raise UsageError("a page holds one hit at least")
    return page


def as_search(query: Query | Search, size: int = 10, why: bool = True) -> Search:
    """A query as the search that asks for its best hits."""
    return query if isinstance(query, Search) else Search(query, size, why=why)
