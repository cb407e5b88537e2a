from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stair_search.errors import UsageError
from stair_search.evaluation.encode import encode_photos
from stair_search.evaluation.labelled import read_labelled
from stair_search.evaluation.templates import TEMPLATES, prompts, read_templates

from .conftest import decode
from .dense import TinyDense

PhotosAt = Callable[..., Path]


def test_a_folder_a_class(photos_at: PhotosAt) -> None:
    folder = photos_at("zebra/1.jpg", "guinea_pig/1.jpg", "guinea_pig/deep/2.jpg")
    (folder / "zebra" / "notes.txt").write_text("no photo")
    found = read_labelled(folder)
    assert found.names == ["guinea pig", "zebra"]
    assert [str(path.relative_to(folder)) for path in found.photos if isinstance(path, Path)] == [
        "guinea_pig/1.jpg",
        "guinea_pig/deep/2.jpg",
        "zebra/1.jpg",
    ]
    assert found.labels.tolist() == [0, 0, 1]
    assert found.part(found.labels == 1).photos == [folder / "zebra/1.jpg"]


def test_names_from_a_csv(photos_at: PhotosAt, tmp_path: Path) -> None:
    folder = photos_at("n1/1.jpg", "n1/2.jpg", "n2/1.jpg")
    (folder / "labels.csv").write_text(
        "image,wordnet_id,label\nn1/2.jpg,n1,tabby\nn2/1.jpg,n2,ox\n"
    )
    found = read_labelled(folder)
    assert (found.names, found.labels.tolist()) == (["ox", "tabby"], [1, 0])
    (tmp_path / "names.csv").write_text("folder,label\nn1,tabby cat\n")
    other = read_labelled(folder, tmp_path / "names.csv")
    assert (other.names, len(other.photos)) == (["tabby cat"], 2)


def cifar(path: Path, labels: list[list[int]]) -> np.ndarray:
    """Rows as the binary version has them: label bytes, then the red, green and blue plane."""
    chance = np.random.default_rng(1)
    pixels = chance.integers(256, size=(len(labels), 3072), dtype=np.uint8)
    path.write_bytes(np.concatenate([np.array(labels, np.uint8), pixels], 1).tobytes())
    return pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)


def test_cifar_100s_binary_files(tmp_path: Path, tiny_dense: TinyDense) -> None:
    train = cifar(tmp_path / "train.bin", [[9, 0], [9, 2]])
    cifar(tmp_path / "test.bin", [[9, 1]])
    (tmp_path / "fine_label_names.txt").write_text("apple\naquarium_fish\nbaby\n\n")
    found = read_labelled(tmp_path)
    assert found.names == ["apple", "aquarium fish", "baby"]
    assert found.labels.tolist() == [0, 2, 1]
    assert found.trained is not None and found.trained.tolist() == [True, True, False]
    assert np.array_equal(np.stack([*map(np.asarray, found.photos)])[:2], train)
    assert encode_photos(tiny_dense, found.photos, decode).shape == (3, 16)
    (tmp_path / "test.bin").write_bytes(b"12345")
    with pytest.raises(UsageError, match="no multiple of 3074"):
        read_labelled(tmp_path)


def test_cifar_10s_binary_files(tmp_path: Path) -> None:
    cifar(tmp_path / "data_batch_2.bin", [[1]])
    cifar(tmp_path / "test_batch.bin", [[0]])
    (tmp_path / "batches.meta.txt").write_text("airplane\nautomobile\n\n")
    found = read_labelled(tmp_path)
    assert (found.labels.tolist(), found.names) == ([1, 0], ["airplane", "automobile"])
    cifar(tmp_path / "test_batch.bin", [[2]])
    with pytest.raises(UsageError, match=r"label 2, batches.meta.txt names 2 classes"):
        read_labelled(tmp_path)


class Trap:
    """Would leave a mark if anybody unpickled it."""

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("unpickled"),))


@pytest.mark.parametrize("name", ["data_batch_1", "meta", "test_batch"])
def test_cifars_pickles_are_refused(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(pickle.dumps(Trap()))
    with pytest.raises(UsageError, match=r"a pickle.*binary version instead: cifar-10"):
        read_labelled(tmp_path)
    assert not (tmp_path / "unpickled").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a/1.jpg,dog\n", "needs the columns 'label'"),
        ("", "needs the columns 'label' .*; is empty"),
        ("image,label\na/1.jpg,\n", "line 2: a row needs image and label"),
        ("image,label\n../1.jpg,dog\n", "line 2: '../1.jpg' lies outside"),
        ("image,label\nb/1.jpg,dog\n", "lacks 'b/1.jpg'"),
        ("folder,label\nb,dog\n", "lacks 'b'"),
        ("image,label\n", "has no labelled photos"),
    ],
)
def test_a_bad_csv_of_names_is_refused(photos_at: PhotosAt, text: str, message: str) -> None:
    folder = photos_at("a/1.jpg")
    (folder / "labels.csv").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_labelled(folder)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no labelled photos"):
        read_labelled(tmp_path)
    with pytest.raises(UsageError, match="is no folder"):
        read_labelled(tmp_path / "none")


def test_templates(tmp_path: Path) -> None:
    assert all(template.count("{}") == 1 for found in TEMPLATES.values() for template in found)
    (tmp_path / "own.txt").write_text("itap of a {}.\n\nthe {} {}\n")
    with pytest.raises(UsageError, match=r"the {} {}"):
        read_templates(str(tmp_path / "own.txt"))
    (tmp_path / "own.txt").write_text("itap of a {}.\n\n")
    own = read_templates(str(tmp_path / "own.txt"))
    assert prompts(["ox", "{x}"], own) == ["itap of a ox.", "itap of a {x}."]
    with pytest.raises(UsageError, match="known are ensemble, photo, name"):
        read_templates("nope")
