"""Ranks in the whole vocabulary against a brute force."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stair_search.encoders import Encoder
from stair_search.errors import UsageError
from stair_search.evaluation import interpretability as it
from stair_search.evaluation.encode import encode_photos
from stair_search.evaluation.nouns import nouns, nouns_of
from stair_search.evaluation.pairs import Pairs
from stair_search.evaluation.vectors import stack
from stair_search.vocabulary import Vocabulary

from .conftest import decode, sparse_rows
from .dense import TinyDense

WORDS = Vocabulary(["cat", "dog", "##s", "sand", "bus", "'", "red", "beach"])


def brute_force(row: np.ndarray, ids: set[int], aside: set[int]) -> int:
    """Sort all candidates, wrong ones first among equals; the place of the first right one."""
    order = sorted(
        (i for i in range(len(row)) if i in ids or i not in aside),
        key=lambda i: (-row[i], i in ids),
    )
    return next(place for place, i in enumerate(order, 1) if i in ids)


@pytest.mark.parametrize("filtered", [False, True])
def test_ranks_are_those_of_a_sorted_list(filtered: bool) -> None:
    chance = np.random.default_rng(3)
    rows = sparse_rows(chance, 60, 20, 3)
    photos = stack(rows, 20)
    asked, aside = [], []
    for _ in range(150):
        asked.append((int(chance.integers(60)), frozenset(chance.integers(20, size=2).tolist())))
        aside.append(frozenset(chance.integers(20, size=5).tolist()))
    found = it.rank(photos, asked, None, aside if filtered else None)
    dense = photos.toarray()
    expected = [
        brute_force(dense[photo], set(ids), set(out) if filtered else set())
        for (photo, ids), out in zip(asked, aside, strict=True)
    ]
    assert found.ranks.tolist() == expected
    told = found.to_dict()
    assert told["questions"] == 150 and told["images"] == len({photo for photo, _ in asked})
    assert told["top-10"] == pytest.approx(100 * np.mean([rank <= 10 for rank in expected]))
    assert told["intervals"]["top-10"][0] < told["top-10"] < told["intervals"]["top-10"][1]


def test_labels_of_several_pieces_take_their_best_one() -> None:
    photos = stack([WORDS.from_dict({"dog": 2, "##s": 1, "'": 9, "sand": 1.5})], len(WORDS))
    for label, rank in (("dogs", 2), ("red sand", 3), ("cat", 8), ("dog's", 2)):
        found = it.of_labels(photos, np.array([0]), [label], WORDS)
        assert found.ranks.tolist() == [rank], label
    with pytest.raises(UsageError, match="class name \"''\" has no token"):
        it.of_labels(photos, np.array([0]), ["''"], WORDS)


def test_true_nouns_do_not_beat_each_other() -> None:
    photos = stack([WORDS.from_dict({"dog": 3, "sand": 2, "red": 1, "beach": 0.5})], len(WORDS))
    assert it.of_nouns(photos, [["xyz"]], WORDS) is None
    found = it.of_nouns(photos, [["dog", "sand", "beach", "xyz"]], WORDS)
    assert found is not None
    assert found.any.ranks.tolist() == [1]
    assert found.each.ranks.tolist() == [1, 1, 2]


def test_dense_photos_are_ranked_by_cosine_with_every_token(
    tiny_dense: TinyDense, package_photos: list[Path]
) -> None:
    small = TinyDense(WORDS)
    tokens = it.token_vectors(small)
    assert tokens is not None and tokens.shape == (8, 16)
    assert np.array_equal(tokens[2], small.encode_texts(["s"])[0])
    photos = stack(encode_photos(small, package_photos[:4], decode), 0)
    labels, names = np.array([0, 1, 0, 1]), ["red bus", "dog"]
    found = it.of_labels(photos, labels, names, WORDS, tokens)
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (photos, tokens)]
    scores = unit[0] @ unit[1].T
    ids = [{WORDS.id("red"), WORDS.id("bus")}, {WORDS.id("dog")}]
    expected = [brute_force(scores[i], ids[label], set()) for i, label in enumerate(labels)]
    assert found.ranks.tolist() == expected and found.tokens == 8
    with pytest.raises(ValueError, match="dense photos need"):
        it.of_labels(photos, labels, names, WORDS)


def test_a_sparse_model_needs_no_text(starter: Encoder, package_photos: list[Path]) -> None:
    assert it.token_vectors(starter) is None
    files = [p for p in package_photos if "chelsea" in p.stem or "motorcycle_left" in p.stem]
    photos = stack(encode_photos(starter, files, decode), 30522)
    found = it.of_labels(photos, np.array([0, 1]), ["cat", "motorcycle"], starter.vocabulary)
    assert found.tokens == 30522 and (found.ranks <= 3).all()


def test_nouns_are_things_that_several_captions_name() -> None:
    assert nouns("A man in a red helmet on a small bike at the top of the hill.") == [
        "man",
        "helmet",
        "bike",
        "hill",
    ]
    captions = ["A dog runs on sand.", "The dog on a beach", "a brown dog near the beach", "A cat"]
    pairs = Pairs([Path("1"), Path("2")], captions, [0, 0, 0, 1])
    assert nouns_of(pairs) == [["dog", "beach"], ["cat"]]
    assert nouns_of(pairs, least=1)[0] == ["dog", "sand", "beach"]


@pytest.mark.slow
def test_the_starter_names_what_tiny_imagenet_shows(starter: Encoder, shared_data: Path) -> None:
    """Every tenth photo. Beside the figure belongs that its tower was trained on ImageNet."""
    from stair_search.evaluation.labelled import read_labelled

    data = read_labelled(shared_data / "tiny-imagenet")
    assert (len(data.photos), len(data.names)) == (2000, 200)
    data = data.part(np.arange(2000) % 10 == 0)
    photos = stack(encode_photos(starter, data.photos, decode), 30522)
    found = it.of_labels(photos, data.labels, data.names, starter.vocabulary)
    assert found.top(100) > 20 and found.top(1) < found.top(10) < found.top(100)
