"""Captioned data sets as one CSV for `training.data.read_data`."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from stair_search.errors import TrainingError
from stair_search.files import write_csv

DATA_SETS = ("flickr8k", "coco-captions")


def write_pairs(data: Path, file: Path, names: Sequence[str] = DATA_SETS) -> Path:
    """All sets in one CSV; photos are named from the data folder.

    data: holds a folder a set, with captions.csv (image, caption, split) and images/.
    """
    file.parent.mkdir(parents=True, exist_ok=True)

    def rows() -> Iterator[tuple[str, str, str]]:
        for name in names:
            with (data / name / "captions.csv").open(encoding="utf-8", newline="") as lines:
                for row in csv.DictReader(lines):
                    yield f"{name}/images/{row['image']}", row["caption"], row["split"]

    write_csv(file, ("image", "caption", "split"), rows(), TrainingError)
    return file
