"""Photos with captions to measure or train with.

- a CSV `image,caption[,split]`, one row a caption, several rows a photo
- Karpathy's split files (`dataset_coco.json`, `dataset_flickr8k.json`, `dataset_flickr30k.json`):
  `images[]`, each with `filename`, perhaps `filepath`, `split` (train, restval, val, test) and
  `sentences[].raw`. What counts as training for COCO is train and restval together.

The file's name says which: `.json`, or anything else for CSV. A photo of a split file is looked for
in its `filepath` inside the folder, then in the folder itself.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Iterator
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from stair_search.errors import UsageError


class Pairs(NamedTuple):
    """photos: distinct files; captions: texts; owner: for each caption the place of its photo."""

    photos: list[Path]
    captions: list[str]
    owner: list[int]


class Row(NamedTuple):
    """One caption. image: the photo's path inside the folder; place: where it stands, in words."""

    image: str
    caption: str
    split: str | None
    place: str


def read_pairs(file: Path, images: Path, split: str | Collection[str] | None = None) -> Pairs:
    """split: only rows of this split, or of these; None for all.

    Raises UsageError for a file that cannot be read, a split that is not there, an empty caption,
    a photo that is missing or outside the folder.
    """
    wanted = None if split is None else {split} if isinstance(split, str) else set(split)
    photos: dict[str, int] = {}
    captions: list[str] = []
    owner: list[int] = []
    splits: set[str] = set()
    for row in read_rows(file, images, with_split=wanted is not None):
        splits.add(row.split or "")
        if wanted is not None and row.split not in wanted:
            continue
        if not row.image or not row.caption.strip():
            raise UsageError(f"{row.place}: a row needs image and caption")
        if PurePath(row.image).is_absolute() or ".." in PurePath(row.image).parts:
            raise UsageError(
                f"{row.place}: {row.image!r} lies outside of the photos' folder; "
                "give a path inside it"
            )
        owner.append(photos.setdefault(row.image, len(photos)))
        captions.append(row.caption)
    if wanted is not None and (absent := wanted - splits):
        known = ", ".join(sorted(splits - {""})) or "none"
        raise UsageError(f"{file} has no captions of split {min(absent)!r}; its splits: {known}")
    if not captions:
        raise UsageError(f"{file} has no captions")
    missing = [name for name in photos if not (images / name).is_file()]
    if missing:
        raise UsageError(f"{images} lacks {len(missing)} photos that {file} names: {missing[0]}, …")
    return Pairs([images / name for name in photos], captions, owner)


def read_rows(file: Path, images: Path, with_split: bool = False) -> Iterator[Row]:
    """Every caption as it stands there: it may be empty, its photo missing.

    with_split: a CSV without that column is refused. Raises UsageError for a file that cannot be
    read.
    """
    json_file = file.suffix.lower() == ".json"
    try:
        yield from _karpathy(file, images) if json_file else _csv(file, with_split)
    except (OSError, ValueError, csv.Error, RecursionError) as error:
        remedy = "; save it as UTF-8" if isinstance(error, UnicodeDecodeError) else ""
        raise UsageError(f"{file} cannot be read: {error}{remedy}") from None


def _csv(file: Path, with_split: bool) -> Iterator[Row]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        rows = csv.DictReader(lines)
        wanted = ["image", "caption"] + (["split"] if with_split else [])
        missing = [name for name in wanted if name not in (rows.fieldnames or [])]
        if missing:
            found = f"lacks the column {missing[0]!r}; has {rows.fieldnames}"
            raise UsageError(
                f"{file} {found if rows.fieldnames else 'is empty'}. "
                "Its first line must name the columns: image,caption[,split]"
            )
        for row in rows:
            place = f"{file}, line {rows.line_num}"
            yield Row(row["image"] or "", row["caption"] or "", row.get("split"), place)


def _karpathy(file: Path, images: Path) -> Iterator[Row]:
    content: Any = json.loads(file.read_text("utf-8-sig"))
    found = content.get("images") if isinstance(content, dict) else None
    if not isinstance(found, list):
        raise UsageError(
            f"{file} is no split file of Karpathy's: it lacks the list 'images' "
            "(captions of another form go into a CSV image,caption[,split])"
        )
    for number, image in enumerate(found):
        place = f"{file}, images[{number}]"
        try:
            name, split = str(image["filename"]), str(image["split"])
            captions = [sentence["raw"] for sentence in image["sentences"]]
            if not all(isinstance(caption, str) for caption in captions):
                raise TypeError("a caption is no text")
        except (KeyError, TypeError) as error:
            raise UsageError(
                f"{place} lacks filename, split or sentences[].raw: {error!r}"
            ) from None
        inside = f"{image['filepath']}/{name}" if image.get("filepath") else name
        path = inside if (images / inside).is_file() else name
        for caption in captions:
            yield Row(path, caption, split, place)
