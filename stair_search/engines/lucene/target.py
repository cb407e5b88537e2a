"""What the compiler knows of the index that is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from stair_search.engines.lucene import similarity
from stair_search.mappings import DATE_TYPES


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
