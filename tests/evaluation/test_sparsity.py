from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stair_search.encoders import Encoder
from stair_search.evaluation import grounding as g
from stair_search.evaluation.pairs import Pairs
from stair_search.evaluation.sparsity import sparsity
from stair_search.evaluation.text_free import MaskText
from stair_search.evaluation.vectors import stack
from stair_search.tokens import TokenWeights
from stair_search.vocabulary import Vocabulary

from .conftest import sparse_rows


def test_flops_is_the_mean_number_of_products_of_a_score() -> None:
    chance = np.random.default_rng(9)
    images = stack(sparse_rows(chance, 40, 30), 30)
    texts = stack(sparse_rows(chance, 70, 30), 30)
    found = sparsity(images, texts)
    products = [int(((q > 0) & (d > 0)).sum()) for q in texts.toarray() for d in images.toarray()]
    assert found.flops == pytest.approx(np.mean(products))
    dense = sparsity(images.toarray(), texts.toarray())
    assert dense.flops == pytest.approx(found.flops)
    assert dense.images.to_dict() == found.images.to_dict()


def test_a_side_in_figures() -> None:
    words = Vocabulary(["cat", "dog", "sand", "bus"])
    rows = [{"cat": 1.0}, {"cat": 2.0, "dog": 1.0}, {"cat": 1.0, "dog": 3.0, "sand": 1.0}, {}]
    found = sparsity(
        stack([words.from_dict(row) for row in rows], 4), stack([words.from_dict(rows[0])], 4)
    )
    told = found.images.to_dict()
    assert told["mean"] == 1.5 and told["median"] == 1.5 and told["most"] == 3
    assert (told["empty"], told["dead"], told["alive"]) == (1, 1, 3)
    assert told["histogram"] == [
        {"from": 0, "rows": 1},
        {"from": 1, "rows": 1},
        {"from": 2, "rows": 2},
    ]
    assert found.to_dict(words)["ubiquitous"] == {"cat": 75.0, "dog": 50.0}
    assert found.flops == 0.75
    with pytest.raises(ValueError, match="of nothing"):
        sparsity(stack([], 4), stack([], 4))


WORDS = Vocabulary(["cat", "dog", "sand", "eminent"])


def world(dog: str, cat: str) -> tuple[object, Pairs]:
    """Twelve photos of dogs and twelve of cats; which token a model uses for them is given."""
    captions = ["two dogs"] * 12 + ["a cat, eminent"] * 12
    rows = [{dog: 1.0 + i / 100, "sand": 0.1} for i in range(12)] + [{cat: 1.0}] * 12
    pairs = Pairs([Path(str(i)) for i in range(24)], captions, list(range(24)))
    return stack([WORDS.from_dict(row) for row in rows], 4), pairs


def test_a_token_is_grounded_where_its_photos_say_the_word() -> None:
    images, pairs = world("dog", "cat")
    found = g.grounding(images, g.said(pairs, WORDS), WORDS).to_dict(WORDS)
    assert (found["tokens"], found["precision"], found["chance"]) == (2, 100, 50)
    shifted, _ = world("cat", "dog")  # the model makes new use of both words
    wrong = g.grounding(shifted, g.said(pairs, WORDS), WORDS).to_dict(WORDS)
    assert wrong["precision"] == 0 and list(wrong["worst"]) == ["cat", "dog"]


def test_drift_is_what_tokens_stand_for_before_and_after() -> None:
    before, _ = world("dog", "cat")
    after, _ = world("eminent", "cat")
    assert g.drift(before, before) == 0
    assert g.drift(before, after) == pytest.approx(2 / 4)  # dog and eminent; cat and sand stay
    with pytest.raises(ValueError, match="differ"):
        g.drift(before, stack([], 4))


def test_own_share_is_the_weight_on_own_words() -> None:
    images, pairs = world("dog", "eminent")
    said = g.said(pairs, WORDS)
    weights = images.toarray()  # type: ignore[attr-defined]
    expected = [row[i] / row.sum() for row, i in zip(weights, [1] * 12 + [3] * 12, strict=True)]
    assert g.own_share(images, said) == pytest.approx(100 * np.mean(expected))
    assert g.own_share(stack([TokenWeights.empty()], 4), said[:1]) == 0
    tokens = g.own_tokens(["a dog", "xyz"], WORDS).toarray()
    assert tokens.tolist() == [[False, True, False, False], [False] * 4]


def test_tokens_that_hardly_appear_apart_are_told() -> None:
    images, _ = world("dog", "cat")
    found = g.together(images)
    assert found.to_dict(WORDS) == {
        "pairs": 1,
        "tokens": 2,
        "strongest": [{"tokens": ["dog", "sand"], "jaccard": 1.0}],
    }
    assert g.together(images, least=13).pairs == 0


def test_text_without_an_encoder_is_its_own_tokens(starter: Encoder) -> None:
    free = MaskText(starter)
    (tokens,) = free.encode_texts(["The dog, the puppy"])
    assert set(free.vocabulary.to_dict(tokens)) == {"the", "dog", ",", "puppy"}
    assert np.allclose(tokens.weights, 0.5)
    assert len(free.encode_texts([""])[0]) == 0
    assert free.fingerprint == starter.fingerprint


def test_a_token_is_judged_by_the_photos_on_which_it_is_strongest() -> None:
    captions = ["a dog"] * 12 + ["a cat"] * 12
    pairs = Pairs([Path(str(i)) for i in range(24)], captions, list(range(24)))
    rows = [{"dog": 1.0}] * 9 + [{"dog": 0.1}] * 3 + [{"dog": 0.5}] * 12
    found = g.grounding(stack([WORDS.from_dict(r) for r in rows], 4), g.said(pairs, WORDS), WORDS)
    assert found.tokens.tolist() == [WORDS.id("dog")]
    assert found.precision.tolist() == [0.9]  # nine dogs, and the first of the cats
