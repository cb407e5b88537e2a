"""Captioned and labelled photos of the comparison, as one CSV and as splits."""

from __future__ import annotations

import csv
from pathlib import Path

from stair_search.evaluation.labelled import Labelled, read_labelled
from stair_search.evaluation.pairs import Pairs, read_pairs

SETS = ("flickr8k", "coco-captions")
CLASSES = "tiny-imagenet"


def write_pairs(data: Path, file: Path) -> Path:
    """All sets in one CSV, photos named from the data folder."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["image", "caption", "split"])
        for name in SETS:
            with (data / name / "captions.csv").open(encoding="utf-8", newline="") as rows:
                for row in csv.DictReader(rows):
                    photo = f"{name}/images/{row['image']}"
                    writer.writerow([photo, row["caption"], row["split"]])
    return file


def test_pairs(data: Path, split: str) -> dict[str, Pairs]:
    return {
        name: read_pairs(data / name / "captions.csv", data / name / "images", split)
        for name in SETS
    }


def classes(data: Path) -> Labelled:
    folder = data / CLASSES
    return read_labelled(folder, folder / "labels.csv")
