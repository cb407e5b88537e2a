"""A photo and its tokens as a document of the index. Builds plain data, sends nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from functools import cache
from itertools import islice
from typing import Any

import orjson

from stair_search.engines.base import Document
from stair_search.fields import Fields
from stair_search.tokens import TokenWeights
from stair_search.vocabulary import Vocabulary, unescape

from .columns import unlisted
from .photo import GroupWork, Photo
from .policy import Policy

STRONGEST = 16
"""Tokens kept as keywords, for facets."""


def document(
    photo: Photo,
    tokens: TokenWeights,
    *,
    content_hash: str,
    width: int,
    height: int,
    model: str,
    vocabulary: Vocabulary,
    fields: Fields,
    gone: Collection[str] = (),
) -> Document:
    """The document of one photo.

    gone: fields that it had when it was written last and its source has no more; a bulk request
    leaves alone what it does not name, so they are emptied in words.
    """
    features = vocabulary.to_features(tokens)
    return Document(
        photo.id,
        {
            **dict.fromkeys(set(gone) - set(photo.columns)),
            **photo.columns,
            # A list of one object: engines then replace the field as a whole.
            fields.token: [features],
            fields.strongest: [unescape(name) for name in islice(features, STRONGEST)],
            fields.model: model,
            fields.hash: content_hash,
            fields.image: photo.uri,
            fields.width: width,
            fields.height: height,
        },
        photo.routing,
    )


def document_of(
    group: GroupWork, parts: Mapping[str, Mapping[str, Any]], fields: Fields
) -> Document:
    """The document that photos share. Captions are the photos' own; of further columns it has all
    values that its photos have.

    parts: what is to be in it of each photo, by the photo's id.
    """
    columns: dict[str, list[Any]] = {}
    for photo in group.photos:
        for name, value in photo.columns.items() if photo.id in parts else ():
            if name != fields.caption:
                held = columns.setdefault(name, [])
                values = value if isinstance(value, list) else [value]
                held += [one for one in values if one not in held]
    photos = [
        {**{n: v for n, v in photo.columns.items() if n == fields.caption}, **parts[photo.id]}
        for photo in group.photos
        if photo.id in parts
    ]
    gone = dict.fromkeys(set(group.gone) - set(columns))
    made = {**gone, **unlisted(columns), fields.photos: photos}
    routing = next((photo.routing for photo in group.photos if photo.routing), None)
    return Document(group.id, made, routing)


def rules(fields: Fields, policy: Policy, model: str) -> str:
    """Changes with what a photo's part of a document is made by, the photo apart."""
    told = _hash_of(fields, policy.fingerprint, None).copy()
    told.update(model.encode())
    return told.hexdigest()[:16]


def columns_hash(photo: Photo, fields: Fields, policy: Policy, pipeline: str | None) -> str:
    """Changes with what the source says of a photo, with the names it is stored under, with what a
    policy does to its tokens, and with the pipeline that its document goes through.
    """
    told = _hash_of(fields, policy.fingerprint, pipeline).copy()
    told.update(orjson.dumps([photo.uri, photo.columns], option=orjson.OPT_SORT_KEYS))
    return told.hexdigest()[:16]


@cache
def _hash_of(fields: Fields, policy: str, pipeline: str | None) -> hashlib._Hash:
    """Of what is the same for all photos of a run."""
    return hashlib.sha256(orjson.dumps([fields.to_dict(), policy, pipeline]))


def size(document: Document) -> int:
    """Bytes that a document takes in a bulk request, a little more rather than less."""
    try:
        return len(document.json) + 2 * len(document.id) + 256
    except ValueError:
        return 0  # the engine's to refuse
