"""Captioned and labelled photos of the comparison."""

from __future__ import annotations

from pathlib import Path

from stair_search.evaluation.labelled import Labelled, read_labelled
from stair_search.evaluation.pairs import Pairs, read_pairs
from stair_search.training.starter.pairs import DATA_SETS

SETS = DATA_SETS
CLASSES = "tiny-imagenet"


def test_pairs(data: Path, split: str) -> dict[str, Pairs]:
    return {
        name: read_pairs(data / name / "captions.csv", data / name / "images", split)
        for name in SETS
    }


def classes(data: Path) -> Labelled:
    folder = data / CLASSES
    return read_labelled(folder, folder / "labels.csv")
