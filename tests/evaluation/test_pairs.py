"""Karpathy's split files, benchmarks' galleries, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stair_search.errors import UsageError
from stair_search.evaluation.encode import encode_photos
from stair_search.evaluation.galleries import ALL, GALLERIES, Gallery, chosen, folds
from stair_search.evaluation.measure import measure
from stair_search.evaluation.pairs import Pairs, read_pairs
from stair_search.evaluation.retrieval import Recalls

from .conftest import decode
from .dense import TinyDense

PhotosAt = Callable[..., Path]


def coco(*images: tuple[str, str, str, list[str]]) -> dict[str, Any]:
    """As dataset_coco.json is: more keys than are read."""
    return {
        "dataset": "coco",
        "images": [
            {
                "filepath": path,
                "filename": name,
                "split": split,
                "imgid": number,
                "sentences": [{"raw": raw, "tokens": raw.split(), "sentid": 0} for raw in captions],
            }
            for number, (path, name, split, captions) in enumerate(images)
        ],
    }


@pytest.fixture
def split_file(tmp_path: Path, photos_at: PhotosAt) -> tuple[Path, Path]:
    folder = photos_at("val2014/1.jpg", "2.jpg", "val2014/3.jpg")
    content = coco(
        ("val2014", "1.jpg", "test", ["A dog.", "Ein Hund – schön."]),
        ("train2014", "2.jpg", "restval", ["A cat."]),  # a flat folder is found too
        ("val2014", "3.jpg", "train", ["A bus."]),
    )
    (tmp_path / "dataset_coco.json").write_text(json.dumps(content), "utf-8")
    return tmp_path / "dataset_coco.json", folder


def test_karpathys_file_is_read_with_its_splits(split_file: tuple[Path, Path]) -> None:
    file, folder = split_file
    test = read_pairs(file, folder, "test")
    assert test == Pairs([folder / "val2014/1.jpg"], ["A dog.", "Ein Hund – schön."], [0, 0])
    training = read_pairs(file, folder, ["train", "restval"])
    assert [path.name for path in training.photos] == ["2.jpg", "3.jpg"]
    assert training.photos[0].parent == folder
    assert read_pairs(file, folder).owner == [0, 0, 1, 2]


def test_flickrs_file_has_no_filepath(tmp_path: Path, photos_at: PhotosAt) -> None:
    folder = photos_at("1.jpg")
    content = coco(("", "1.jpg", "val", ["A dog ."]))
    del content["images"][0]["filepath"]
    (tmp_path / "dataset_flickr8k.json").write_text(json.dumps(content))
    assert read_pairs(tmp_path / "dataset_flickr8k.json", folder, "val").captions == ["A dog ."]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ("[1]", "lacks the list 'images'"),
        ('{"images": [{"filename": "1.jpg"}]}', r"images\[0\] lacks filename, split"),
        ('{"images": [7]}', r"images\[0\] lacks filename, split"),
        (json.dumps(coco(("", "1.jpg", "test", [" "]))), r"images\[0\]: a row needs image"),
        (json.dumps(coco(("", "2.jpg", "test", ["a"]))), "lacks 1 photos"),
        (json.dumps(coco(("..", "secret.jpg", "test", ["a"]))), "lies outside"),
        ('{"images": [{"filename": "1.jpg", "split": "test", "sentences": [{"raw": 1}]}]}', "text"),
        (json.dumps(coco()), "has no captions"),
    ],
)
def test_a_bad_split_file_is_refused(
    tmp_path: Path, photos_at: PhotosAt, text: str, message: str
) -> None:
    folder = photos_at("1.jpg")
    (tmp_path / "secret.jpg").write_text("")
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_pairs(tmp_path / "bad.json", folder)


@pytest.mark.parametrize(
    ("text", "split", "message"),
    [
        ("1.jpg,a dog\n", None, "first line must name the columns"),
        ("image,caption\n../1.jpg,a dog\n", None, "line 2: '../1.jpg' lies outside"),
        ("image,caption\n/etc/passwd,a dog\n", None, "line 2: '/etc/passwd' lies outside"),
        ("image,caption,split\n1.jpg,a,test\n", "tset", "split 'tset'; its splits: test"),
        ("image,caption,split\n1.jpg,a,test\n", ["test", "x"], "split 'x'"),
        ('image,caption\n"1.jpg\0",a\n', None, "cannot be read|lacks 1 photos"),
    ],
)
def test_a_bad_csv_is_refused(
    tmp_path: Path, photos_at: PhotosAt, text: str, split: str | list[str] | None, message: str
) -> None:
    folder = photos_at("1.jpg")
    (tmp_path / "captions.csv").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_pairs(tmp_path / "captions.csv", folder, split)


def made(photos: int, captions: int) -> Pairs:
    """Captions of a photo lie apart, as they may in a CSV."""
    owner = [photo for _ in range(captions) for photo in range(photos)]
    return Pairs(
        [Path(f"{i}.jpg") for i in range(photos)], [f"c{i}" for i in range(len(owner))], owner
    )


def test_a_benchmark_takes_the_first_five_captions_of_its_number_of_photos() -> None:
    pairs = made(1000, 6)
    found, places = chosen(pairs, GALLERIES["flickr-1k"])
    assert len(found.captions) == 5000
    assert np.bincount(found.owner).tolist() == [5] * 1000
    assert found.captions == [pairs.captions[i] for i in places] == pairs.captions[:5000]
    assert chosen(pairs, ALL)[0] is pairs
    for wrong, message in ((made(999, 5), "1,000 photos, not 999"), (made(1000, 4), "0.jpg has 4")):
        with pytest.raises(UsageError, match=message):
            chosen(wrong, GALLERIES["flickr-1k"])


def test_folds_are_galleries_of_their_own(
    tiny_dense: TinyDense, package_photos: list[Path]
) -> None:
    """Two folds of four: the mean of what each gives when it is measured alone."""
    files = package_photos[:8]
    pairs = Pairs(files, [f"{'ab'[i % 2]} {i % 8}" for i in range(16)], [i % 8 for i in range(16)])
    gallery = Gallery("two", 8, 2, 2)
    photos = encode_photos(tiny_dense, files, decode)
    found = measure(tiny_dense, pairs, photos, gallery=gallery)
    alone = []
    for fold in folds(pairs, gallery):
        part = Pairs(
            [files[i] for i in fold.photos], [pairs.captions[i] for i in fold.captions], fold.owner
        )
        assert len(part.photos) == 4 and len(part.captions) == 8
        alone.append(measure(tiny_dense, part, photos[fold.photos]))
    for way in ("text_to_image", "image_to_text"):
        mean = np.mean([getattr(one, way) for one in alone], 0)
        assert list(getattr(found, way)) == pytest.approx(mean)
    whole = measure(tiny_dense, pairs, photos)
    assert whole.text_to_image != found.text_to_image
    assert isinstance(found.image_to_text, Recalls) and found.to_dict()["protocol"] == "two"


def test_another_encoding_says_which_is_read(tmp_path: Path) -> None:
    file = tmp_path / "latin.csv"
    file.write_bytes("image,caption\n1.jpg,caf\u00e9\n".encode("latin-1"))
    with pytest.raises(UsageError, match=r"latin\.csv cannot be read: .*save it as UTF-8"):
        read_pairs(file, tmp_path)
