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
    from ..engines.base import Engine, Hits
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
    if policy.only is not None and (left := len(scored & policy.only)) < len(scored):
        warn(f"policy {policy.name} lets ask for {left} of the question's {len(scored)} tokens")
    return governed


def facets_allowed(found: Hits, query: Query, fields: Fields) -> Hits:
    """Of the facets of tokens those that the query's policy lets ask for."""
    if not (found.facets and isinstance(query, Governed) and query.policy):
        return found
    allows, facets = query.policy.allows, dict(found.facets)
    for name in {fields.strongest, fields.in_photos().strongest} & facets.keys():
        facets[name] = [one for one in facets[name] if allows(str(one.value))]
    return found._replace(facets=facets)
