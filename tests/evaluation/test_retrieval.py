"""R@K against a brute force in double precision, and measured through the engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stair_search.encoders import load_encoder
from stair_search.errors import UsageError
from stair_search.evaluation.encode import encode_photos
from stair_search.evaluation.measure import measure
from stair_search.evaluation.pairs import read_pairs
from stair_search.evaluation.retrieval import (
    CUTS,
    MISSED,
    Ranks,
    Recalls,
    best_ranks,
    mean_recall,
    ranks,
    ranks_of,
)
from stair_search.evaluation.vectors import stack
from stair_search.tokens import TokenWeights, truncate

from .conftest import decode, sparse_rows
from .dense import TinyDense


def brute_force(scores: np.ndarray, right: np.ndarray) -> list[float]:
    """R@K from float64 scores [q, d] and truth [q, d]: rank 1 + number of better documents."""
    found = []
    for k in CUTS:
        hits = 0
        for row, truth in zip(scores.astype(np.float64), right, strict=True):
            best = max(row[truth])
            hits += 1 + sum(row > best) <= k
        found.append(100 * hits / len(scores))
    return found


def test_recalls_agree_with_brute_force() -> None:
    chance = np.random.default_rng(3)
    scores = chance.normal(size=(200, 60))
    right = chance.random((200, 60)) < 0.05
    right[np.arange(200), chance.integers(60, size=200)] = True
    rankings = np.argsort(-scores, axis=1)[:, :10].tolist()
    answers = [set(np.flatnonzero(truth).tolist()) for truth in right]
    found = Recalls.of(ranks_of(rankings, answers))
    assert list(found) == pytest.approx(brute_force(scores, right))


def of_ir_measures(scores: np.ndarray, right: np.ndarray) -> list[float]:
    """Success@K by ir_measures, where a wrong answer of the same score is ranked a trace higher."""
    import ir_measures
    from ir_measures import Qrel, ScoredDoc, Success

    worse = np.where(right, scores - 1e-4, scores)  # trec_eval compares single floats
    asked, documents = scores.shape
    every = [(q, d) for q in range(asked) for d in range(documents)]
    found = ir_measures.calc_aggregate(
        [Success @ k for k in CUTS],
        [Qrel(str(q), str(d), int(right[q, d])) for q, d in every],
        [ScoredDoc(str(q), str(d), float(worse[q, d])) for q, d in every],
    )
    return [100 * found[Success @ k] for k in CUTS]


@pytest.mark.parametrize("cosine", [True, False])
def test_ranks_of_vectors_agree_with_ir_measures_ties_included(cosine: bool) -> None:
    chance = np.random.default_rng(8)
    owner = np.concatenate([np.arange(40), chance.integers(40, size=60)])
    for sparse in (True, False):
        if sparse:
            rows, texts = sparse_rows(chance, 40, 6, 2), sparse_rows(chance, 100, 6, 2)
            images, captions = stack(rows, 6), stack(texts, 6)
            dense = images.toarray(), captions.toarray()
        else:  # small whole numbers tie; squares whose roots are whole keep cosines exact
            images = chance.integers(-1, 2, size=(40, 4)).astype(np.float32)
            captions = chance.integers(-1, 2, size=(100, 4)).astype(np.float32)
            images[(images**2).sum(1) != 4] = captions[(captions**2).sum(1) != 4] = 1
            dense = images, captions
        found = ranks(images, captions, owner.tolist(), cosine)
        a, b = dense
        if cosine:
            a, b = (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9) for x in dense)
        scores = np.round((b @ a.T).astype(np.float64), 5)
        right = owner[:, None] == np.arange(40)
        tied = sum(len(np.unique(row)) < len(row) for row in scores)
        assert tied == len(scores)
        for mine, s, r in (
            (found.text_to_image, scores, right),
            (found.image_to_text, scores.T, right.T),
        ):
            theirs = of_ir_measures(s, r)
            # what shares nothing with the question is no hit, whoever else shares nothing
            assert list(Recalls.of(mine)) == pytest.approx(theirs)
            assert not sparse or (mine == MISSED).any()


def test_wrong_answers_of_the_same_score_stand_before_the_right_one() -> None:
    scores = np.array([[3.0, 3, 3, 1], [0, 0, 0, 0]])
    right = np.array([[False, True, False, True], [True, False, False, False]])
    assert best_ranks(scores, right).tolist() == [3, 4]
    assert best_ranks(scores, right, sparse=True).tolist() == [3, MISSED]
    with pytest.raises(ValueError, match="question 1 has no right answer"):
        best_ranks(scores, right & np.array([[True], [False]]))


def test_a_dense_model_is_measured_by_cosine(
    tiny_dense: TinyDense, pairs_file: Path, package_photos: list[Path]
) -> None:
    pairs = read_pairs(pairs_file, package_photos[0].parent)
    told: list[int] = []
    photos = encode_photos(tiny_dense, pairs.photos, decode, told.append)
    assert photos.shape == (5, 16) and told == [5]
    found = measure(tiny_dense, pairs, photos).to_dict()
    assert found["active_tokens"] == {"image": None, "text": None}
    assert (found["dimensions"], found["ranked_by"], found["text_encoder"]) == (
        16,
        "cosine",
        "neural",
    )
    vectors = tiny_dense.encode_texts(pairs.captions)
    expected = ranks(photos, vectors, pairs.owner)
    assert found["text_to_image"] == Recalls.of(expected.text_to_image).to_dict()


def test_intervals_hold_the_figures() -> None:
    chance = np.random.default_rng(4)
    found = Ranks(chance.integers(1, 20, 300), chance.integers(1, 20, 100))
    from stair_search.evaluation.retrieval import intervals

    ways, _ = intervals(found, np.repeat(np.arange(100), 3).tolist())
    for name, value in Recalls.of(found.text_to_image).to_dict().items():
        low, high = ways["text_to_image"][name]
        assert low < value < high


def test_a_question_without_hits_is_missed_and_none_is_refused() -> None:
    assert Recalls.of(ranks_of([[], [1]], [{1}, {1}])) == Recalls(50, 50, 50)
    assert mean_recall(Recalls(0, 50, 100), Recalls(50, 50, 50)) == 50
    with pytest.raises(ValueError, match="no questions"):
        Recalls.of(ranks_of([], []))


@pytest.fixture
def pairs_file(tmp_path: Path, package_photos: list[Path]) -> Path:
    captions = {
        "chelsea": ["a cat looks at you", "a small brown cat"],
        "coffee": ["a cup of coffee on a table"],
        "rocket": ["a rocket starts from a tower"],
        "flower": ["a red flower"],
        "motorcycle_left": ["a motorcycle in a garage", "an old motorcycle"],
    }
    rows = ["image,caption,split"]
    for photo in package_photos:
        for caption in captions.get(photo.stem.partition("-")[2], []):
            rows.append(f"{photo.name},{caption},{'val' if 'flower' in photo.stem else 'test'}")
    file = tmp_path / "captions.csv"
    file.write_text("\n".join(rows) + "\n")
    return file


def test_the_engine_ranks_as_its_formula_says(pairs_file: Path, package_photos: list[Path]) -> None:
    encoder = load_encoder(threads=1)
    pairs = read_pairs(pairs_file, package_photos[0].parent)
    assert (len(pairs.photos), len(pairs.captions)) == (5, 7)

    photos = encode_photos(encoder, pairs.photos, decode)
    found = measure(encoder, pairs, photos)
    texts = encoder.encode_texts(pairs.captions)

    def score(asked: TokenWeights, stored: TokenWeights) -> np.float32:
        held = dict(zip(stored.ids.tolist(), truncate(stored.weights), strict=True))
        parts = zip(asked.ids.tolist(), asked.weights, strict=True)
        return np.float32(sum(float(q * held[i]) for i, q in parts if i in held))

    owner = np.array(pairs.owner)
    right = owner[:, None] == np.arange(len(photos))
    forth = np.array([[score(text, photo) for photo in photos] for text in texts])
    back = np.array([[score(photo, text) for text in texts] for photo in photos])
    assert list(found.text_to_image) == pytest.approx(brute_force(forth, right))
    assert list(found.image_to_text) == pytest.approx(brute_force(back, right.T))
    assert found.text_to_image.at_1 > 50
    assert found.to_dict()["active_tokens"]["image"] <= 96
    assert found.to_dict()["text_to_image"].keys() == {"R@1", "R@5", "R@10"}


def test_a_split_is_chosen(pairs_file: Path, package_photos: list[Path]) -> None:
    assert len(read_pairs(pairs_file, package_photos[0].parent, "val").captions) == 1


@pytest.mark.parametrize(
    ("text", "split", "message"),
    [
        ("photo,caption\na,b\n", None, "lacks the column 'image'"),
        ("image,caption\na.jpg,b\n", "test", "lacks the column 'split'"),
        ("image,caption\n", None, "has no captions"),
        ("image,caption\na.jpg,\n", None, "line 2: a row needs image and caption"),
        ("image,caption\nnone.jpg,a dog\n", None, "lacks 1 photos"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, text: str, split: str | None, message: str) -> None:
    (tmp_path / "captions.csv").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_pairs(tmp_path / "captions.csv", tmp_path, split)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_pairs(tmp_path / "captions.csv", tmp_path)


@pytest.mark.slow
def test_figures_of_the_shipped_model_hold(shared_data: Path) -> None:
    """On COCO's 150 validation photos; the test split stays for the benchmark."""
    from stair_search.ingest.decode import decode

    encoder = load_encoder()
    folder = shared_data / "coco-captions"
    pairs = read_pairs(folder / "captions.csv", folder / "images", "val")
    found = measure(encoder, pairs, encode_photos(encoder, pairs.photos, decode))
    assert mean_recall(found.text_to_image, found.image_to_text) > 70
    active = found.to_dict()["active_tokens"]
    assert active["image"] <= 96 and active["text"] <= 32
