"""What must be done for each photo: nothing, or read it. Looks at the file's size and time only."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator

from stair_search.fields import Fields

from .document import columns_hash
from .files import check_file, why_not
from .ledger import Ledger
from .photo import Photo, PhotoError, Result, Work


def plan(
    photos: Iterable[Photo],
    ledger: Ledger,
    *,
    model: str,
    fields: Fields,
    only_failed: bool = False,
    stop: threading.Event | None = None,
) -> Iterator[Work | Result]:
    """Each photo once: a final result where the ledger or the file's kind decides, or work.

    only_failed: photos that did not fail last time are passed over as if they were not there;
    those that did and are found no more have failed again.
    """
    for photo in photos:
        if stop and stop.is_set():
            return
        first = ledger.meet(photo)
        if first == photo.uri:
            continue
        if first:
            reason = f"its id {photo.id!r} is that of {first} already"
            yield Result(photo._replace(id=photo.uri), "failed", reason)
            continue
        known = ledger.entry(photo.id)
        if only_failed and (known is None or known.state != "failed"):
            continue
        if photo.problem:
            yield Result(photo, "failed", photo.problem)
            continue
        try:
            about = os.stat(photo.path)  # noqa: PTH116 - a path may be any bytes
            check_file(about)
        except OSError as error:
            yield Result(photo, "failed", why_not(photo.path, error))
            continue
        except PhotoError as error:
            yield Result(photo, "failed", str(error))
            continue
        told = columns_hash(photo, fields)
        work = Work(photo, about.st_size, about.st_mtime_ns, told)
        if known and known.content_hash:
            if known.model == model and known.columns_hash == told:
                same = (known.size, known.mtime_ns) == (about.st_size, about.st_mtime_ns)
                if same and known.state != "failed":
                    yield Result(photo, "unchanged", None, about.st_size, about.st_mtime_ns)
                    continue
                work = work._replace(known_hash=known.content_hash)
            work = work._replace(gone=tuple(set(known.names) - set(photo.columns)))
        yield work
    if only_failed:
        for name, uri in ledger.failures_not_met():
            yield Result(Photo(name, uri, "", {}), "failed", "no source of the job has it now")
