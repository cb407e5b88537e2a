"""What a benchmark's name stands for: how many photos, how many captions each, in how many folds.

`coco-5k` is the test split of Karpathy & Fei-Fei (2015), 5,000 photos; `coco-1k` the same photos as
five galleries of 1,000, in the file's order, and the mean of the five; `flickr-1k` the 1,000 test
photos of Flickr8k or Flickr30k. Each takes the first five captions of a photo (COCO has some with
six and seven), 25,000 and 5,000 questions. `all` takes what the file holds, as one gallery.
"""

from __future__ import annotations

from typing import NamedTuple

from stair_search.errors import UsageError

from .pairs import Pairs


class Gallery(NamedTuple):
    """photos: how many there must be, None for any. captions: the first so many, None for all."""

    name: str
    photos: int | None = None
    captions: int | None = None
    folds: int = 1


ALL = Gallery("all")
GALLERIES = {
    gallery.name: gallery
    for gallery in (
        ALL,
        Gallery("coco-5k", 5000, 5),
        Gallery("coco-1k", 5000, 5, 5),
        Gallery("flickr-1k", 1000, 5),
    )
}


class Fold(NamedTuple):
    """A gallery of its own. photos, captions: places in the whole; owner: places in `photos`."""

    photos: list[int]
    captions: list[int]
    owner: list[int]


def chosen(pairs: Pairs, gallery: Gallery) -> tuple[Pairs, list[int]]:
    """The pairs with the captions that the benchmark counts, and those captions' places.

    Raises UsageError where there are other than its number of photos, or too few captions.
    """
    if gallery.photos is not None and len(pairs.photos) != gallery.photos:
        raise UsageError(
            f"{gallery.name} is measured on {gallery.photos:,} photos, not {len(pairs.photos):,}; "
            "choose the split (--split test), or --protocol all"
        )
    if gallery.captions is None:
        return pairs, list(range(len(pairs.captions)))
    seen = [0] * len(pairs.photos)
    kept = []
    for place, photo in enumerate(pairs.owner):
        seen[photo] += 1
        if seen[photo] <= gallery.captions:
            kept.append(place)
    few = next((i for i, count in enumerate(seen) if count < gallery.captions), None)
    if few is not None:
        raise UsageError(
            f"{gallery.name} takes {gallery.captions} captions a photo; {pairs.photos[few]} has "
            f"{seen[few]}"
        )
    captions, owner = [pairs.captions[i] for i in kept], [pairs.owner[i] for i in kept]
    return Pairs(pairs.photos, captions, owner), kept


def folds(pairs: Pairs, gallery: Gallery) -> list[Fold]:
    """The galleries, each with the same number of photos, in the order of the file."""
    size = len(pairs.photos) // gallery.folds
    found = [Fold(list(range(i * size, (i + 1) * size)), [], []) for i in range(gallery.folds)]
    for caption, photo in enumerate(pairs.owner):
        fold = found[photo // size]
        fold.captions.append(caption)
        fold.owner.append(photo % size)
    return found
