"""A boost on text means the same whatever the index's similarity puts before it."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest

from stair_search.engines import Document, Hits, connect
from stair_search.engines.embedded.bm25 import length_byte, length_of
from stair_search.engines.lucene.similarity import divisor
from stair_search.mappings import index_body
from stair_search.queries import Match

pytestmark = pytest.mark.engines
TEXTS = ["a dog", "a dog and a dog on the beach", "the cat", "beach", " ".join(["dog cat"] * 90)]
QUERY = Match("caption", "dog on a beach", 0.7)


def asked(url: str, index: str, similarity: dict[str, Any], field: str | None = None) -> Hits:
    engine = connect(url)
    body = index_body(engine.info.product, shards=1, replicas=0)
    if similarity:
        body["settings"]["index"]["similarity"] = similarity
    if field:
        body["mappings"]["properties"]["caption"]["similarity"] = field
    engine.create(index, body)
    engine.bulk(index, [Document(str(i), {"caption": text}) for i, text in enumerate(TEXTS)])
    engine.refresh(index)
    return engine.search(index, QUERY)


def scores(hits: Hits) -> dict[str, float]:
    for hit in hits.hits:
        assert sum(r.score for r in hit.why) == pytest.approx(hit.score, rel=1e-6)
        assert [r.query for r in hit.why] == pytest.approx([0.7] * len(hit.why))
    return {hit.id: hit.score for hit in hits.hits}


def test_one_convention(
    opensearch2_url: str,
    opensearch_url: str,
    elasticsearch7_url: str,
    index_name: str,
    tmp_path: Any,
) -> None:
    wanted = scores(asked(f"sqlite:{tmp_path}/stair.db", "photos", {}))
    assert len(wanted) == 4
    same: list[tuple[str, dict[str, Any], str | None]] = [
        (opensearch2_url, {}, None),
        (opensearch_url, {}, None),
        (opensearch_url, {"default": {"type": "LegacyBM25"}}, None),
        (opensearch_url, {"mine": {"type": "LegacyBM25", "k1": 1.2}}, "mine"),
        (opensearch_url, {"default": {"type": "LegacyBM25", "k1": 9}}, "BM25"),
        (elasticsearch7_url, {}, None),
        (elasticsearch7_url, {"default": {"type": "BM25", "b": 0.75}}, "default"),
    ]
    for place, (url, similarity, field) in enumerate(same):
        got = scores(asked(url, f"{index_name}-{place}", similarity, field))
        assert got == pytest.approx(wanted, rel=1e-6), (url, similarity, field)
    # another k1 gives other scores, but the same ones on all
    k1 = {"default": {"type": "BM25", "k1": 2.0}}
    legacy = {"mine": {"type": "LegacyBM25", "k1": 2.0}}
    other = scores(asked(opensearch_url, f"{index_name}-k1", k1))
    assert other != pytest.approx(wanted, rel=1e-3)
    for place, (url, similarity, field) in enumerate(
        [
            (opensearch_url, legacy, "mine"),
            (opensearch2_url, k1, None),
            (elasticsearch7_url, k1, None),
        ]
    ):
        got = scores(asked(url, f"{index_name}-k1-{place}", similarity, field))
        assert got == pytest.approx(other, rel=1e-6), (url, similarity)


def test_the_divisor_of_other_similarities() -> None:
    types = {"caption": {"type": "text", "similarity": "boolean"}}
    assert divisor(True, {}, types, "caption") == 1
    assert divisor(False, {}, {}, "caption") == 1
    assert divisor(True, {"similarity": {"default": {"k1": "0.2"}}}, {}, "caption") == 1.2
    dfr = {"similarity": {"default": {"type": "DFR"}}}
    assert divisor(True, dfr, {}, "caption") == 1


def test_lengths_in_a_byte() -> None:
    """SmallFloat: 256 lengths, rising, each the largest that is not above the true one."""
    table = [length_of(byte) for byte in range(256)]
    assert table == sorted(set(table))
    assert table[:41] == list(range(41))
    assert table[-1] == 2_013_265_944
    for length in (*range(3_000), 10**6, 2**31 - 1):
        byte = length_byte(length)
        assert table[byte] <= length
        assert byte == 255 or table[byte + 1] > length


def test_the_engine_takes_the_printed_body(
    opensearch_url: str, elasticsearch7_url: str, index_name: str
) -> None:
    for url in (opensearch_url, elasticsearch7_url):
        hits = asked(url, index_name, {})
        body = json.dumps(connect(url).body(QUERY, index=index_name)).encode()
        request = urllib.request.Request(
            f"{url}/{index_name}/_search", body, {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            found = json.load(answer)["hits"]["hits"]
        assert [one["_id"] for one in found] == [hit.id for hit in hits.hits]
        assert [one["_score"] for one in found] == pytest.approx([h.score for h in hits.hits])
