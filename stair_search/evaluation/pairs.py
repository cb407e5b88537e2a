"""Photos with captions to measure with: a CSV `image,caption[,split]`, one row a caption."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

from stair_search.errors import UsageError


class Pairs(NamedTuple):
    """photos: distinct files; captions: texts; owner: for each caption the place of its photo."""

    photos: list[Path]
    captions: list[str]
    owner: list[int]


def read_pairs(file: Path, images: Path, split: str | None = None) -> Pairs:
    """split: only rows of this split; None for all. Raises UsageError."""
    photos: dict[str, int] = {}
    captions: list[str] = []
    owner: list[int] = []
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines)
            wanted = ["image", "caption"] + (["split"] if split is not None else [])
            missing = [name for name in wanted if name not in (rows.fieldnames or [])]
            if missing:
                raise UsageError(f"{file} lacks the column {missing[0]!r}; has {rows.fieldnames}")
            for row in rows:
                if split is not None and row["split"] != split:
                    continue
                if not row["image"] or not (row["caption"] or "").strip():
                    raise UsageError(f"{file}, line {rows.line_num}: a row needs image and caption")
                owner.append(photos.setdefault(row["image"], len(photos)))
                captions.append(row["caption"])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{file} cannot be read: {error}") from None
    if not captions:
        raise UsageError(f"{file} has no captions" + (f" of split {split!r}" if split else ""))
    absent = [name for name in photos if not (images / name).is_file()]
    if absent:
        raise UsageError(f"{images} lacks {len(absent)} photos that {file} names: {absent[0]}, …")
    return Pairs([images / name for name in photos], captions, owner)
