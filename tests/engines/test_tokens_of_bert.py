"""Each token of BERT is stored and found again, on every engine: the escaping holds."""

from __future__ import annotations

from stair_search import load_encoder
from stair_search.engines import Document, Engine
from stair_search.queries import Bool, Constant, Tokens
from stair_search.vocabulary import escape, unescape

CHUNK = 1_000  # an engine takes 1,024 clauses
MODEL = "m"


def weight(place: int) -> float:
    return 0.5 + place % 97 / 64


def test_every_token_is_found_again(engine: Engine, index: str) -> None:
    tokens = load_encoder().vocabulary.tokens
    assert len(tokens) == 30_522
    documents, queries = [], []
    for start in range(0, len(tokens), CHUNK):
        chunk = tokens[start : start + CHUNK]
        weights = {token: weight(start + place) for place, token in enumerate(chunk)}
        stored = {escape(token): value for token, value in weights.items()}
        documents.append(Document(str(start), {"stair": [stored], "stair_model": MODEL}))
        queries.append((str(start), weights, Tokens.of(dict.fromkeys(chunk, 1.0), MODEL)))
    assert all(outcome.ok for outcome in engine.bulk(index, documents))
    engine.refresh(index)
    found: list[str] = []
    for name, weights, query in queries:
        hits = engine.search(index, Bool(should=(query,), must_not=()))
        assert hits.total == 1  # no token of a chunk is found in another's document
        (hit,) = hits.hits
        assert hit.id == name
        assert {reason.token: reason.image for reason in hit.why} == weights
        # the engine's own score, not only what is read from _source
        assert abs(hit.score - sum(weights.values())) < 1e-4 * hit.score
        found += [reason.token for reason in hit.why]
        source = engine.get(index, name) or {}
        assert {unescape(key) for key in source["stair"][0]} == set(weights)
    assert sorted(found) == sorted(tokens)


def test_each_of_the_three_tokens_with_a_dot(engine: Engine, index: str) -> None:
    """One by one: among a thousand others a loss of one could hide in the rounding."""
    for place, token in enumerate((".", "...", "##.", "_", "[PAD]", "##s", "ü", "日")):
        document = Document(f"d{place}", {"stair": [{escape(token): 1.0}], "stair_model": MODEL})
        assert engine.bulk(index, [document])[0].ok
    engine.refresh(index)
    for place, token in enumerate((".", "...", "##.", "_")):
        hits = engine.search(index, Constant(Tokens.of({token: 1.0}, MODEL)))
        assert [hit.id for hit in hits.hits] == [f"d{place}"], token
