"""What adapt makes of people's captions: bad rows are left out and told, splits are sound."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from stair_search.errors import UsageError
from stair_search.training.adapt import pairs as module
from stair_search.training.adapt.pairs import Prepared, prepare, summary, write_pairs

pytestmark = pytest.mark.train

Make = Callable[..., Prepared]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """From rows image,caption[,split] whose photos are made, but for those named "missing…"."""

    def made(
        rows: list[tuple[str, ...]], contents: dict[str, str] | None = None, **options: object
    ) -> Prepared:
        contents = contents or {}
        images = tmp_path / "photos"
        images.mkdir(exist_ok=True)
        for row in rows:
            if row[0] and not row[0].startswith("missing"):
                (images / Path(row[0]).name).write_text(str(contents.get(row[0], row[0])))
        file = tmp_path / "captions.csv"
        with file.open("w", newline="", encoding="utf-8") as lines:
            writer = csv.writer(lines)
            writer.writerow(["image", "caption", "split"][: len(rows[0])])
            writer.writerows(rows)
        return prepare(file, images, seed=0, **options)  # type: ignore[arg-type]

    return made


def rows(count: int = 40, *split: str) -> list[tuple[str, ...]]:
    return [(f"{i}.jpg", f"caption {i}", *split) for i in range(count)]


def test_without_splits_a_tenth_of_the_photos_is_held_out(make: Make) -> None:
    found = make([row for row in rows() for _ in range(3)])
    assert (found.photos("train"), found.photos("val"), found.photos("test")) == (36, 4, 0)
    assert found.captions("val") == 12  # all of a photo's captions together
    assert found.made and found.measured == "val"
    assert make([row for row in rows() for _ in range(3)]) == found


def test_which_photos_are_held_out_follows_from_the_seed(tmp_path: Path, make: Make) -> None:
    held = {pair.image for pair in make(rows()).pairs if pair.split == "val"}
    other = prepare(tmp_path / "captions.csv", tmp_path / "photos", seed=1)
    assert held != {pair.image for pair in other.pairs if pair.split == "val"}


def test_copies_of_a_photo_are_held_out_together(make: Make, tmp_path: Path) -> None:
    named = rows()
    make(named)
    for i in range(0, 40, 2):
        shutil.copy(tmp_path / "photos" / f"{i}.jpg", tmp_path / "photos" / f"{i + 1}.jpg")
    found = prepare(tmp_path / "captions.csv", tmp_path / "photos", seed=0)
    split = {pair.image: pair.split for pair in found.pairs}
    assert all(split[f"{i}.jpg"] == split[f"{i + 1}.jpg"] for i in range(0, 40, 2))
    assert found.seen_twice == 0 and found.photos("val") == 4


def test_copies_across_the_files_own_splits_are_counted(make: Make) -> None:
    named = [*rows(20, "train"), ("x.jpg", "x", "test"), ("y.jpg", "y", "val")]
    assert make(named, contents={"x.jpg": "3.jpg", "y.jpg": "4.jpg"}).seen_twice == 2


def test_splits_of_the_file_are_taken(make: Make) -> None:
    named = [*rows(20, "train"), ("a.jpg", "a", "dev"), ("b.jpg", "b", "test")]
    found = make(named)
    assert (found.photos("train"), found.photos("val"), found.photos("test")) == (20, 1, 1)
    assert not found.made and found.measured == "test"


def test_a_test_split_alone_leaves_photos_to_watch_to_be_chosen(make: Make) -> None:
    found = make([*rows(20, "train"), ("b.jpg", "b", "test")])
    assert (found.photos("train"), found.photos("val"), found.photos("test")) == (16, 4, 1)
    assert not found.made and found.measured == "test"


def test_a_split_of_another_name_can_be_held_back(make: Make) -> None:
    named = [*rows(20, "train"), ("a.jpg", "a", "mine")]
    found = make(named, validation_split="mine")
    assert found.photos("val") == 1 and found.measured == "val"
    with pytest.raises(UsageError, match=r"split 'mine'.*--validation-split"):
        make(named)
    with pytest.raises(UsageError, match="no split 'his'; its splits: mine, train"):
        make(named, validation_split="his")


def test_a_photo_in_two_splits_is_refused(make: Make) -> None:
    with pytest.raises(UsageError, match=r"3\.jpg in two splits"):
        make([*rows(20, "train"), ("3.jpg", "again", "test")])


def test_bad_rows_are_left_out_and_counted(make: Make) -> None:
    bad = [("missing1.jpg", "a"), ("missing2.jpg", "b"), ("3.jpg", "  "), ("", "c"), ("../z", "d")]
    found = make([*rows(), *bad], problem=lambda photo: "broken" if photo.name == "7.jpg" else None)
    assert {entry.reason for entry in found.left_out} == {
        "the photo is missing",
        "the caption is empty",
        "no photo is named",
        "lies outside of the photos' folder",
        "broken",
    }
    assert summary(found.left_out)[0] == "2 rows: the photo is missing (first: missing1.jpg)"
    assert found.left_out[0].place.endswith("line 44")
    assert len(found.pairs) == 39 and "7.jpg" not in {pair.image for pair in found.pairs}


def test_a_pipe_in_place_of_a_photo_is_not_waited_for(make: Make, tmp_path: Path) -> None:
    make(rows())
    (photo,) = tmp_path.rglob("7.jpg")
    photo.unlink()
    os.mkfifo(photo)
    found = prepare(next(tmp_path.rglob("*.csv")), photo.parent, 0)
    assert {entry.reason for entry in found.left_out} == {"the photo is no file"}


def test_mostly_bad_rows_are_a_wrong_folder(make: Make) -> None:
    with pytest.raises(UsageError, match=r"60 of 80 rows .*the folder that its photos lie in"):
        make([*rows(20), *((f"missing{i}", "a") for i in range(60))])


@pytest.mark.parametrize("count", [1, module.LEAST_PHOTOS - 1])
def test_too_few_photos_are_refused(make: Make, count: int) -> None:
    with pytest.raises(UsageError, match=f"has {count} photos .* needs at least 12"):
        make([row for row in rows(count) for _ in range(50)])


def test_a_split_that_leaves_nothing_to_train_on_is_refused(make: Make) -> None:
    with pytest.raises(UsageError, match="leaves 2 photos to train on"):
        make([*rows(20, "test"), ("a.jpg", "a", "train"), ("b.jpg", "b", "train")])


def test_long_captions_are_cut_and_counted(make: Make, tmp_path: Path) -> None:
    found = make([*rows(), ("1.jpg", "word " * 10_000)])
    assert found.long == 1
    assert max(len(pair.caption) for pair in found.pairs) == module.MOST_LETTERS
    file = tmp_path / "pairs.csv"
    write_pairs(found.pairs, file)
    assert [pair._asdict() for pair in found.pairs] == list(
        csv.DictReader(file.open(newline="", encoding="utf-8"))
    )
