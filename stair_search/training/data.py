"""What is trained on: photos with captions, and which of them makes up which sample.

Sample number n of a stage is a photo, one of its captions and a view. All three follow from (seed,
n) alone, so that a run can go on at any step, on any number of processes, as if it had never
stopped. Samples k * batch to (k + 1) * batch - 1 are step k; within a step no photo comes twice:
another caption of a photo is no wrong answer to it.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stair_search.errors import UsageError
from stair_search.evaluation.pairs import Pairs, read_pairs, read_rows

TRAIN = ("train", "restval")
"""Splits to learn from; the second is what Karpathy calls the rest of COCO's validation photos."""

VALIDATION = "val"
HELD_BACK = 0.05
LEAST_HELD_BACK = 10
MOST_HELD_BACK = 1000


class Data(NamedTuple):
    """pairs, images: where it was read; notes: what people should know about it."""

    pairs: Path
    images: Path
    train: Pairs
    validation: Pairs | None
    notes: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Of names, captions and who owns them: what the draws depend on."""
        digest = hashlib.sha256()
        for part in (self.train, self.validation):
            if part is not None:
                names = [str(photo.relative_to(self.images)) for photo in part.photos]
                digest.update(json.dumps([names, part.captions, part.owner]).encode())
        return digest.hexdigest()[:16]


def read_data(pairs: Path, images: Path, val_split: str | None = None) -> Data:
    """Pairs to train on and to validate with, from a CSV or one of Karpathy's split files.

    Where there are splits, "train" (and "restval") is learned from, and val_split, "val" unless
    given, is held back. Without any, one photo in twenty is held back, chosen by its name. Raises
    UsageError.
    """
    splits = _splits(pairs, images)
    if splits is None:
        if val_split is not None:
            raise UsageError(f"{pairs} has no column 'split', so no split {val_split!r}")
        data = _held_back(pairs, images, read_pairs(pairs, images))
    else:
        wanted = [name for name in TRAIN if name in splits] or [TRAIN[0]]
        train = read_pairs(pairs, images, wanted)
        notes: tuple[str, ...] = ()
        validation = None
        if val_split is not None or VALIDATION in splits:
            validation = read_pairs(pairs, images, val_split or VALIDATION)
        else:
            notes = (f"no split {VALIDATION!r} in {pairs}: trained without validation",)
        if validation is not None and (both := set(train.photos) & set(validation.photos)):
            raise UsageError(f"{min(both)} is in the training and the validation split of {pairs}")
        data = Data(pairs, images, train, validation, notes)
    if len(data.train.photos) < 2:
        raise UsageError(
            f"{pairs} has {len(data.train.photos)} photo to learn from: a photo is learned against "
            "others, so that it takes at least 2, and thousands to be of use"
        )
    return data


def _splits(pairs: Path, images: Path) -> set[str] | None:
    """The splits of a file, None where it has none."""
    found = {row.split for row in read_rows(pairs, images)}
    return {split or "" for split in found} if found - {None} else None


def _held_back(file: Path, images: Path, pairs: Pairs) -> Data:
    count = min(int(HELD_BACK * len(pairs.photos)), MOST_HELD_BACK)
    if count < LEAST_HELD_BACK:
        note = f"{file} has too few photos to hold some back: trained without validation"
        return Data(file, images, pairs, None, (note,))
    names = [str(photo.relative_to(images)) for photo in pairs.photos]
    order = sorted(range(len(names)), key=lambda i: hashlib.sha256(names[i].encode()).digest())
    back = set(order[:count])
    note = f"{file} has no column 'split': {count} photos of {len(names)} are held back to validate"
    return Data(
        file,
        images,
        _part(pairs, [i for i in range(len(names)) if i not in back]),
        _part(pairs, sorted(back)),
        (note,),
    )


def _part(pairs: Pairs, photos: list[int]) -> Pairs:
    place = {photo: i for i, photo in enumerate(photos)}
    kept = [(c, place[o]) for c, o in zip(pairs.captions, pairs.owner, strict=True) if o in place]
    return Pairs([pairs.photos[i] for i in photos], [c for c, _ in kept], [o for _, o in kept])


class Drawn(NamedTuple):
    """int64 [b] each: places of photos, of captions and of views; chance: uint64 [b], for crops."""

    photos: NDArray[np.int64]
    captions: NDArray[np.int64]
    views: NDArray[np.int64]
    chance: NDArray[np.uint64]


class Draws:
    """Samples by their number. batch: over all devices; no more than there are photos."""

    def __init__(self, pairs: Pairs, batch: int, views: int, seed: int) -> None:
        self.batch = min(batch, len(pairs.photos))
        self._photos, self._views, self._seed = len(pairs.photos), views, seed
        owner = np.asarray(pairs.owner, np.int64)
        self._captions = np.argsort(owner, kind="stable")
        self._counts = np.bincount(owner, minlength=self._photos)
        self._starts = np.cumsum(self._counts) - self._counts
        self._epoch: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))

    @property
    def steps_an_epoch(self) -> int:
        """A last batch that would not be full is left out; the next epoch has another order."""
        return self._photos // self.batch

    def __call__(self, numbers: NDArray[np.int64]) -> Drawn:
        """numbers: int64 [b]."""
        step, place = numbers // self.batch, numbers % self.batch
        epoch, step = step // self.steps_an_epoch, step % self.steps_an_epoch
        photos = np.empty(len(numbers), np.int64)
        for one in np.unique(epoch):
            here = epoch == one
            photos[here] = self._order(int(one))[(step * self.batch + place)[here]]
        chance = [scrambled(self._seed, numbers, salt) for salt in range(3)]
        which = (chance[0] % self._counts[photos].astype(np.uint64)).astype(np.int64)
        views = (chance[1] % np.uint64(self._views)).astype(np.int64)
        return Drawn(photos, self._captions[self._starts[photos] + which], views, chance[2])

    def _order(self, epoch: int) -> NDArray[np.int64]:
        if self._epoch[0] != epoch:
            order = np.random.default_rng((self._seed, epoch)).permutation(self._photos)
            self._epoch = (epoch, order)
        return self._epoch[1]


def scrambled(seed: int, numbers: NDArray[np.int64], salt: int) -> NDArray[np.uint64]:
    """A random uint64 for each number, the same whenever it is asked for (SplitMix64).

    Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
    """
    start = np.random.SeedSequence((seed, salt)).generate_state(1, np.uint64)[0]
    with np.errstate(over="ignore"):
        z = start + (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(z ^ (z >> np.uint64(31)))
