"""Several ranked lists as one: hybrid search whose parts' scores cannot be added as they are.

Where they can (tokens, BM25 and vectors with boosts that were tuned), `a | b` is one query.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from stair_search.errors import UsageError
from stair_search.queries.rewrite import looking_among
from stair_search.queries.search import MOST_HITS
from stair_search.queries.tree import (
    BestPhoto,
    Bool,
    Match,
    Nearest,
    Node,
    Query,
    Tokens,
    make_tuples,
)

_FLOOR = 0.001
"""What min_max makes of a list's last, so that to be found is more than not to be."""


@dataclass(frozen=True, slots=True)
class RRF:
    """Reciprocal rank fusion: each part adds weight / (constant + rank), the first rank being 1
    (Cormack, Clarke and Büttcher, SIGIR 2009, there with constant 60 and without weights).
    """

    constant: int = 60

    def __post_init__(self) -> None:
        if not 1 <= self.constant <= MOST_HITS:
            raise UsageError(f"the constant of RRF is 1 to {MOST_HITS}, not {self.constant}")


@dataclass(frozen=True, slots=True)
class Normalised:
    """The mean, by weights, of scores that each list has brought to one scale; 0 for what it has
    not found. how: min_max: (s - least) / (most - least), 0.001 at least; l2: s / sqrt(sum of s^2).
    """

    how: Literal["min_max", "l2"] = "min_max"

    def __post_init__(self) -> None:
        if self.how not in ("min_max", "l2"):
            raise UsageError(f"scores are normalised by min_max or l2, not {self.how!r}")


@dataclass(frozen=True, slots=True)
class Hybrid:
    """Queries whose `depth` best hits each are made one list.

    parts: name (in the reasons) and query. weights: of the parts, all 1 if there are none. rules:
    what every hit must match, whichever part has found it; they do not score.
    """

    parts: tuple[tuple[str, Query], ...]
    by: RRF | Normalised = RRF()
    weights: tuple[float, ...] = ()
    rules: tuple[Query, ...] = ()
    depth: int = 100

    def __post_init__(self) -> None:
        make_tuples(self, "parts", "weights", "rules")
        if not self.parts or len({name for name, _ in self.parts}) < len(self.parts):
            raise UsageError("a hybrid has one part or more, each with a name of its own")
        if self.weights and len(self.weights) != len(self.parts):
            raise UsageError(f"{len(self.parts)} parts, and {len(self.weights)} weights")
        if not all(math.isfinite(weight) and weight > 0 for weight in self.weights):
            raise UsageError(f"weights are positive and finite, not {self.weights}")
        for name, query in (*self.parts, *(("a rule", rule) for rule in self.rules)):
            if not isinstance(query, Node):
                raise UsageError(f"hybrid: {name} is no query: {query!r:.60}")
        if not 1 <= self.depth <= MOST_HITS:
            raise UsageError(f"1 to {MOST_HITS} hits of each part are fused, not {self.depth}")

    @classmethod
    def of(
        cls,
        parts: Mapping[str, Query],
        by: RRF | Normalised = RRF(),
        weights: Mapping[str, float] | None = None,
        rules: tuple[Query, ...] = (),
        depth: int = 100,
    ) -> Hybrid:
        """weights: of those parts whose weight is not 1."""
        if unknown := set(weights or {}) - set(parts):
            raise UsageError(f"weights of {', '.join(sorted(unknown))}, which are no parts")
        each = tuple((weights or {}).get(name, 1.0) for name in parts) if weights else ()
        return cls(tuple(parts.items()), by, each, rules, depth)

    @classmethod
    def of_question(cls, query: Bool, by: RRF | Normalised = RRF(), depth: int = 100) -> Hybrid:
        """What `question` makes, and a policy of it, with each of its scoring clauses a part."""
        rules: list[Query] = []
        while not query.should and len(query.must) == 1 and isinstance(query.must[0], Bool):
            rules += _rules(query, ())
            query = query.must[0]
        if query.minimum > 1:
            raise UsageError(f"{query.minimum} of several clauses cannot be fused")
        parts: dict[str, Query] = {}
        for clause in query.should:
            name = _name(clause)
            parts[name] = parts[name] | clause if name in parts else clause
        if not parts:
            raise UsageError("nothing scores, so there is nothing to fuse")
        return cls.of(parts, by, rules=(*rules, *_rules(query, query.must)), depth=depth)

    @property
    def queries(self) -> tuple[Query, ...]:
        """What each part asks for."""
        if not self.rules:
            return tuple(query for _, query in self.parts)
        among = (looking_among(query, self.rules) for _, query in self.parts)
        return tuple(Bool(must=(query,), filter=self.rules) for query in among)


def _rules(query: Bool, must: tuple[Query, ...]) -> tuple[Query, ...]:
    if not (must or query.filter or query.must_not):
        return ()
    return (Bool(filter=(*must, *query.filter), must_not=query.must_not),)


def _name(clause: Query) -> str:
    match clause:
        case Tokens(part=name) | Nearest(part=name):
            return name
        case Match(field=name):  # which may be called as a part of tokens is
            return f"{name} (text)" if name in ("question", "image") else name
        case BestPhoto(inner):
            return _name(inner)
        case Bool(should=(first, *_)):
            return _name(first)
    return type(clause).__name__.lower()


class Fused(NamedTuple):
    """A document of the fused list. parts: what each has added, 0 where it has not found it."""

    id: str
    score: float
    parts: tuple[float, ...]


def fused(hybrid: Hybrid, lists: Sequence[Sequence[tuple[str, float]]]) -> list[Fused]:
    """The lists, each of ids and scores with the best first, as one; of equals the least id first.

    >>> rrf = Hybrid.of({"a": Bool(), "b": Bool()}, RRF(1))
    >>> fused(rrf, [[("x", 9.0), ("y", 5.0)], [("y", 0.2)]])[0]
    Fused(id='y', score=0.8333333333333333, parts=(0.3333333333333333, 0.5))
    """
    weights = hybrid.weights or (1.0,) * len(lists)
    added: defaultdict[str, list[float]] = defaultdict(lambda: [0.0] * len(lists))
    for place, (found, weight) in enumerate(zip(lists, weights, strict=True)):
        if isinstance(hybrid.by, RRF):
            shares = [weight / (hybrid.by.constant + rank) for rank in range(1, len(found) + 1)]
        else:
            scale = weight / sum(weights)
            shares = [scale * s for s in _normalised(hybrid.by.how, [s for _, s in found])]
        for (name, _), share in zip(found, shares, strict=True):
            added[name][place] = max(added[name][place], share)  # an alias's indices share ids
    whole = (Fused(name, sum(shares), tuple(shares)) for name, shares in added.items())
    return sorted(whole, key=lambda one: (-one.score, one.id))


def _normalised(how: str, scores: Sequence[float]) -> list[float]:
    if not scores:
        return []
    if how == "l2":
        length = math.hypot(*scores) or 1.0
        return [score / length for score in scores]
    least, most = min(scores), max(scores)
    if least == most:
        return [1.0] * len(scores)
    return [max((score - least) / (most - least), _FLOOR) for score in scores]
