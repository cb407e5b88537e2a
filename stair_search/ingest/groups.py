"""Several photos a document: gathered when all of them are done, then written as one.

    found:   … GroupWork, its Work, its Work, GroupWork, …        (plan; a group stands together)
    encoded: … GroupWork, Result with a part, Result, …
    here:    … Ready(document, results), …

A photo that fails leaves the others their document, and its own last part where it has one. Both
executors use these functions: a group has to come to the same gathering as a whole.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator

from stair_search.fields import Fields

from .document import document_of
from .photo import GroupWork, Ready, Result, Work

MOST_PHOTOS = 1_000
"""A document's. At 4 KB of tokens a photo it is as large as a request may be (5 MiB); engines
refuse one with 10,000, and write all of them anew when one changes.
"""

Found = Work | Result | GroupWork


class Gathering:
    """Groups that wait for photos. fields: names in the index."""

    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self._open: dict[str, tuple[GroupWork, dict[str, Result]]] = {}

    def add(self, item: Ready | Result | GroupWork) -> Iterator[Ready | Result]:
        """Takes what comes; yields what waits for nothing."""
        if isinstance(item, GroupWork):
            self._open[item.id] = item, {}
            yield from self._whole(item.id)
        elif isinstance(item, Result) and self._awaits(item):
            assert item.photo.group is not None
            self._open[item.photo.group][1][item.photo.id] = item
            yield from self._whole(item.photo.group)
        else:
            yield item

    def _awaits(self, result: Result) -> bool:
        group = self._open.get(result.photo.group or "")
        return group is not None and result.photo.id in group[0].awaited

    def _whole(self, id: str) -> Iterator[Ready | Result]:
        group, came = self._open[id]
        if len(came) == len(group.awaited):
            del self._open[id]
            yield from together(group, [came[name] for name in group.awaited], self._fields)


def together(group: GroupWork, came: Iterable[Result], fields: Fields) -> Iterator[Ready | Result]:
    """The document of a group whose photos are all done; their results alone where there is
    nothing to be written.
    """
    results = [*group.results, *(_renewed(group, result) for result in came)]
    parts = group.parts | {one.photo.id: one.part for one in results if one.part is not None}
    changed = group.due or any(one.state == "indexed" for one in results)
    if not changed or not parts:  # a document without photos is none: the one that is there stays
        yield from results
        return
    # what its row said stood in the document, and does no more: said again once it can be read
    results = [
        one._replace(due=True) if one.state == "failed" and one.photo.id in parts else one
        for one in results
    ]
    lost = {one.photo.id for one in results if one.state == "failed"} & {*group.unfit}
    results[0] = results[0]._replace(forget=(*group.left, *lost))
    yield Ready(document_of(group, parts, fields), tuple(results))


def _renewed(group: GroupWork, result: Result) -> Result:
    if result.state == "unchanged" and result.photo.id in group.renewed:
        return group.renewed[result.photo.id]._replace(version=result.version)
    return result


def gathered(
    items: Iterable[Ready | Result | GroupWork], fields: Fields
) -> Iterator[Ready | Result]:
    """What whole groups become; those that have not come to their end are left for the next run."""
    gathering = Gathering(fields)
    for item in items:
        yield from gathering.add(item)


def cut(
    found: Iterable[Found], size: Callable[[], int], seconds: float = math.inf
) -> Iterator[list[Found]]:
    """Cuts what was found into blocks of about `size`, which may change, no group into two; none is
    held longer than `seconds` while more comes.
    """
    block: list[Found] = []
    works = awaited = 0
    since = time.monotonic()
    for item in found:
        block.append(item)
        if isinstance(item, GroupWork):
            awaited = len(item.awaited)
            works += not awaited
        elif isinstance(item, Work):
            awaited, works = max(0, awaited - 1), works + 1
        full = works >= size() or len(block) >= 1024
        now = time.monotonic()
        if not awaited and (full or now - since > seconds):
            yield block
            block, works, since = [], 0, now
    if block:
        yield block
