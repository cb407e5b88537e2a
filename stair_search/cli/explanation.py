"""Why one document has its score, or why it is not found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from ..engines.parts import placed
from ..engines.words import words
from ..errors import UsageError
from ..fields import model_field
from ..queries import (
    BestPhoto,
    Bool,
    Governed,
    HasToken,
    Ids,
    Match,
    Query,
    Range,
    Reason,
    Term,
    Terms,
    Tokens,
)
from ..queries.policy import Refused
from ..queries.reasons import stored_weights
from ..tokens import truncate
from ..vocabulary import escape

if TYPE_CHECKING:
    from ..engines.base import Engine
    from .questions import Question

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


def explain(engine: Engine, index: str, question: Question, id: str) -> Explanation:
    """Asks the engine itself, so that the answer is the one that a search acts on."""
    source = engine.get(index, id)
    if source is None:
        raise UsageError(f"index {index!r} holds no document {id!r}")
    query, field = question.query, question.fields.token
    photos = source.get(question.photos) or [] if question.photos else [source]
    only = replace(query, filter=(*query.filter, Ids((id,))))
    hits = engine.search(index, only, 1).hits
    held = {name for photo in photos for name in stored_weights(photo.get(field))}
    asked = sorted(question.tokens, key=lambda token: -question.tokens[token])
    return Explanation(
        matched=bool(hits),
        score=hits[0].score if hits else 0.0,
        why=hits[0].why if hits else [],
        lacks=[
            *(token for token in asked if escape(token) not in held),
            *_lacking_words(engine, index, query, id),
        ],
        excluded_by=list(_excluding(engine, index, query, id, source, photos)),
    )


def _lacking_words(engine: Engine, index: str, query: Bool, id: str) -> Iterator[str]:
    """Words of text clauses that the document does not hold, as `FIELD:WORD`."""
    asked = [
        (Match(part.field, word), path)
        for part, path in placed(Bool(should=query.should))
        if isinstance(part, Match)
        for word in dict.fromkeys(words(part.text))
    ]
    clauses = [BestPhoto(one, path) if path else one for one, path in asked]
    held = engine.matches(index, id, clauses) if asked else []
    for (one, _), holds in zip(asked, held, strict=True):
        if not holds:
            yield f"{one.field}:{one.text}"


def _excluding(
    engine: Engine,
    index: str,
    query: Bool,
    id: str,
    source: dict[str, Any],
    photos: Sequence[Mapping[str, Any]],
) -> Iterator[str]:
    wanted_of = Bool(must=query.must, should=query.should, filter=query.filter)
    wrote = {
        node.field.rpartition(".")[2] if path else node.field: node.model
        for node, path in placed(wanted_of)
        if isinstance(node, Tokens | HasToken)
    }
    for field, model in wrote.items():
        written = {photo.get(model_field(field)) or "none" for photo in photos}
        if model not in written:
            yield f"model {', '.join(sorted(written)) or 'none'} (the question is of {model})"
    clauses = [*query.filter, *query.must_not]
    matched = engine.matches(index, id, clauses) if clauses else []
    for place, (clause, holds) in enumerate(zip(clauses, matched, strict=True)):
        wanted = place < len(query.filter)
        if holds != wanted:
            if isinstance(query, Governed) and query.policy and clause in query.added:
                said = _in_words(clause, wanted, [source], "forbids")
                yield f"policy {query.policy.name}: {said}"
            else:
                yield _in_words(clause, wanted, [source])


def _in_words(
    clause: Query, wanted: bool, sources: Sequence[Mapping[str, Any]], verb: str = "without"
) -> str:
    """sources: the document, or its photos with the whole names of their fields."""
    match clause:
        case Refused(policy=policy, token=token):
            return f"policy {policy}: does not let ask for {token}"
        case BestPhoto(inner, path):
            photos = [
                {f"{path}.{name}": value for name, value in photo.items()}
                for source in sources
                for photo in source.get(path) or []
            ]
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
        case Term(field=field, value=value) if wanted:
            has = ", ".join(dict.fromkeys(str(source.get(field)) for source in sources))
            return f"filter {field}={value} (has {has or None})"
        case Terms(field=field, values=values) if wanted:
            has = ", ".join(dict.fromkeys(str(source.get(field)) for source in sources))
            return f"filter {field}={' or '.join(values)} (has {has or None})"
        case Range(field=field) if wanted:
            bounds = " and ".join(f"{_SIGNS[name]}{value}" for name, value in clause.bounds.items())
            has = ", ".join(dict.fromkeys(str(source.get(field)) for source in sources))
            return f"filter {field}{bounds} (has {has or None})"
        case Term(field=field, value=value):
            return f"filter {field}!={value}"
        case _:
            return f"{'filter' if wanted else 'must not'} {clause}"


def _has(token: str, field: str, sources: Sequence[Mapping[str, Any]]) -> str:
    """The token's weight in words; nothing where the document was written anew without it, and a
    search does not see that yet.
    """
    held = [stored_weights(source.get(field)).get(escape(token), 0) for source in sources]
    strongest = max(held, default=0)
    return f" (has {float(truncate(strongest)):.4g})" if strongest else ""
