"""Hits as JSON, and as lines that people read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..fields import Fields
from ..queries import Reason
from .places import shown
from .text import cut, one_line, terminal_width

if TYPE_CHECKING:
    from ..engines.base import Hit, Hits

INDENT = "    "
STRONGEST = 6
_NOT_ALWAYS = ("photo", "highlights")
WEAK = 0.1  # of the strongest reason


def as_dict(found: Hits) -> dict[str, Any]:
    """The contract's shape of a search."""
    told = found._asdict() | {"hits": [_as_dict(hit) for hit in found.hits]}
    if found.facets is None:
        del told["facets"]
    else:
        told["facets"] = {n: [asdict(one) for one in some] for n, some in found.facets.items()}
    return told


def _as_dict(hit: Hit) -> dict[str, Any]:
    """`photo` is there where a document has several, `highlights` where they were asked for."""
    told = hit._asdict() | {"why": reasons(hit.why)}
    return {name: v for name, v in told.items() if v is not None or name not in _NOT_ALWAYS}


def reasons(why: Iterable[Reason]) -> list[dict[str, Any]]:
    return [reason._asdict() for reason in why]


def lines(found: Hits, fields: Fields, start: int = 0) -> Iterator[str]:
    """Rank, score and photo; its caption; its strongest reasons. Of a document with several photos
    its id and the best of them. start: place of the first.
    """
    columns = terminal_width()
    for rank, hit in enumerate(found.hits, start=start + 1):
        photo = hit.source if hit.photo is None else hit.photo
        image = shown(str(photo.get(fields.image) or hit.id))
        of = f"{one_line(hit.id)}  " if hit.photo else ""
        yield f"{rank:>2}  {hit.score:.3f}  {of}{image}"
        caption = photo.get(fields.caption)
        if caption:
            yield cut(INDENT + one_line(str(caption)), columns)
        for name, values in (hit.highlights or {}).items():
            yield cut(f"{INDENT}{one_line(name)}: {one_line(' … '.join(values))}", columns)
        if hit.why:
            yield cut(INDENT + in_words(hit.why), columns)
    for name, buckets in (found.facets or {}).items():
        counted = ", ".join(f"{one_line(str(one.value))} {one.count}" for one in buckets)
        yield f"{one_line(name)}: {counted}"
    if found.hits and found.total > len(found.hits):
        more = "more than " if found.total_relation == "gte" else ""
        place = f"{start + 1} to {start + len(found.hits)}" if start else f"{len(found.hits)}"
        yield f"{place} of {more}{found.total} hits"


def in_words(why: Iterable[Reason]) -> str:
    """The strongest reasons, and what the others add. Those of no word say where they come from.

    >>> in_words([Reason("question", "dog", 1, 0.4, 0.42), Reason("image", "sand", 1, 0.1, 0.1)])
    'dog 0.42, sand 0.10 (image)'
    """
    ranked = sorted(why, key=lambda reason: -reason.score)
    told = [r for r in ranked[:STRONGEST] if r.score >= WEAK * ranked[0].score]
    words = [
        f"{one_line(r.token)} {r.score:.2f}" + ("" if r.part == "question" else f" ({r.part})")
        for r in told
    ]
    weaker = ranked[len(told) :]
    if weaker:
        words.append(f"{len(weaker)} weaker {sum(r.score for r in weaker):.2f}")
    return ", ".join(words)
