"""Which documents of an index hold a token: those that were written before a policy forbade it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from stair_search.engines.base import Engine
from stair_search.errors import UsageError
from stair_search.mappings import photos_in
from stair_search.queries import BestPhoto, Bool, HasToken, Query
from stair_search.queries.reasons import stored_weights
from stair_search.vocabulary import Vocabulary, check_known, escape

from . import job as jobs
from .encoder import load
from .index import must_be_own
from .policy import KEPT_AS, forbidden
from .takedown import refresh


class Holder(NamedTuple):
    """A document that holds a token. reason: why the job's policy forbids it, if it does."""

    token: str
    id: str
    image: str | None
    weight: float
    reason: str | None


def audit(
    folder: Path,
    engine: Engine,
    tokens: tuple[str, ...] = (),
    vocabulary: Vocabulary | None = None,
) -> Iterator[Holder]:
    """The documents of a job's index, whoever wrote them, that hold these tokens; those that the
    job's policy forbids where none is given. vocabulary: that of the job's model if None.

    Raises UsageError where there is nothing to look for or a token is none of the model's,
    DestinationError where the index is gone.
    """
    past = jobs.load(folder)
    settings, fields = past.settings, past.settings.fields
    must_be_own(past.folder, settings, engine, engine.info.url, settings.index)
    kept = past.folder / KEPT_AS
    reasons = forbidden(kept) if kept.exists() else {}
    wanted = tokens or tuple(reasons)
    if not wanted:
        raise UsageError(f"the policy of {past.folder} forbids nothing: name a --token")
    check_known(wanted, vocabulary or load(settings.model).vocabulary, "--token")
    refresh(engine, settings.index)
    photos = photos_in(engine.mapping(settings.index), fields)
    names = fields.in_photos() if photos else fields
    for token in wanted:
        for model in engine.models(settings.index, names.token):
            rule: Query = HasToken(token, model, field=names.token)
            query = Bool(filter=(BestPhoto(rule, photos) if photos else rule,))
            for name, found in engine.scan(settings.index, [names.token, names.image], query):
                for one in found[photos] if photos else [found]:
                    weight = stored_weights(one[fields.token]).get(escape(token))
                    if weight is not None:
                        image = one.get(fields.image)
                        yield Holder(token, name, image, float(weight), reasons.get(token))
