"""A photo and its tokens as a document of the index. Builds plain data, sends nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from typing import Any

from stair_search.engines.base import Document
from stair_search.fields import Fields
from stair_search.tokens import TokenWeights
from stair_search.vocabulary import Vocabulary, escape

from .photo import Photo
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
    weights = {escape(token): weight for token, weight in vocabulary.to_dict(tokens).items()}
    strongest = list(vocabulary.to_dict(tokens.prune(top_k=STRONGEST)))
    return Document(
        photo.id,
        {
            **dict.fromkeys(set(gone) - set(photo.columns)),
            **photo.columns,
            # A list of one object: engines then replace the field as a whole.
            fields.token: [weights],
            fields.strongest: strongest,
            fields.model: model,
            fields.hash: content_hash,
            fields.image: photo.uri,
            fields.width: width,
            fields.height: height,
        },
        photo.routing,
    )


def columns_hash(photo: Photo, fields: Fields, policy: Policy, pipeline: str | None) -> str:
    """Changes with what the source says of a photo, with the names it is stored under, with what a
    policy does to its tokens, and with the pipeline that its document goes through.
    """
    told = [photo.uri, photo.columns, fields.to_dict(), policy.fingerprint, pipeline]
    return hashlib.sha256(_json(told).encode()).hexdigest()[:16]


def size(document: Document) -> int:
    """Bytes that a document takes in a bulk request, a little more rather than less."""
    return len(_json(document.fields)) + 2 * len(document.id.encode()) + 256


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
