"""How an index scores text, so that a boost on it means the same everywhere.

Lucene's BM25 since version 8 is without the constant factor k1 + 1; Elasticsearch, and OpenSearch
before 3, put it back ("LegacyBM25").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_K1 = 1.2


def divisor(
    legacy: bool, settings: Mapping[str, Any], types: Mapping[str, Any], field: str
) -> float:
    """What the scores of a text field are too large by.

    legacy: whether "BM25" means LegacyBM25 on this server. settings: the `index` part of the index
    settings. types: field -> its mapping.

    >>> divisor(True, {}, {}, "caption")
    2.2
    """
    named: Mapping[str, Any] = settings.get("similarity", {})
    name = types.get(field, {}).get("similarity", "default")
    chosen = named.get(name, {})
    kind = chosen.get("type", "BM25" if name == "default" else name)
    if kind == "LegacyBM25" or (legacy and kind == "BM25"):
        return float(chosen.get("k1", _K1)) + 1
    return 1.0
