"""`--policy FILE` of a question: what an application allows, whatever was asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..engines.parts import nodes
from ..queries import Governed, Query, QueryPolicy, TokenField, Tokens
from ..queries.policy import Refused
from ..vocabulary import check_known
from .output import warn

if TYPE_CHECKING:
    from ..encoders import Encoder
    from ..engines.base import Engine
    from ..fields import Fields


def held_to(
    file: Path,
    query: Query,
    encoder: Encoder,
    engine: Engine,
    index: str,
    fields: Fields,
    photos: str | None,
) -> Governed:
    """The query under the policy in the file. Warns of what it does not let ask for.

    Raises UsageError for a file that is none, and for a token that the model does not have: it
    would forbid nothing.
    """
    policy = QueryPolicy.load(file)
    check_known(policy.tokens, encoder.vocabulary, str(file))
    field = f"{photos}.{fields.token}" if photos else fields.token
    models = engine.models(index, field) or [encoder.fingerprint]  # all that wrote here
    policy = replace(policy, held_in=tuple(TokenField(m, field, photos) for m in models))
    governed = policy.apply(query)
    scored = {t for one in nodes(query) if isinstance(one, Tokens) for t, _ in one.asked}
    refused = [one.token for one in nodes(governed) if isinstance(one, Refused)]
    away = list(dict.fromkeys([*(t for t in policy.forbid if t in scored), *refused]))
    if away:
        more = f" and {len(away) - 5} more" * (len(away) > 5)
        warn(f"policy {policy.name} does not let ask for {', '.join(away[:5])}{more}")
    return governed
