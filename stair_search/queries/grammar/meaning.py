"""From what is asked to the query that an engine gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from stair_search.queries.build import question
from stair_search.queries.grammar.asked import Asked, Photo, Require, Text, Where, Without, Words
from stair_search.queries.tree import Bool, Ids, Match, Query, Range, Term

Weights = Mapping[str, float]

_BOUND = {">=": "gte", ">": "gt", "<=": "lte", "<": "lt"}


def as_query(
    asked: Asked,
    encode: Callable[[Words | Photo], Weights],
    *,
    model: str,
    fields: Mapping[str, str] | None = None,
    field: str = "stair",
    photos: str | None = None,
) -> Bool:
    """The query; see `question` for model, field and photos.

    encode: token -> weight of words or a photo, as if they had no weight of their own. fields:
    public name -> field, where these differ. Tokens are asked for in lower case, as vocabularies
    have them. Where something is asked for that no document can hold, none is found.

    >>> asked = Asked((Words("dog", 2), Words("leash", -1), Where("year", ">=", "2020")))
    >>> query = as_query(asked, lambda part: {part.text: 1.5}, model="m")
    >>> query.should[0].weights, query.filter
    ((('dog', 3.0),), (Range(field='year', gte='2020', gt=None, lte=None, lt=None),))
    """
    names = fields or {}
    words, image = _tokens(asked, encode)
    match: list[Match] = []
    require: dict[str, float | None] = {}
    without: dict[str, float | None] = {}
    rules: list[Query] = []
    never: list[Query] = []
    for part in asked.parts:
        match part:
            case Text(name, texts, every, boost):
                match.append(Match(names.get(name, name), " ".join(texts), boost, every))
            case Require(token, minimum):  # of two rules on a token the stricter one
                require[token.lower()] = max(minimum or 0, require.get(token.lower()) or 0) or None
            case Without(token, minimum):
                before = without.get(token.lower(), minimum)
                loose = minimum is None or before is None
                without[token.lower()] = None if loose else min(minimum or 0, before or 0)
            case Where(name, "=", value):
                rules.append(Term(names.get(name, name), value))
            case Where(name, "!=", value):
                never.append(Term(names.get(name, name), value))
            case Where(name, comparison, value):
                rules.append(Range(names.get(name, name), **{_BOUND[comparison]: value}))
    query = question(
        words,
        model=model,
        image_tokens=image,
        match=match,
        require=require,
        without=without,
        rules=rules,
        never=never,
        field=field,
        photos=photos,
    )
    if not query.should and any(isinstance(part, Words | Photo) for part in asked.parts):
        query = replace(query, should=(Ids(()),))
    return query


def _tokens(
    asked: Asked, encode: Callable[[Words | Photo], Weights]
) -> tuple[dict[str, float], dict[str, float]]:
    """What is asked for by words and by photos; in one sum where something is taken away."""
    words: dict[str, float] = {}
    image: dict[str, float] = {}
    away: dict[str, float] = {}
    for part in asked.parts:
        if isinstance(part, Words | Photo):
            kind = words if isinstance(part, Words) else image
            into = kind if part.weight > 0 else away
            for token, weight in encode(part).items():
                into[token] = into.get(token, 0.0) + abs(part.weight) * weight
    if not away:
        return words, image
    both = {token: words.get(token, 0.0) + image.get(token, 0.0) for token in {**words, **image}}
    left = {token: weight - away.get(token, 0.0) for token, weight in both.items()}
    left = {token: weight for token, weight in left.items() if weight > 1e-6 * both[token]}
    return (left, {}) if words else ({}, left)
