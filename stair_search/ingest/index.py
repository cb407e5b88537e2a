"""The index that a job writes to: made where it is missing, held to the model where it is there."""

from __future__ import annotations

from collections.abc import Sequence

from stair_search.engines.base import Engine
from stair_search.errors import ModelError
from stair_search.mappings import differences, index_body

from .encoder import Encoder
from .job import JobSettings


def make_ready(
    engine: Engine, job: JobSettings, encoder: Encoder, columns: Sequence[str]
) -> str | None:
    """Makes a missing index (not in a dry run); a line that says so, None where it was there.

    Raises ModelError where the index holds another model's tokens or cannot hold tokens.
    """
    place = f"index {job.index!r} in {engine.info.url}"
    if not engine.exists(job.index):
        if job.dry_run:
            return f"{place} would be made"
        kinds = dict.fromkeys(columns, "keyword")
        engine.create(job.index, index_body(engine.info.product, job.fields, kinds))
        return f"{place} made"
    amiss = differences(engine.mapping(job.index), index_body(engine.info.product, job.fields))
    if amiss:
        raise ModelError(f"{place} cannot hold these photos: {'; '.join(amiss)}")
    others = sorted(set(engine.models(job.index, job.fields.token)) - {encoder.fingerprint})
    if others:
        raise ModelError(
            f"{place} holds tokens of model {', '.join(others)}; {encoder.name} is "
            f"{encoder.fingerprint}, and scores of two models cannot be compared: name another "
            f"index, or the model that made this one"
        )
    return None
