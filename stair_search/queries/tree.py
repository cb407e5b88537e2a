"""The nodes of a query. Immutable, comparable, free of any engine's syntax.

Each node matches documents and gives them a score (float32). Engines compile the tree
(`engines/*/compile`) or walk it (`engines/embedded`); what a node means is written here, once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from stair_search.errors import UsageError


@dataclass(frozen=True, slots=True)
class Tokens:
    """Documents of `model` that hold at least one of the tokens.

    Score: float32 of the sum, in double, of float32(weight x S(w)), S(w) being the document's
    weight cut to 9 significant bits. `part` names this clause in the reasons.
    """

    weights: tuple[tuple[str, float], ...]
    model: str
    field: str = "stair"
    part: str = "question"

    def __post_init__(self) -> None:
        for token, weight in self.weights:
            _positive(f"weight of token {token!r}", weight)

    @classmethod
    def of(
        cls, weights: Mapping[str, float], model: str, field: str = "stair", part: str = "question"
    ) -> Tokens:
        return cls(tuple(weights.items()), model, field, part)


@dataclass(frozen=True, slots=True)
class HasToken:
    """Documents of `model` that hold the token, at S(w) >= float32(minimum) if one is given.

    Not scored: stands in `filter` and `must_not`.
    """

    token: str
    model: str
    minimum: float | None = None
    field: str = "stair"

    def __post_init__(self) -> None:
        if self.minimum is not None:
            _positive(f"threshold of token {self.token!r}", self.minimum)


@dataclass(frozen=True, slots=True)
class Match:
    """Documents whose text field holds at least one of the words.

    Score: Lucene's BM25 (k1 1.2, b 0.75, without the constant factor k1+1) times `boost`.
    """

    field: str
    text: str
    boost: float = 1.0

    def __post_init__(self) -> None:
        _positive(f"boost of {self.field}", self.boost)


@dataclass(frozen=True, slots=True)
class Term:
    """Documents with exactly this value in a keyword field. Not scored."""

    field: str
    value: str


@dataclass(frozen=True, slots=True)
class Ids:
    """Documents with one of these ids. Not scored."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class All:
    """Every document. Not scored."""


@dataclass(frozen=True, slots=True)
class Constant:
    """What `query` matches, all with the same score. `part` names the clause in the reasons."""

    query: Query
    score: float = 1.0
    part: str = "constant"

    def __post_init__(self) -> None:
        _positive("constant score", self.score)


@dataclass(frozen=True, slots=True)
class Bool:
    """All of `must` and `filter`, none of `must_not`, and at least one of `should` if there is any.

    Score: sum over the matching `must` and `should`; the other two are never scored.
    """

    must: tuple[Query, ...] = ()
    should: tuple[Query, ...] = ()
    filter: tuple[Query, ...] = ()
    must_not: tuple[Query, ...] = ()


@dataclass(frozen=True, slots=True)
class BestPhoto:
    """Documents with a photo that `query` matches, where each holds several in the nested field
    `path`.

    Score: that of the photo that has the highest; of equals it is the first. `query` calls fields
    by their whole names ("photos.stair") and asks of one photo: all that it says holds for the
    same one.
    """

    query: Query
    path: str = "photos"


Query = Tokens | HasToken | Match | Term | Ids | All | Constant | Bool | BestPhoto


def _positive(what: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise UsageError(f"{what} must be a positive finite number, not {value}")
