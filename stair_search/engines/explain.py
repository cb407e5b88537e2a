"""Why one document has its score, or why it is not found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from stair_search.engines.base import Engine
from stair_search.engines.parts import placed
from stair_search.engines.words import words
from stair_search.errors import UsageError
from stair_search.fields import model_field
from stair_search.queries import (
    All,
    BestPhoto,
    Bool,
    Boosted,
    Constant,
    Exists,
    GeoBox,
    GeoDistance,
    Governed,
    HasToken,
    Ids,
    Match,
    MaxOf,
    Nearest,
    Query,
    Range,
    Raw,
    Reason,
    Search,
    Term,
    Terms,
    Tokens,
    filtered,
)
from stair_search.queries.policy import Refused
from stair_search.queries.reasons import photos_of, stored_weights, value_of
from stair_search.queries.search import as_search
from stair_search.tokens import truncate
from stair_search.vocabulary import escape

_SIGNS = {"gte": ">=", "gt": ">", "lte": "<=", "lt": "<"}


class Explanation(NamedTuple):
    """score: 0 where it did not match.

    lacks: tokens of the question, the weightiest first, then words of text fields (FIELD:WORD); of
    a document with several photos, what none of them holds.

    excluded_by: every rule that shuts the document out, as it was asked.
    """

    matched: bool
    score: float
    why: list[Reason]
    lacks: list[str]
    excluded_by: list[str]


def explain(engine: Engine, index: str, query: Query | Search, id: str) -> Explanation:
    """Asks the engine itself, so that the answer is the one that a search acts on.

    Raises UsageError where there is no such document, and what `Engine.search` raises.
    """
    query = as_search(query).query
    source = engine.get(index, id)
    if source is None:
        raise UsageError(f"index {index!r} holds no document {id!r}")
    # beside the query, not around it: what is asked of its parts stays as it is
    alone = (*query.filter, Ids((id,))) if isinstance(query, Bool) else (Ids((id,)),)
    only = replace(query, filter=alone) if isinstance(query, Bool) else filtered(query, *alone)
    hits = engine.search(index, only, 1).hits
    return Explanation(
        matched=bool(hits),
        score=hits[0].score if hits else 0.0,
        why=hits[0].why if hits else [],
        lacks=[*_lacking_tokens(query, source), *_lacking_words(engine, index, query, id)],
        excluded_by=[]
        if hits
        else [
            *_other_models(query, source),
            *dict.fromkeys(_broken(engine, index, query, id, source)),
        ],
    )


def _wanted(query: Query, path: str | None = None) -> Iterator[tuple[Query, str | None]]:
    """Every leaf that a hit can be found by, with the nested field whose photos it asks of."""
    match query:
        case Bool():
            for part in (*query.must, *query.should):
                yield from _wanted(part, path)
        case BestPhoto(inner, below):
            yield from _wanted(inner, below)
        case Boosted(inner) | Constant(inner):
            yield from _wanted(inner, path)
        case MaxOf(parts):
            for part in parts:
                yield part, path
        case _:
            yield query, path


def _photos(source: Mapping[str, Any], path: str | None) -> list[Mapping[str, Any]]:
    """What is asked: the document, or its photos with the whole names of their fields."""
    if path is None:
        return [source]
    return [
        {f"{path}.{name}": value for name, value in photo.items()}
        for photo in photos_of(source, path)
    ]


def _lacking_tokens(query: Query, source: Mapping[str, Any]) -> Iterator[str]:
    asked: dict[str, float] = {}
    held: set[str] = set()
    for part, path in _wanted(query):
        if isinstance(part, Tokens):
            asked |= dict(part.asked)
            for one in _photos(source, path):
                held |= stored_weights(value_of(one, part.field)).keys()
    ordered = sorted(asked, key=lambda token: -asked[token])
    yield from (token for token in ordered if escape(token) not in held)


def _lacking_words(engine: Engine, index: str, query: Query, id: str) -> Iterator[str]:
    """Words of text clauses that the document does not hold, as `FIELD:WORD`."""
    asked = [
        (Match(part.field, word), path)
        for part, path in _wanted(query)
        if isinstance(part, Match)
        for word in dict.fromkeys(words(part.text))
    ]
    clauses = [BestPhoto(one, path) if path else one for one, path in asked]
    held = engine.matches(index, id, clauses) if asked else []
    for (one, _), holds in zip(asked, held, strict=True):
        if not holds:
            yield f"{one.field}:{one.text}"


def _other_models(query: Query, source: Mapping[str, Any]) -> Iterator[str]:
    """What no clause can find, as another model has written it."""
    asked = {
        (node.field, node.model, path)
        for node, path in placed(_without_exclusions(query))
        if isinstance(node, Tokens | HasToken)
    }
    for field, model, path in sorted(asked, key=str):
        wrote = {value_of(one, model_field(field)) or "none" for one in _photos(source, path)}
        if model not in wrote:
            yield f"model {', '.join(sorted(wrote)) or 'none'} (the question is of {model})"


def _without_exclusions(query: Query) -> Query:
    return replace(query, must_not=()) if isinstance(query, Bool) else query


def _excluding(
    engine: Engine, index: str, query: Query, id: str, source: Mapping[str, Any]
) -> Iterator[str]:
    """The rules that the document breaks, those of clauses that it has to match among them."""
    match query:
        case Boosted(inner) | Constant(inner):
            yield from _excluding(engine, index, inner, id, source)
        case Nearest(field, k=k) if not engine.matches(index, id, [query])[0]:
            yield f"not among the {k} nearest in {field}"
        case Bool():
            needed = [*query.must, *query.should]
            clauses = [*query.filter, *query.must_not, *needed]
            matched = engine.matches(index, id, clauses) if clauses else []
            rules, broken = len(query.filter) + len(query.must_not), False
            for place, (clause, holds) in enumerate(zip(clauses[:rules], matched, strict=False)):
                wanted = place < len(query.filter)
                if holds != wanted:
                    broken = True
                    yield _rule(query, clause, wanted, source)
            must = matched[rules : rules + len(query.must)]
            should = matched[rules + len(query.must) :]
            if query.minimum > 1 and sum(should) < query.minimum:
                yield f"at least {query.minimum} of {len(should)} (matches {sum(should)})"
            # what is broken already, the clauses of photos may say once more
            few = bool(should) and sum(should) < query.minimum and not broken
            for clause, holds in zip(needed, [*must, *(s or not few for s in should)], strict=True):
                if not holds:
                    yield from _broken(engine, index, clause, id, source)


def _broken(
    engine: Engine, index: str, clause: Query, id: str, source: Mapping[str, Any]
) -> Iterator[str]:
    """Why a clause that had to match did not; what it lacks is told apart."""
    match clause:
        case Tokens() | MaxOf() | Match():
            return
        case BestPhoto(inner, path):
            yield from _broken_by_photos(engine, index, inner, path, id, source)
        case Bool() | Boosted() | Nearest():
            yield from _excluding(engine, index, clause, id, source)
        case Constant(inner):
            yield from _broken(engine, index, inner, id, source)
        case _:
            yield _in_words(clause, True, [source])


def _broken_by_photos(
    engine: Engine, index: str, query: Query, path: str, id: str, source: Mapping[str, Any]
) -> Iterator[str]:
    """Why no photo matched: rules that none keeps, or that none keeps together with the rest. What
    the photos lack is told apart.
    """
    flat = _flat(query)
    each = [
        *(Bool(must=(one,)) for one in flat.must),
        *(Bool(filter=(one,)) for one in flat.filter),
        *(Bool(must_not=(one,)) for one in flat.must_not),
    ]
    held = engine.matches(index, id, [BestPhoto(one, path) for one in (*each, query)])
    if held.pop():
        return
    found_by, rules = held[: len(flat.must)], held[len(flat.must) :]
    broken = [
        f"not among the {one.k} nearest in {one.field}"
        for one, holds in zip(flat.must, found_by, strict=True)
        if isinstance(one, Nearest) and not holds
    ]
    broken += [
        _in_words(BestPhoto(rule, path), place < len(flat.filter), [source])
        for place, (rule, holds) in enumerate(zip(flat.filter + flat.must_not, rules, strict=True))
        if not holds
    ]
    if not broken and all(found_by):
        broken = [f"no photo is all of {_asked(query)}"]
    yield from broken


def _flat(query: Query) -> Bool:
    """What one photo has to be, without clauses in each other: what finds it, rules, exclusions."""
    match query:
        case Boosted(inner) | Constant(inner):
            return _flat(inner)
        case Bool():
            below = [_flat(one) for one in query.must]
            some = (Bool(should=query.should, minimum=query.minimum),) if query.should else ()
            finds = some if any(map(_can_score, query.should)) else ()
            return Bool(
                must=(*finds, *(part for one in below for part in one.must)),
                filter=(
                    *query.filter,
                    *(some if not finds else ()),
                    *(part for one in below for part in one.filter),
                ),
                must_not=(*query.must_not, *(part for one in below for part in one.must_not)),
            )
    return Bool(must=(query,)) if _can_score(query) else Bool(filter=(query,))


def _can_score(query: Query) -> bool:
    return any(isinstance(one, Tokens | MaxOf | Match | Nearest) for one, _ in _wanted(query))


def _rule(query: Bool, clause: Query, wanted: bool, source: Mapping[str, Any]) -> str:
    if isinstance(query, Governed) and query.policy and clause in query.added:
        return f"policy {query.policy.name}: {_in_words(clause, wanted, [source], 'forbids')}"
    return _in_words(clause, wanted, [source])


def _in_words(
    clause: Query, wanted: bool, sources: Sequence[Mapping[str, Any]], verb: str = "without"
) -> str:
    """sources: the document, or its photos with the whole names of their fields."""
    match clause:
        case Refused(policy=policy, token=token):
            return f"policy {policy}: does not let ask for {token}"
        case BestPhoto(inner, path):
            photos = [photo for source in sources for photo in _photos(source, path)]
            return _in_words(inner, wanted, photos, verb)
        case Bool(filter=rules) if wanted and rules:  # of one photo
            together = " in one photo" if len(rules) > 1 else ""
            return " and ".join(_in_words(rule, wanted, sources) for rule in rules) + together
        case HasToken(token=token, minimum=minimum) if wanted:
            return f"require {token}"
        case HasToken(token=token, minimum=minimum, field=field):
            least = "" if minimum is None else f":{minimum:g}"
            return f"{verb} {token}{least}{_has(token, field, sources)}"
        case Tokens(weights=weights, field=field) if not wanted:
            had = [f"{t}{has}" for t, _ in weights if (has := _has(t, field, sources))]
            return f"{verb} {', '.join(had or [t for t, _ in weights])}"
        case Boosted(inner) | Constant(inner):
            return _in_words(inner, wanted, sources, verb)
        case _ if wanted and hasattr(clause, "field"):
            has = ", ".join(
                dict.fromkeys(str(value_of(source, clause.field)) for source in sources)
            )
            return f"filter {_asked(clause)} (has {has or None})"
        case Term(field=field, value=value):
            return f"filter {field}!={value}"
        case _:
            return f"{'filter' if wanted else 'without'} {_asked(clause)}"


def _asked(clause: Query) -> str:
    """What a rule asks for, as briefly as it can be said."""
    match clause:
        case Term(field, value):
            return f"{field}={value}"
        case Terms(field, values):
            return f"{field}={' or '.join(values)}"
        case Range(field):
            bounds = (f"{_SIGNS[name]}{value}" for name, value in clause.bounds.items())
            return f"{field}{' and '.join(bounds)}"
        case GeoDistance(field, lat, lon, metres):
            return f"{field} within {metres:g} m of {lat:g}, {lon:g}"
        case GeoBox(field, north, west, south, east):
            return f"{field} within {north:g}, {west:g} and {south:g}, {east:g}"
        case Exists(field):
            return f"{field} is there"
        case Match(field, text, every=every):
            return f"{field}:{(' AND ' if every else ' OR ').join(words(text))}"
        case Nearest(field, k=k):
            return f"the {k} nearest in {field}"
        case HasToken(token, minimum=minimum):
            return token if minimum is None else f"{token}:{minimum:g}"
        case Tokens():
            return " or ".join(token for token, _ in clause.asked)
        case MaxOf(sums):
            return " or ".join(map(_asked, sums))
        case Constant(inner) | Boosted(inner) | BestPhoto(inner):
            return _asked(inner)
        case Ids(values):
            return f"ids {', '.join(values[:3])}{'…' if len(values) > 3 else ''}"
        case Raw(text):
            return f"query {text}"
        case Bool(must, should, rules, must_not, minimum):
            some = [_asked(part) for part in should]
            any_of = f"{minimum} of {', '.join(some)}" if minimum > 1 else " or ".join(some)
            parts = [*map(_asked, (*must, *rules)), *([any_of] if some else [])]
            parts += [f"not {_asked(part)}" for part in must_not]
            return f"({' and '.join(parts)})" if len(parts) > 1 else "".join(parts)
        case All():
            return "anything"


def _has(token: str, field: str, sources: Sequence[Mapping[str, Any]]) -> str:
    """The token's weight in words; nothing where the document was written anew without it, and a
    search does not see that yet.
    """
    held = [stored_weights(value_of(source, field)).get(escape(token), 0) for source in sources]
    strongest = max(held, default=0)
    return f" (has {float(truncate(strongest)):.4g})" if strongest else ""
