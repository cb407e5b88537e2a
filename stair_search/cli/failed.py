"""Why photos failed, in a few lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from .text import cut, one_line

if TYPE_CHECKING:
    from ..ingest import Failure

MOST = 5
MOST_KINDS = 1_000
LONGEST = 240

# what differs from photo to photo in what is the same reason: paths, numbers, quoted values
_OWN = re.compile(r"\S*/\S*|\d+|'[^']*'|\"[^\"]*\"")


def reasons(failures: Iterable[Failure]) -> Iterator[str]:
    """A line for each of the most frequent reasons: how many photos, and the first one's own words.

    Reasons that differ in names and numbers alone are one.
    """
    counts: dict[str, int] = {}
    first: dict[str, Failure] = {}
    for failure in failures:
        kind = _OWN.sub("", failure.reason.replace(failure.id, "").replace(failure.uri, ""))
        if kind not in counts and len(counts) == MOST_KINDS:
            kind = ""
        counts[kind] = counts.get(kind, 0) + 1
        first.setdefault(kind, failure)
    often = sorted(counts, key=lambda kind: -counts[kind])
    for kind in often[:MOST]:
        said = cut(one_line(first[kind].reason), LONGEST)
        yield f"- {counts[kind]} × {said} ({cut(one_line(first[kind].uri), LONGEST)})"
    if len(often) > MOST:
        rest = sum(counts[kind] for kind in often[MOST:])
        yield f"- {rest} for other reasons"
