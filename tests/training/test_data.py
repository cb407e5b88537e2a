from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from stair_search.errors import UsageError

pytest.importorskip("torch")

from stair_search.evaluation.pairs import Pairs
from stair_search.training.data import Data, Draws, read_data

pytestmark = pytest.mark.train


def pairs_of(photos: int, each: int = 3) -> Pairs:
    owner = [photo for photo in range(photos) for _ in range(each)]
    return Pairs([Path(f"{i}.jpg") for i in range(photos)], [f"c{i}" for i in owner], owner)


def test_a_sample_follows_from_its_number_alone() -> None:
    numbers = np.arange(400)
    whole = Draws(pairs_of(50), 8, 2, seed=1)(numbers)
    again = Draws(pairs_of(50), 8, 2, seed=1)
    late = again(numbers[300:])
    for all_of_it, part in zip(whole, late, strict=True):
        assert (all_of_it[300:] == part).all()
    halves = [again(numbers[start::2]) for start in (0, 1)]
    assert (halves[1].photos == whole.photos[1::2]).all()
    other = Draws(pairs_of(50), 8, 2, seed=2)(numbers)
    assert (other.photos != whole.photos).any()


def test_no_photo_comes_twice_in_a_step_and_all_come_in_turn() -> None:
    drawn = Draws(pairs_of(50), 8, 2, seed=0)(np.arange(8 * 60))
    for step in drawn.photos.reshape(-1, 8):
        assert len(set(step)) == 8
    counts = Counter(drawn.photos.tolist())
    assert len(counts) == 50
    assert max(counts.values()) <= 10  # of ten epochs, each without what fills no batch
    assert (np.asarray(pairs_of(50).owner)[drawn.captions] == drawn.photos).all()
    assert len(set(drawn.captions.tolist())) > 140
    assert 0.4 < drawn.views.mean() < 0.6


def test_a_batch_is_no_larger_than_the_photos() -> None:
    assert Draws(pairs_of(5), 256, 1, seed=0).batch == 5


def read(folder: Path, text: str, photos: int = 3, **named: str) -> Data:
    for i in range(photos):
        (folder / f"{i}.jpg").write_text("")
    (folder / "pairs.csv").write_text(text)
    return read_data(folder / "pairs.csv", folder, **named)


def test_splits_say_what_is_learned_and_what_validates(tmp_path: Path) -> None:
    rows = "image,caption,split\n0.jpg,a,train\n1.jpg,b,restval\n2.jpg,c,val\n"
    data = read(tmp_path, rows)
    assert (data.train.captions, data.notes) == (["a", "b"], ())
    assert data.validation is not None and data.validation.captions == ["c"]
    assert read(tmp_path, rows.replace(",val\n", ",dev\n"), val_split="dev").validation is not None
    without = read(tmp_path, rows.replace(",val\n", ",test\n"))
    assert without.validation is None and "without validation" in without.notes[0]
    with pytest.raises(UsageError, match="no captions of split 'dev'"):
        read(tmp_path, rows, val_split="dev")
    with pytest.raises(UsageError, match=r"0\.jpg is in the training and the validation split"):
        read(tmp_path, rows + "0.jpg,d,val\n")


def test_without_splits_some_photos_are_held_back(tmp_path: Path) -> None:
    rows = "image,caption\n" + "".join(f"{i}.jpg,a{i}\n{i}.jpg,b{i}\n" for i in range(400))
    data = read(tmp_path, rows, 400)
    assert data.validation is not None
    assert (len(data.train.photos), len(data.validation.photos)) == (380, 20)
    assert not set(data.train.photos) & set(data.validation.photos)
    for part in (data.train, data.validation):
        assert len(part.captions) == 2 * len(part.photos)
        for caption, owner in zip(part.captions, part.owner, strict=True):
            assert part.photos[owner].stem == caption[1:]
    assert read(tmp_path, rows, 400).validation == data.validation
    few = read(tmp_path, "image,caption\n0.jpg,a\n1.jpg,b\n")
    assert few.validation is None and "too few" in few.notes[0]
    with pytest.raises(UsageError, match="no column 'split', so no split 'dev'"):
        read(tmp_path, rows, 400, val_split="dev")


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("image,caption\n0.jpg,a\n", "has 1 photo to learn from: .* at least 2"),
        ("image,caption\n0.jpg,a\n9.jpg,b\n", r"lacks 1 photos that .* names: 9\.jpg"),
        ("image,caption\n0.jpg,a\n1.jpg,  \n", "line 3: a row needs image and caption"),
        ("image,text\n0.jpg,a\n", "lacks the column 'caption'"),
        ("", r"is empty\. Its first line must name"),
        ("\n\n", r"is empty\. Its first line must name"),
    ],
)
def test_bad_pairs_are_refused_in_words(rows: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=told):
        read(tmp_path, rows)


def test_a_hostile_split_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "pairs.json").write_text('{"images": ' + "[" * 100_000)
    with pytest.raises(UsageError, match=r"pairs\.json cannot be read"):
        read_data(tmp_path / "pairs.json", tmp_path)
