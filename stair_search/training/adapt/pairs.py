"""Captions that people have, made into captions that a training can rely on.

Rows without a caption or whose photo is missing or broken are left out and listed; photos get a
split where the file has none. What is left is written as `pairs.csv`, which `train` and `evaluate`
read too.
"""

from __future__ import annotations

import hashlib
import os
import random
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath
from typing import NamedTuple

from stair_search.errors import TrainingError, UsageError
from stair_search.evaluation.pairs import Row, read_rows
from stair_search.files import write_csv

LEAST_PHOTOS = 12
"""Below it there is nothing to measure with, and no batch that would teach anything."""
HELD_OUT = 0.1
MOST_HELD_OUT = 1000
LEAST_HELD_OUT = 4
SPLITS = {
    "train": "train",
    "training": "train",
    "restval": "train",  # Karpathy's COCO
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
MOST_LETTERS = 2000
"""Of a caption: 76 tokens are some 350 letters, what comes later is never seen."""


class Pair(NamedTuple):
    """split: train, val or test."""

    image: str
    caption: str
    split: str


class LeftOut(NamedTuple):
    """place: file and line; reason: in words."""

    place: str
    image: str
    reason: str


class Prepared(NamedTuple):
    """made: the held-out photos were chosen here, since the file has no split of that kind.
    long: captions that were cut; seen_twice: held-out photos whose very file is trained on too.
    """

    pairs: list[Pair]
    left_out: list[LeftOut]
    made: bool
    long: int
    seen_twice: int

    def photos(self, split: str) -> int:
        return len({pair.image for pair in self.pairs if pair.split == split})

    def captions(self, split: str) -> int:
        return sum(pair.split == split for pair in self.pairs)

    @property
    def measured(self) -> str:
        """The split that the report measures on: test, else val."""
        return "test" if any(pair.split == "test" for pair in self.pairs) else "val"


def prepare(
    file: Path,
    images: Path,
    seed: int,
    validation_split: str | None = None,
    problem: Callable[[Path], str | None] = lambda photo: None,
    told: Callable[[int, int], None] = lambda done, of: None,
) -> Prepared:
    """Reads, checks and splits. Raises UsageError where too little is left.

    validation_split: the name in the file of the split that is held back, whatever it is called.
    problem: opens a photo and says what is wrong with it. told: photos checked, of how many.
    """
    rows, left_out = _rows(read_rows(file, images))
    content, bad = _look(sorted({row.image for row in rows}), images, problem, told)
    left_out += [LeftOut(row.place, row.image, bad[row.image]) for row in rows if row.image in bad]
    kept = [row for row in rows if row.image not in bad]
    _refuse_too_few(file, images, kept, left_out)
    split, made = _split(kept, content, seed, validation_split, file)
    pairs = [Pair(row.image, row.caption[:MOST_LETTERS], split[row.image]) for row in kept]
    long = sum(len(row.caption) > MOST_LETTERS for row in kept)
    return Prepared(pairs, left_out, made, long, _seen_twice(split, content))


def write_pairs(pairs: Iterable[Pair], file: Path) -> None:
    """A CSV image,caption,split; whole or not at all."""
    write_csv(file, ("image", "caption", "split"), pairs, TrainingError)


def write_left_out(left_out: Sequence[LeftOut], file: Path) -> None:
    """A CSV place,image,reason."""
    write_csv(file, LeftOut._fields, left_out, TrainingError)


def summary(left_out: Sequence[LeftOut]) -> list[str]:
    """What was left out, a line a reason, the most frequent first."""
    counts = Counter(entry.reason for entry in left_out)
    first = {entry.reason: entry for entry in reversed(left_out)}
    return [
        f"{count} rows: {reason} (first: {first[reason].image or first[reason].place})"
        for reason, count in counts.most_common()
    ]


def _rows(rows: Iterable[Row]) -> tuple[list[Row], list[LeftOut]]:
    kept, left_out = [], []
    for row in rows:
        inside = PurePath(row.image)
        if not row.image:
            left_out.append(LeftOut(row.place, "", "no photo is named"))
        elif inside.is_absolute() or ".." in inside.parts:
            left_out.append(LeftOut(row.place, row.image, "lies outside of the photos' folder"))
        elif not row.caption.strip():
            left_out.append(LeftOut(row.place, row.image, "the caption is empty"))
        else:
            kept.append(row._replace(caption=" ".join(row.caption.split())))
    return kept, left_out


def _look(
    names: Sequence[str],
    images: Path,
    problem: Callable[[Path], str | None],
    told: Callable[[int, int], None],
) -> tuple[dict[str, bytes], dict[str, str]]:
    """For each photo a hash of its file, or what is wrong with it."""

    def look(name: str) -> tuple[bytes, str | None]:
        try:
            if not stat.S_ISREG((images / name).stat().st_mode):
                return b"", "the photo is no file"  # reading a pipe would wait for ever
            data = (images / name).read_bytes()
        except FileNotFoundError:
            return b"", "the photo is missing"
        except OSError as error:
            return b"", f"the photo cannot be read ({error.strerror})"
        except ValueError:
            return b"", "the photo's name cannot be one"
        return hashlib.blake2b(data, digest_size=16).digest(), problem(images / name)

    content, bad = {}, {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, (name, found) in enumerate(zip(names, pool.map(look, names), strict=True), 1):
            content[name], reason = found
            if reason is not None:
                bad[name] = reason
            told(done, len(names))
    return content, bad


def _refuse_too_few(
    file: Path, images: Path, kept: Sequence[Row], left_out: Sequence[LeftOut]
) -> None:
    photos = len({row.image for row in kept})
    rows = len(kept) + len(left_out)
    if not rows:
        raise UsageError(f"{file} has no captions")
    told = "; ".join(summary(left_out)[:3])
    if len(left_out) > rows / 2:
        raise UsageError(
            f"{len(left_out)} of {rows} rows of {file} cannot be used: {told}. "
            f"Is {images} the folder that its photos lie in?"
        )
    if photos < LEAST_PHOTOS:
        raise UsageError(
            f"{file} has {photos} photos with captions, adapt needs at least {LEAST_PHOTOS} "
            "(and learns little from fewer than a thousand)" + (f"; left out: {told}" * bool(told))
        )


def _split(
    rows: Sequence[Row], content: Mapping[str, bytes], seed: int, held_out: str | None, file: Path
) -> tuple[dict[str, str], bool]:
    """train, val or test for each photo, and whether the held-out ones were chosen here."""
    named = {row.image: (row.split or "").strip() for row in rows}
    mixed = [row.image for row in rows if (row.split or "").strip() != named[row.image]]
    if mixed:
        raise UsageError(
            f"{file} has {mixed[0]} in two splits: held-out photos would be trained on"
        )
    names = set(named.values())
    if held_out is not None and held_out not in names:
        known = ", ".join(sorted(names - {""})) or "none"
        raise UsageError(f"{file} has no split {held_out!r}; its splits: {known}")
    split = {name: "val" if name == held_out else SPLITS.get(name.lower(), "") for name in names}
    if names == {""} or (held_out is not None and names == {"", held_out}):
        split[""] = "train"
    unknown = sorted(name for name in names if not split[name])
    if unknown:
        raise UsageError(
            f"{file} has rows of split {unknown[0]!r}; known are train, val and test "
            "(--validation-split names another one that is to be held back)"
        )
    of = {image: split[name] for image, name in named.items()}
    made = not {"val", "test"} & set(of.values())
    if "val" not in of.values() and Counter(of.values())["train"] > LEAST_HELD_OUT:
        _hold_out(of, content, seed)
    counts = Counter(of.values())
    if counts["train"] < LEAST_PHOTOS - LEAST_HELD_OUT:
        raise UsageError(
            f"{file} leaves {counts['train']} photos to train on ({dict(counts)}); "
            f"at least {LEAST_PHOTOS - LEAST_HELD_OUT} are needed"
        )
    return of, made


def _hold_out(of: dict[str, str], content: Mapping[str, bytes], seed: int) -> None:
    """Moves some training photos to val: which ones follows from the seed and the photos alone.

    Copies of one photo move together.
    """
    copies: dict[bytes, list[str]] = {}
    for image in sorted(image for image, split in of.items() if split == "train"):
        copies.setdefault(content[image], []).append(image)
    training = sum(map(len, copies.values()))
    wanted = min(MOST_HELD_OUT, max(LEAST_HELD_OUT, round(HELD_OUT * training)))
    groups = list(copies.values())
    random.Random(seed).shuffle(groups)
    moved = 0
    for group in groups:
        if moved >= wanted:
            break
        of |= dict.fromkeys(group, "val")
        moved += len(group)


def _seen_twice(split: Mapping[str, str], content: Mapping[str, bytes]) -> int:
    trained = {content[image] for image, name in split.items() if name == "train"}
    return sum(content[image] in trained for image, name in split.items() if name != "train")
