"""Why one document has its score, or why it is not found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from ..engines.words import words
from ..errors import UsageError
from ..fields import model_field
from ..queries import Bool, HasToken, Ids, Match, Query, Reason, Term
from ..queries.reasons import stored_weights
from ..tokens import truncate
from ..vocabulary import escape

if TYPE_CHECKING:
    from ..engines.base import Engine
    from .questions import Question


class Explanation(NamedTuple):
    """score: 0 where it did not match.

    lacks: tokens of the question, the weightiest first, then words of text fields (FIELD:WORD).

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
    only = replace(query, filter=(*query.filter, Ids((id,))))
    hits = engine.search(index, only, 1).hits
    held = stored_weights(source.get(field))
    asked = sorted(question.tokens, key=lambda token: -question.tokens[token])
    return Explanation(
        matched=bool(hits),
        score=hits[0].score if hits else 0.0,
        why=hits[0].why if hits else [],
        lacks=[
            *(token for token in asked if escape(token) not in held),
            *_lacking_words(engine, index, query, id),
        ],
        excluded_by=list(_excluding(engine, index, query, id, source)),
    )


def _lacking_words(engine: Engine, index: str, query: Bool, id: str) -> Iterator[str]:
    """Words of text clauses that the document does not hold, as `FIELD:WORD`."""
    asked = [
        Match(part.field, word)
        for part in query.should
        if isinstance(part, Match)
        for word in dict.fromkeys(words(part.text))
    ]
    held = engine.matches(index, id, asked) if asked else []
    for one, holds in zip(asked, held, strict=True):
        if not holds:
            yield f"{one.field}:{one.text}"


def _excluding(
    engine: Engine, index: str, query: Bool, id: str, source: dict[str, Any]
) -> Iterator[str]:
    wrote = {clause.field: clause.model for clause in _token_clauses(query)}
    for field, model in wrote.items():
        written = source.get(model_field(field))
        if written != model:
            yield f"model {written or 'none'} (the question is of {model})"
    clauses = [*query.filter, *query.must_not]
    matched = engine.matches(index, id, clauses) if clauses else []
    for place, (clause, holds) in enumerate(zip(clauses, matched, strict=True)):
        wanted = place < len(query.filter)
        if holds != wanted:
            yield _in_words(clause, wanted, source)


def _token_clauses(query: Bool) -> Iterator[Any]:
    for clause in (*query.must, *query.should, *query.filter):
        if hasattr(clause, "model"):
            yield clause


def _in_words(clause: Query, wanted: bool, source: dict[str, Any]) -> str:
    match clause:
        case HasToken(token=token, minimum=minimum) if wanted:
            return f"require {token}"
        case HasToken(token=token, minimum=minimum, field=field):
            least = "" if minimum is None else f":{minimum:g}"
            # none: the document was written anew, and a search does not see that yet
            held = stored_weights(source.get(field)).get(escape(token))
            has = "" if held is None else f" (has {float(truncate(held)):.4g})"
            return f"without {token}{least}{has}"
        case Term(field=field, value=value) if wanted:
            return f"filter {field}={value} (has {source.get(field)})"
        case _:
            return f"{'filter' if wanted else 'must not'} {clause}"
