"""The nodes of a query. Immutable, comparable, free of any engine's syntax.

Each node matches documents and gives them a score (float32). Engines compile the tree
(`engines/*/compile`) or walk it (`engines/embedded`); what a node means is written here, once.

Nodes compose: `a & b` all of, `a | b` any of (scores add), `~a` none of, `2 * a` twice the score,
and of tokens `a + b` and `a - b`.

>>> dog = Tokens.of({"dog": 1.5}, "m")
>>> 2 * dog & Term("licence", "cc0") & ~HasToken("leash", "m") == Bool(
...     must=(Tokens.of({"dog": 3.0}, "m"), Term("licence", "cc0")),
...     must_not=(HasToken("leash", "m"),),
... )
True
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from numbers import Integral, Real
from typing import Any, Literal

from stair_search.errors import UsageError

Value = str | int | float

MOST_VALUE = 1e30
_LEAST, _MOST_FLOAT = 1.1754944e-38, 3.4028234e38  # of float32, which engines compute with
_MOST = MOST_VALUE  # engines make equal clauses one, and even a thousand are to stay a float32
_MODIFIERS: dict[str, Callable[[float], float]] = {
    "none": lambda x: x,
    "sqrt": math.sqrt,
    "ln1p": math.log1p,
    "ln2p": lambda x: math.log1p(x + 1),
}


class Node:
    """What all nodes can do."""

    __slots__ = ()

    def __and__(self, other: Query) -> Bool:
        return all_of(self, other)  # type: ignore[arg-type]

    def __or__(self, other: Query) -> Bool:
        return any_of(self, other)  # type: ignore[arg-type]

    def __invert__(self) -> Bool:
        return none_of(self)  # type: ignore[arg-type]

    def __mul__(self, factor: float) -> Query:
        return boosted(self, factor)  # type: ignore[arg-type]

    __rmul__ = __mul__


@dataclass(frozen=True, slots=True)
class Tokens(Node):
    """Documents of `model` that hold at least one of the tokens of positive weight.

    Score: float32 of the sum, in double, of float32(weight x S(w)), S(w) being the document's
    weight cut to 9 significant bits. `part` names this clause in the reasons.

    A negative weight is a part of a sum that is not complete yet: `a - b` takes from each token of
    a what b gives it. Engines refuse negative boosts, and an index finds what is there, not what is
    missing: a token that is left at zero or below asks for nothing, and no document loses anything
    by it. `Boosted(query, When(rule, 0.5))` halves scores, `~HasToken(...)` excludes.
    """

    weights: tuple[tuple[str, float], ...]
    model: str
    field: str = "stair"
    part: str = "question"

    def __post_init__(self) -> None:
        for token, weight in self.weights:
            if not _LEAST <= abs(weight) <= _MOST:
                raise UsageError(
                    f"weight of token {token!r} must be a number other than 0, at most {_MOST:g}, "
                    f"not {weight}"
                )

    @classmethod
    def of(
        cls, weights: Mapping[str, float], model: str, field: str = "stair", part: str = "question"
    ) -> Tokens:
        return cls(tuple(weights.items()), model, field, part)

    @property
    def asked(self) -> tuple[tuple[str, float], ...]:
        """What scores: the tokens of positive weight."""
        return tuple((token, weight) for token, weight in self.weights if weight > 0)

    def __add__(self, other: Tokens) -> Tokens:
        """Token by token; one that comes to nothing is left out. Keeps the first one's `part`.
        What is no tokens is asked for beside them, with `|`.

        >>> (Tokens.of({"dog": 2.0, "sea": 1.0}, "m") - Tokens.of({"dog": 0.5}, "m")).asked
        (('dog', 1.5), ('sea', 1.0))
        """
        if not isinstance(other, Tokens):
            return NotImplemented
        if (self.model, self.field) != (other.model, other.field):
            raise UsageError(
                f"tokens of {self.model!r} in {self.field!r} and of {other.model!r} in "
                f"{other.field!r} cannot be added: ask for both with |"
            )
        sums = dict(self.weights)
        for token, weight in other.weights:
            sums[token] = sums.get(token, 0.0) + weight
        rounding = 1e-6 * max((abs(w) for _, w in (*self.weights, *other.weights)), default=0)
        left = tuple((token, w) for token, w in sums.items() if abs(w) > rounding)
        return replace(self, weights=left)

    def __mul__(self, factor: float) -> Tokens:
        return replace(self, weights=tuple((token, w * factor) for token, w in self.weights))

    __rmul__ = __mul__

    def __neg__(self) -> Tokens:
        return self * -1

    def __sub__(self, other: Tokens) -> Tokens:
        return self + -other if isinstance(other, Tokens) else NotImplemented


@dataclass(frozen=True, slots=True)
class MaxOf(Node):
    """Documents that one of the parts matches, each with the score of the part that scores most:
    several photos as one question, where a hit need be like only one of them. Their sum, `a + b`,
    asks for what they have in common.
    """

    parts: tuple[Tokens, ...]

    def __post_init__(self) -> None:
        make_tuples(self, "parts", of=Tokens)
        if not self.parts:
            raise UsageError("the most of nothing cannot be asked for")


@dataclass(frozen=True, slots=True)
class Nearest(Node):
    """The `k` documents whose vector is nearest to this one, of those that all `rules` match. In
    documents of several photos: the nearest photo of each of the `k` nearest documents.

    Score: boost x similarity, by what the field was made for: cosine (1 + cos) / 2, dot product
    (1 + dot) / 2, Euclidean distance 1 / (1 + d^2).

    Clusters look for the k in every shard, and as nearly as the field's graph finds them;
    OpenSearch before 3.5 looks at k vectors there alone, and with a small k misses some. Rules
    beside this clause leave out some of the k; `rules` within it are obeyed before.
    """

    field: str
    vector: tuple[float, ...]
    k: int = 100
    boost: float = 1.0
    rules: tuple[Query, ...] = ()
    part: str = "vector"

    def __post_init__(self) -> None:
        make_tuples(self, "vector")
        make_tuples(self, "rules", of=Node)
        _positive(f"boost of {self.field}", self.boost)
        if not 1 <= self.k <= 10_000:
            raise UsageError(f"nearest in {self.field}: k is 1 to 10,000, not {self.k}")
        if not self.vector or not all(abs(x) <= _MOST for x in self.vector):
            raise UsageError(f"nearest in {self.field}: a vector is of finite numbers")

    @classmethod
    def of(
        cls,
        field: str,
        vector: Iterable[float],
        k: int = 100,
        boost: float = 1.0,
        rules: tuple[Query, ...] = (),
    ) -> Nearest:
        """vector: any row of numbers, such as a NumPy array [D]."""
        return cls(field, tuple(map(float, vector)), k, boost, rules)


@dataclass(frozen=True, slots=True)
class HasToken(Node):
    """Documents of `model` that hold the token, at S(w) >= float32(minimum) if one is given.

    Not scored: stands in `filter` and `must_not`.
    """

    token: str
    model: str
    minimum: float | None = None
    field: str = "stair"

    def __post_init__(self) -> None:
        if self.minimum is not None:
            _positive(f"threshold of token {self.token!r}", self.minimum, _MOST_FLOAT)


@dataclass(frozen=True, slots=True)
class Match(Node):
    """Documents whose text field holds at least one of the words, with `every` all of them.

    Score: Lucene's BM25 (k1 1.2, b 0.75, without the constant factor k1+1) times `boost`.
    """

    field: str
    text: str
    boost: float = 1.0
    every: bool = False

    def __post_init__(self) -> None:
        _positive(f"boost of {self.field}", self.boost)


@dataclass(frozen=True, slots=True)
class Term(Node):
    """Documents with exactly this value in a field that is no text. Not scored.

    Of a date, all that the value leaves open: "2026-11" is the whole month. A number, a truth value
    or a date is taken as its text: 3 as "3", True as "true".
    """

    field: str
    value: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", _as_text(self.field, self.value))


@dataclass(frozen=True, slots=True)
class Terms(Node):
    """Documents with one of these values, each as in `Term`. Not scored."""

    field: str
    values: tuple[str, ...]

    def __post_init__(self) -> None:
        make_tuples(self, "values")
        texts = tuple(_as_text(self.field, value) for value in self.values)
        object.__setattr__(self, "values", texts)


@dataclass(frozen=True, slots=True)
class Range(Node):
    """Documents with a value between these bounds, of a number, a date or a keyword (in the order
    of its UTF-8 bytes). Not scored.

    Dates are ISO 8601 or milliseconds since 1970, UTC where no zone is said; of a bound that leaves
    open the hour or the day, `lte` and `gt` mean its end, `gte` and `lt` its beginning.
    """

    field: str
    gte: Value | date | None = None
    gt: Value | date | None = None
    lte: Value | date | None = None
    lt: Value | date | None = None

    def __post_init__(self) -> None:
        for name in ("gte", "gt", "lte", "lt"):
            if isinstance(value := getattr(self, name), date):
                object.__setattr__(self, name, _as_text(self.field, value))
        for pair in ((self.gte, self.gt), (self.lte, self.lt)):
            if None not in pair:
                raise UsageError(f"range of {self.field}: two bounds on one side")
        bounds = self.bounds
        if not bounds:
            raise UsageError(f"range of {self.field}: no bound; `Exists` asks for any value")
        for name, value in bounds.items():
            if not (isinstance(value, str) or _finite(value)):
                raise UsageError(f"range of {self.field}: {name} is no finite number")

    @property
    def bounds(self) -> dict[str, Value]:
        """Those that are given, by name."""
        given = {"gte": self.gte, "gt": self.gt, "lte": self.lte, "lt": self.lt}
        return {
            name: value
            for name, value in given.items()
            if value is not None and not isinstance(value, date)
        }


@dataclass(frozen=True, slots=True)
class GeoDistance(Node):
    """Documents with a point at most so many metres from this one. Not scored.

    Along the surface of a sphere of 6,371 km (haversine), as Lucene measures it.
    """

    field: str
    lat: float
    lon: float
    metres: float

    def __post_init__(self) -> None:
        _on_earth(self.lat, self.lon)
        _positive(f"distance to {self.field}", self.metres)


@dataclass(frozen=True, slots=True)
class GeoBox(Node):
    """Documents with a point within these degrees; west > east crosses the 180th meridian. Not
    scored.
    """

    field: str
    north: float
    west: float
    south: float
    east: float

    def __post_init__(self) -> None:
        _on_earth(self.north, self.west)
        _on_earth(self.south, self.east)
        if self.south >= self.north:
            raise UsageError(
                f"box of {self.field}: its south, {self.south}, is not below its north"
            )
        if self.west == self.east:
            raise UsageError(f"box of {self.field}: its west is its east, {self.west}")


@dataclass(frozen=True, slots=True)
class Exists(Node):
    """Documents with any value in the field. Not scored.

    A text without a single word counts for clusters, for the embedded engine it does not.
    """

    field: str


@dataclass(frozen=True, slots=True)
class Ids(Node):
    """Documents with one of these ids. Not scored."""

    values: tuple[str, ...]

    def __post_init__(self) -> None:
        make_tuples(self, "values")


@dataclass(frozen=True, slots=True)
class All(Node):
    """Every document. Not scored."""


@dataclass(frozen=True, slots=True)
class Raw(Node):
    """A cluster's own query, as JSON, for what this tree has no node for; unknown to the embedded
    engine. Not scored. Never made of what a user types.
    """

    json: str

    def __post_init__(self) -> None:
        try:
            query = json.loads(self.json)
        except ValueError:
            query = None
        if not isinstance(query, dict) or len(query) != 1 or "query" in query:
            raise UsageError(
                f"a cluster's own query is a JSON object of one kind of query, not {self.json:.60}"
            )

    @classmethod
    def of(cls, query: Any) -> Raw:
        """query: a dict, or an object of `elasticsearch.dsl` or `opensearchpy`.

        >>> Raw.of({"prefix": {"licence": "cc"}})
        Raw(json='{"prefix": {"licence": "cc"}}')
        """
        given = query.to_dict() if hasattr(query, "to_dict") else query
        try:
            return cls(json.dumps(given, default=date.isoformat))
        except (TypeError, ValueError) as error:
            raise UsageError(f"a cluster's own query is no JSON: {error}") from None


@dataclass(frozen=True, slots=True)
class Constant(Node):
    """What `query` matches, all with the same score. `part` names the clause in the reasons."""

    query: Query
    score: float = 1.0
    part: str = "constant"

    def __post_init__(self) -> None:
        _check_query(self, self.query)
        _positive("constant score", self.score)


@dataclass(frozen=True, slots=True)
class Bool(Node):
    """All of `must` and `filter`, none of `must_not`, and at least `minimum` of `should` if there
    is any.

    Score: sum over the matching `must` and `should`; the other two are never scored.
    """

    must: tuple[Query, ...] = ()
    should: tuple[Query, ...] = ()
    filter: tuple[Query, ...] = ()
    must_not: tuple[Query, ...] = ()
    minimum: int = 1

    def __post_init__(self) -> None:
        make_tuples(self, "must", "should", "filter", "must_not", of=Node)
        if not 1 <= self.minimum <= max(len(self.should), 1):
            raise UsageError(f"at least {self.minimum} of {len(self.should)} cannot be asked for")


@dataclass(frozen=True, slots=True)
class BestPhoto(Node):
    """Documents with a photo that `query` matches, where each holds several in the nested field
    `path`.

    Score: that of the photo that has the highest; of equals it is the first. `query` calls fields
    by their whole names ("photos.stair") and asks of one photo: all that it says holds for the
    same one.
    """

    query: Query
    path: str = "photos"

    def __post_init__(self) -> None:
        _check_query(self, self.query)


@dataclass(frozen=True, slots=True)
class FieldValue:
    """A factor by a number that a document has, as popularity: modifier(factor x value).

    A document without a value, or with one below 0 or above 1e30, has `missing` for it: an engine
    would refuse the whole search. Of several values the least counts.

    modifier: none, sqrt, ln1p and ln2p (natural logarithm of 1 + x, of 2 + x).
    """

    field: str
    factor: float = 1.0
    modifier: Literal["none", "sqrt", "ln1p", "ln2p"] = "none"
    missing: float = 1.0

    def __post_init__(self) -> None:
        _positive(f"factor of {self.field}", self.factor)
        if self.factor > 1e6:
            raise UsageError(f"factor of {self.field} is at most a million, not {self.factor}")
        if not 0 <= self.missing <= MOST_VALUE:
            raise UsageError(f"{self.field} where it is missing cannot be {self.missing}")
        if self.modifier not in _MODIFIERS:
            raise UsageError(f"{self.modifier!r} is no modifier: {', '.join(_MODIFIERS)}")

    def of(self, value: float | None) -> float:
        """The factor of a document whose least value is this one."""
        if value is None or not 0 <= value <= MOST_VALUE:
            value = self.missing
        return _MODIFIERS[self.modifier](value * self.factor)


@dataclass(frozen=True, slots=True)
class Decay:
    """A factor of 1 at `origin` (and `offset` around it) that falls to `decay` at `scale` beyond;
    1 where a document has no value. Of several values the nearest counts.

    origin: a number, or a date as text; scale and offset: in the field's units, of a date in
    milliseconds. curve: gauss, exp or linear, as engines compute them.
    """

    field: str
    origin: Value
    scale: float
    offset: float = 0.0
    decay: float = 0.5
    curve: Literal["gauss", "exp", "linear"] = "gauss"

    def __post_init__(self) -> None:
        if not (isinstance(self.origin, str) or _finite(self.origin)):
            raise UsageError(f"origin of {self.field} is no finite number")
        _positive(f"scale of {self.field}", self.scale)
        if not (math.isfinite(self.offset) and self.offset >= 0):
            raise UsageError(f"offset of {self.field} cannot be {self.offset}")
        if not 0 < self.decay < 1:
            raise UsageError(f"decay of {self.field} must be between 0 and 1, not {self.decay}")
        if self.curve not in ("gauss", "exp", "linear"):
            raise UsageError(f"{self.curve!r} is no curve: gauss, exp, linear")

    def of(self, distance: float) -> float:
        """The factor at this distance from the origin.

        >>> Decay("price", 100, 20).of(20), Decay("price", 100, 20, curve="linear").of(40)
        (0.5, 0.0)
        """
        beyond = max(0.0, distance - self.offset)
        match self.curve:
            case "gauss":
                scales = beyond / self.scale
                return math.exp(math.log(self.decay) * (scales * scales))  # ** 2 may overflow
            case "exp":
                return math.exp(math.log(self.decay) * beyond / self.scale)
        reach = self.scale / (1 - self.decay)
        return max(0.0, (reach - beyond) / reach)


@dataclass(frozen=True, slots=True)
class When:
    """A factor for the documents that `query` matches, 1 for all others. Below 1 it demotes."""

    query: Query
    factor: float

    def __post_init__(self) -> None:
        _positive("factor", self.factor)


@dataclass(frozen=True, slots=True)
class Boosted(Node):
    """What `query` matches; its score times a factor."""

    query: Query
    by: FieldValue | Decay | When

    def __post_init__(self) -> None:
        _check_query(self, self.query)

    @property
    def part(self) -> str:
        """Its name in the reasons: the field, or "when"."""
        return "when" if isinstance(self.by, When) else self.by.field


Query = (
    Tokens | MaxOf | Nearest | Match | HasToken | Term | Terms | Range | GeoDistance | GeoBox
    | Exists | Ids | All | Raw | Constant | Bool | BestPhoto | Boosted
)  # fmt: skip


def all_of(*queries: Query) -> Bool:
    """What all of them match; their scores add. What `none_of` holds is taken in.

    >>> all_of(Term("a", "1"), none_of(Term("b", "2")))
    Bool(must=(Term(field='a', value='1'),), should=(), filter=(), must_not=(Term(field='b', \
value='2'),), minimum=1)
    """
    must: list[Query] = []
    must_not: list[Query] = []
    for query in queries:
        match query:
            # flat, so that chains of & stay readable; a kind of Bool with a meaning stays itself
            case Bool(inner, (), (), forbidden) if type(query) is Bool:
                must += inner
                must_not += forbidden
            case _:
                must.append(query)
    return Bool(must=tuple(must), must_not=tuple(must_not))


def any_of(*queries: Query) -> Bool:
    """What at least one of them matches, of none nothing; the scores of those that match add."""
    should: list[Query] = [] if queries else [Ids(())]
    for query in queries:
        match query:
            case Bool((), inner, (), (), 1) if inner and type(query) is Bool:
                should += inner
            case _:
                should.append(query)
    return Bool(should=tuple(should))


def none_of(*queries: Query) -> Bool:
    """What none of them matches; score 0."""
    return Bool(must_not=queries)


def at_least(minimum: int, *queries: Query) -> Bool:
    """What so many of them match; the scores of those that match add."""
    if not queries:
        raise UsageError(f"at least {minimum} of nothing cannot be asked for")
    return Bool(should=queries, minimum=minimum)


def filtered(query: Query, *rules: Query) -> Bool:
    """What `query` and the rules match; only `query` scores.

    >>> filtered(All(), Term("licence", "cc0")).filter
    (Term(field='licence', value='cc0'),)
    """
    return Bool(must=(query,), filter=rules)


def boosted(query: Query, factor: float) -> Query:
    """The query with its score times a factor, which may be negative for tokens alone (see there).

    Raises UsageError for what is not scored.

    >>> boosted(Match("caption", "dog") | Tokens.of({"dog": 1.0}, "m"), 3).should[0].boost
    3.0
    """
    if not isinstance(query, Tokens):
        _positive("a factor", factor)
    match query:
        case Tokens():
            return query * factor
        case Match(boost=boost) | Nearest(boost=boost):
            return replace(query, boost=boost * float(factor))
        case MaxOf(parts):
            return MaxOf(tuple(part * factor for part in parts))
        case Constant(score=score):
            return replace(query, score=score * float(factor))
        case BestPhoto(inner) | Boosted(inner):
            return replace(query, query=boosted(inner, factor))
        case Bool(must, should) if _scores(query):
            return replace(
                query, must=_all_boosted(must, factor), should=_all_boosted(should, factor)
            )
    raise UsageError(
        f"{type(query).__name__} has no score that could be boosted: `Constant` gives it one"
    )


def _all_boosted(queries: tuple[Query, ...], factor: float) -> tuple[Query, ...]:
    return tuple(boosted(one, factor) if _scores(one) else one for one in queries)


def _scores(query: Query) -> bool:
    match query:
        case Tokens() | MaxOf() | Nearest() | Match() | Constant():
            return True
        case BestPhoto(inner) | Boosted(inner):
            return _scores(inner)
        case Bool(must, should):
            return any(map(_scores, (*must, *should)))
    return False


def make_tuples(node: object, *names: str, of: type | None = None) -> None:
    """Lists in these fields of a frozen dataclass become tuples, so that it can be compared and
    hashed. Raises UsageError for a value that stands alone, and for one that is none `of` a type.
    """
    for name in names:
        value = getattr(node, name)
        if isinstance(value, str | bytes | Node) or not isinstance(value, Iterable):
            raise UsageError(f"{type(node).__name__}: {name} is a tuple, as (one,)")
        if not isinstance(value, tuple):
            value = tuple(value)
            object.__setattr__(node, name, value)
        if of is not None:
            for one in value:
                _check_query(node, one, of)


def _check_query(node: object, query: object, of: type = Node) -> None:
    if not isinstance(query, of):
        kind = "a query" if of is Node else of.__name__
        raise UsageError(f"{type(node).__name__} is of {kind}, and {query!r:.60} is none")


def _as_text(field: str, value: object) -> str:
    """A value as documents have it in their JSON."""
    match value:
        case str():
            return value
        case bool():
            return str(value).lower()
        case Integral():
            return str(int(value))
        case Real():
            return repr(float(value))
        case datetime():
            return value.isoformat(timespec="milliseconds")
        case date():
            return value.isoformat()
    raise UsageError(f"{field}: a value is text, a number, a truth value or a date, not {value!r}")


def _positive(what: str, value: float, most: float = _MOST) -> None:
    if not _LEAST <= value <= most:
        raise UsageError(f"{what} must be a positive number of at most {most:g}, not {value}")


def _finite(value: float) -> bool:
    """Not so of True, which Python takes for 1 and an engine for a truth."""
    return not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _on_earth(lat: float, lon: float) -> None:
    if not (-90 <= lat <= 90 and -180 <= lon <= 180):
        raise UsageError(f"{lat}, {lon} is no latitude (-90 to 90) and longitude (-180 to 180)")
