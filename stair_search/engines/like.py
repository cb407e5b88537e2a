"""More like a document that is there: its stored tokens as a question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from stair_search.engines.base import Engine
from stair_search.errors import UsageError
from stair_search.fields import model_field
from stair_search.mappings import fields_of, photos_in
from stair_search.queries import BestPhoto, Bool, Ids, MaxOf, Tokens
from stair_search.queries.reasons import photos_of, stored_weights, value_of
from stair_search.tokens import truncate
from stair_search.vocabulary import unescape

_MOST_PHOTOS = 12  # with 64 tokens each, within what engines take in one query


def more_like(engine: Engine, index: str, id: str, most: int = 64) -> Bool:
    """A query for other documents that share this one's tokens, `most` of the strongest. Needs no
    encoder. Of documents of several photos: those with a photo like one of its first twelve.

    Raises UsageError where there is no such document, or it has no tokens.
    """
    if most < 1:
        raise UsageError(f"one token or more are asked for, not {most}")
    source = engine.get(index, id)
    if source is None:
        raise UsageError(f"index {index!r} holds no document {id!r}")
    mapping = engine.mapping(index)
    field, path = fields_of(mapping).token, photos_in(mapping)
    photos = photos_of(source, path) if path else [source]
    parts = [part for photo in photos if (part := _tokens(photo, field, most)).asked]
    if not parts:
        raise UsageError(f"document {id!r} of index {index!r} has no tokens: ingest its photos")
    if path is None:
        return Bool(should=(parts[0],), must_not=(Ids((id,)),))
    inside = tuple(replace(part, field=f"{path}.{field}") for part in parts[:_MOST_PHOTOS])
    return Bool(should=(BestPhoto(MaxOf(inside), path),), must_not=(Ids((id,)),))


def _tokens(photo: Mapping[str, Any], field: str, most: int) -> Tokens:
    held = stored_weights(value_of(photo, field))
    strongest = sorted(held, key=lambda name: (-held[name], name))[:most]
    # as an index holds them: some engines give back no more
    weights = truncate([held[name] for name in strongest]).tolist()
    asked = {unescape(name): weight for name, weight in zip(strongest, weights, strict=True)}
    return Tokens.of(asked, str(value_of(photo, model_field(field))), field, "image")
