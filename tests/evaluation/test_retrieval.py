"""R@K against a brute force in double precision, and measured through the engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stair_search.encoders import load_encoder
from stair_search.errors import UsageError
from stair_search.evaluation.measure import encode_photos, measure
from stair_search.evaluation.pairs import read_pairs
from stair_search.evaluation.retrieval import CUTS, Recalls, mean_recall, recalls
from stair_search.tokens import TokenWeights, truncate


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
    assert list(recalls(rankings, answers)) == pytest.approx(brute_force(scores, right))


def test_a_question_without_hits_is_missed_and_none_is_refused() -> None:
    assert recalls([[], [1]], [{1}, {1}]) == Recalls(50, 50, 50)
    assert mean_recall(Recalls(0, 50, 100), Recalls(50, 50, 50)) == 50
    with pytest.raises(ValueError, match="no questions"):
        recalls([], [])


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

    def decode(data: bytes) -> Image.Image:
        from io import BytesIO

        return Image.open(BytesIO(data)).convert("RGB")

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
    assert found.image_tokens <= 96 and found.text_tokens <= 32
