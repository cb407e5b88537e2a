"""From what a person gives (tokens, words, rules) to the query tree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from stair_search.queries.tree import Bool, HasToken, Match, Query, Term, Tokens


def question(
    tokens: Mapping[str, float] | None = None,
    *,
    model: str,
    image_tokens: Mapping[str, float] | None = None,
    match: Iterable[Match] = (),
    require: Iterable[str] = (),
    without: Mapping[str, float | None] | None = None,
    filters: Iterable[tuple[str, str]] = (),
    field: str = "stair",
) -> Bool:
    """One question: what scores (tokens of words, tokens of a photo, text) and the rules beside it.

    tokens, image_tokens: token -> weight. model: fingerprint of the encoder that made them.
    without: token -> least weight at which it is forbidden, None for any.
    Without anything that scores, whatever passes the rules is a hit of score 0.

    >>> question({"dog": 1.5}, model="m", without={"person": 0.2}).must_not
    (HasToken(token='person', model='m', minimum=0.2, field='stair'),)
    """
    should: list[Query] = []
    if tokens:
        should.append(Tokens.of(tokens, model, field, "question"))
    if image_tokens:
        should.append(Tokens.of(image_tokens, model, field, "image"))
    should.extend(match)
    return Bool(
        should=tuple(should),
        filter=(
            *(HasToken(token, model, None, field) for token in require),
            *(Term(name, value) for name, value in filters),
        ),
        must_not=tuple(
            HasToken(token, model, minimum, field) for token, minimum in (without or {}).items()
        ),
    )
