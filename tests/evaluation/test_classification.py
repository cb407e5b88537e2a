"""Zero-shot accuracy and probe against scikit-learn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import top_k_accuracy_score
from sklearn.preprocessing import StandardScaler

from stair_search.encoders import DenseEncoder, Encoder, load_any_encoder
from stair_search.errors import UsageError
from stair_search.evaluation.classification import class_vectors, classify
from stair_search.evaluation.encode import encode_photos
from stair_search.evaluation.interpretability import token_vectors
from stair_search.evaluation.probe import probe, split
from stair_search.evaluation.vectors import stack, unit

from .conftest import decode, sparse_rows
from .dense import TinyDense


def test_top_k_is_scikit_learns_with_ties_against_the_model() -> None:
    chance = np.random.default_rng(6)
    photos, classes = sparse_rows(chance, 300, 8, 2), sparse_rows(chance, 12, 8, 2)
    labels = chance.integers(12, size=300)
    found = classify(stack(photos, 8), stack(classes, 8), labels)
    a, b = unit(stack(photos, 8).toarray()), unit(stack(classes, 8).toarray())
    scores = (a @ b.T).astype(np.float64)
    scores[np.arange(300), labels] -= 1e-5  # a class of the same score stands before
    for k in (1, 5):
        theirs = 100 * top_k_accuracy_score(labels, scores, k=k, labels=np.arange(12))
        assert found.top(k) == pytest.approx(theirs)
    low, high = found.to_dict()["intervals"]["top-1"]
    assert low < found.top(1) < high


def test_a_class_is_the_mean_of_its_prompts_unit_vectors(
    starter: Encoder, tiny_dense: TinyDense
) -> None:
    names, templates = ["dog", "red bus"], ("a {}", "{} on the beach", "the {}")
    for encoder in (starter, tiny_dense):
        found = class_vectors(encoder, names, templates)
        for name, mine in zip(names, found.toarray() if encoder is starter else found, strict=True):
            each = unit(
                stack(encoder.encode_texts([t.replace("{}", name) for t in templates]), 30522)
            )
            mean = np.asarray((each.toarray() if encoder is starter else each).mean(0))
            np.testing.assert_allclose(mine, mean / np.linalg.norm(mean), atol=1e-6)


@pytest.mark.train
@pytest.mark.parametrize("kind", ["stair", "clip"])
def test_the_prompt_of_captions_is_before_neither_templates_nor_tokens(
    kind: str, tmp_path: Path
) -> None:
    from stair_search.models import save_pretrained
    from tests.models.tiny import model

    encoders: list[Encoder | DenseEncoder] = []
    for prompt in ("", "a photo of "):
        made = model(kind)
        made.config = replace(made.config, text=replace(made.config.text, prompt=prompt))
        save_pretrained(made, tmp_path / f"m{len(encoders)}")
        encoders.append(load_any_encoder(str(tmp_path / f"m{len(encoders)}"), device="cpu"))
    plain, prompted = encoders

    def dense(encoder: Encoder | DenseEncoder, *texts: str) -> np.ndarray:
        found = stack(encoder.encode_texts(texts), len(encoder.vocabulary))
        return np.asarray(found if kind == "clip" else found.toarray())

    np.testing.assert_array_equal(dense(prompted, "dog"), dense(plain, "a photo of dog"))
    assert not np.allclose(dense(prompted, "dog"), dense(plain, "dog"))
    mine, theirs = (class_vectors(one, ["dog"], ("a photo of a {}.",)) for one in encoders)
    assert abs(mine - theirs).max() == 0
    if kind == "clip":
        np.testing.assert_array_equal(token_vectors(plain), token_vectors(prompted))


def test_a_class_that_says_nothing_is_nobodys(starter: Encoder) -> None:
    classes = class_vectors(starter, ["the", "dog"], ("{}",))
    photos = stack(starter.encode_texts(["a dog", "a dog"]), 30522)
    assert classify(photos, classes, np.array([0, 1])).ranks.tolist() == [2, 1]


def test_the_starter_tells_real_photos_apart(starter: Encoder, package_photos: list[Path]) -> None:
    names = {"chelsea": "cat", "coffee": "cup of coffee", "motorcycle_left": "motorcycle"}
    files = [p for p in package_photos if p.stem.partition("-")[2] in names]
    known = sorted(set(names.values()))
    labels = np.array([known.index(names[p.stem.partition("-")[2]]) for p in files])
    photos = stack(encode_photos(starter, files, decode), 30522)
    found = classify(photos, class_vectors(starter, known, ("a photo of a {}.",)), labels)
    assert (len(files), found.top(1)) == (3, 100)


def blobs(chance: np.random.Generator, labels: np.ndarray, v: int) -> np.ndarray:
    centres = chance.random((labels.max() + 1, v)) < 0.3
    noise = chance.random((len(labels), v)) < 0.2
    weights = chance.random((len(labels), v)).astype(np.float32)
    return np.asarray(weights * (centres[labels] ^ noise), np.float32)


@pytest.mark.parametrize("sparse", [True, False])
def test_the_probe_is_scikit_learns_at_its_strength(sparse: bool) -> None:
    chance = np.random.default_rng(7)
    labels = chance.integers(5, size=200)
    dense = blobs(chance, labels, 30)
    dense[:, 3] = 0  # a token that no photo has
    train, test = split(labels, 0.5, seed=1)
    found = probe(stack([*map(_tokens, dense)], 30) if sparse else dense, labels, train, test, 1)
    known = dense if sparse else StandardScaler().fit(dense[train]).transform(dense)
    theirs = LogisticRegression(C=found.strength, max_iter=300).fit(known[train], labels[train])
    assert found.top_1 == pytest.approx(100 * theirs.score(known[test], labels[test]))
    assert found.top_1 > 60 and found.converged
    assert found.to_dict()["train"] == 100


def _tokens(row: np.ndarray):  # type: ignore[no-untyped-def]
    from stair_search.tokens import TokenWeights

    return TokenWeights.from_dense(row)


def test_splits_are_seeded_stratified_and_refused_where_impossible() -> None:
    labels = np.repeat(np.arange(4), 10)
    train, test = split(labels, 0.7, seed=3)
    assert np.bincount(labels[train]).tolist() == [7] * 4
    assert sorted([*train, *test]) == list(range(40))
    assert split(labels, 0.7, seed=3)[0].tolist() == train.tolist()
    assert split(labels, 0.7, seed=4)[0].tolist() != train.tolist()
    with pytest.raises(UsageError, match=r"cannot be split, 50% .* \(the smallest has 1\)"):
        split(np.array([0, 0, 1]), 0.5)
    for photos in (1, 8):
        with pytest.raises(UsageError, match=f"{photos} photos of 1 classes .* needs two classes"):
            split(np.zeros(photos, np.int64), 0.5)
