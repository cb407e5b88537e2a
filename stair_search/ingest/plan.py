"""What must be done for each photo: nothing, or read it. Reads no photo: a file's size and time
tell, and what a server alone knows is left to the reading.
"""

from __future__ import annotations

import threading
from collections.abc import Container, Iterable, Iterator

from stair_search.fields import Fields

from .document import columns_hash
from .ledger import Ledger
from .photo import TAKEN_DOWN, Photo, PhotoError, Place, Result, Work, id_of
from .policy import Policy
from .reading.reader import Reader


def plan(
    photos: Iterable[Photo],
    ledger: Ledger,
    reader: Reader,
    *,
    model: str,
    fields: Fields,
    policy: Policy,
    pipeline: str | None = None,
    kept_out: Container[str] = (),
    only_failed: bool = False,
    stop: threading.Event | None = None,
) -> Iterator[Work | Result]:
    """Each photo once: a final result where the ledger or the file's kind decides, or work.

    kept_out: ids of photos that were taken down: they are left as they are.
    only_failed: photos that did not fail last time are passed over as if they were not there;
    those that did and are found no more have failed again.
    """
    for photo in photos:
        if stop and stop.is_set():
            return
        first = ledger.meet(photo)
        if first == photo.uri:
            continue
        if first and first.startswith(f"{photo.uri}@"):
            uri = f"{photo.uri}@{photo.place.offset}"
            twin = photo._replace(id=id_of(uri), uri=uri)
            if not ledger.meet(twin):
                start = first.rpartition("@")[2]
                reason = f"a second member of this name; the first, at byte {start}, was taken"
                yield Result(twin, "failed", reason)
            continue
        if first:
            reason = f"its id {photo.id!r} is that of {first} already"
            yield Result(photo._replace(id=photo.uri), "failed", reason)
            continue
        known = ledger.entry(photo.id)
        if only_failed and (known is None or known.state != "failed"):
            continue
        if photo.id in kept_out:
            yield Result(photo, "unchanged", TAKEN_DOWN)
            continue
        if photo.problem:
            yield Result(photo, "failed", photo.problem)
            continue
        # where the document is known to be gone or to be written anew, it may go elsewhere
        if known and known.columns_hash and known.routing != photo.routing:
            yield Result(photo, "failed", _routed_anew(known.routing, photo.routing))
            continue
        try:
            version = reader.version(photo.place)
        except PhotoError as error:
            yield Result(photo, "failed", str(error))
            continue
        told = columns_hash(photo, fields, policy, pipeline)
        work = Work(photo, version, told)
        if known and known.content_hash:
            if known.model == model and known.columns_hash == told:
                if version and version == known.version and known.state != "failed":
                    yield Result(photo, "unchanged", None, version)
                    continue
                work = work._replace(known_hash=known.content_hash)
                if version is None:
                    work = work._replace(version=known.version)
            work = work._replace(gone=tuple(set(known.names) - set(photo.columns)))
        yield work
    if only_failed:
        for name, uri in ledger.failures_not_met():
            yield Result(
                Photo(name, uri, Place(""), {}), "failed", "no source of the job has it now"
            )


def _routed_anew(before: str | None, now: str | None) -> str:
    was, is_ = ("its id" if one is None else repr(one) for one in (before, now))
    return (
        f"it was routed by {was} and is routed by {is_} now, which would make a second document: "
        "put that back, or delete the first one"
    )
