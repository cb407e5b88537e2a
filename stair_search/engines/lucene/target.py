"""What the compiler knows of the index that is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from stair_search.engines.base import EngineInfo
from stair_search.engines.lucene import similarity
from stair_search.mappings import DATE_TYPES

_HIDDEN_BY_DEFAULT = 9_035_000
"""Elasticsearch's `index.version.created` from which an index leaves vectors out of `_source`
(IndexVersions.EXCLUDE_SOURCE_VECTORS_DEFAULT, released with 9.2).
"""


def hides_vectors(info: EngineInfo, settings: Mapping[str, Any]) -> bool:
    """Whether `_source` comes back without vectors unless they are asked for, which only servers
    that hide them understand. A server may keep its version to itself, an index tells its own.

    settings: the `index` part of the index settings, empty where a role may not see them.
    """
    if info.product != "elasticsearch":
        return False
    said = settings.get("mapping", {}).get("exclude_source_vectors")
    created = settings.get("version", {}).get("created")
    if said is not None:
        return str(said) == "true"
    if created is not None:
        return int(created) >= _HIDDEN_BY_DEFAULT
    return bool(info.version) and info.number >= (9, 2)


class Target(NamedTuple):
    """legacy_bm25: whether "BM25" means LegacyBM25 there. settings: the `index` part of the index
    settings. types: field -> its mapping, empty where a role may not see it. hides_vectors: whether
    `_source` comes back without them unless asked for. number: major and minor version.
    neural_sparse: whether OpenSearch's query of this name asks for tokens.
    """

    legacy_bm25: bool = False
    settings: Mapping[str, Any] = {}
    types: Mapping[str, Mapping[str, Any]] = {}
    hides_vectors: bool = False
    product: str = "opensearch"
    number: tuple[int, int] = (99, 0)
    neural_sparse: bool = False

    def kind(self, field: str) -> str | None:
        """The type of a field."""
        return self.types.get(field, {}).get("type")

    def is_date(self, field: str) -> bool:
        """Whether it is a date in the usual format; of one of its own the engine knows more."""
        mapping = self.types.get(field, {})
        return mapping.get("type") in DATE_TYPES and "format" not in mapping

    def divisor(self, field: str) -> float:
        """What the scores of a text field are too large by."""
        return similarity.divisor(self.legacy_bm25, self.settings, self.types, field)


ANY = Target()
"""An index of which nothing is known."""
