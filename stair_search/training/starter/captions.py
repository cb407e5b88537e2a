"""Photos with captions, as the data folders hold them: `captions.csv` beside `images/`."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Captioned(NamedTuple):
    """photos: paths [n]; captions: texts [m]; owner: int64 [m], each caption's photo."""

    photos: list[Path]
    captions: list[str]
    owner: NDArray[np.int64]


def read_captioned(folder: Path, split: str) -> Captioned:
    """One split of a data folder. Raises ValueError where it holds no caption."""
    photos: dict[str, int] = {}
    captions: list[str] = []
    owner: list[int] = []
    with (folder / "captions.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["split"] == split:
                owner.append(photos.setdefault(row["image"], len(photos)))
                captions.append(row["caption"])
    if not captions:
        raise ValueError(f"{folder / 'captions.csv'} has no row of split {split!r}")
    paths = [folder / "images" / name for name in photos]
    return Captioned(paths, captions, np.array(owner))


def join(sets: list[Captioned]) -> Captioned:
    """Several data sets as one."""
    photos: list[Path] = []
    captions: list[str] = []
    owner: list[NDArray[np.int64]] = []
    for data in sets:
        owner.append(data.owner + len(photos))
        photos += data.photos
        captions += data.captions
    return Captioned(photos, captions, np.concatenate(owner))
