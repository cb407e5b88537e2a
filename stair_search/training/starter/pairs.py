"""Captioned data sets as one CSV for `training.data.read_data`."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

DATA_SETS = ("flickr8k", "coco-captions")


def write_pairs(data: Path, file: Path, names: Sequence[str] = DATA_SETS) -> Path:
    """All sets in one CSV; photos are named from the data folder.

    data: holds a folder a set, with captions.csv (image, caption, split) and images/.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.part")
    with part.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["image", "caption", "split"])
        for name in names:
            with (data / name / "captions.csv").open(encoding="utf-8", newline="") as rows:
                for row in csv.DictReader(rows):
                    photo = f"{name}/images/{row['image']}"
                    writer.writerow([photo, row["caption"], row["split"]])
    return part.replace(file)
