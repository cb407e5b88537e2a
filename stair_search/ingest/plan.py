"""What must be done for each photo: nothing, or read it. Reads no photo: a file's size and time
tell, and what a server alone knows is left to the reading.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from stair_search.fields import Fields

from .document import columns_hash, rules
from .groups import Found
from .kept_out import KeptOut
from .ledger import Entry, Ledger
from .photo import TAKEN_DOWN, GroupWork, Photo, PhotoError, Place, Result, Work, id_of
from .policy import Policy
from .reading.reader import Reader

AT_ONCE = 128
"""Photos for which the ledger is asked at once."""

QUICKLY = 0.02
"""Seconds in which they are found, at most."""


def plan(
    photos: Iterable[Photo],
    ledger: Ledger,
    reader: Reader,
    *,
    model: str,
    fields: Fields,
    policy: Policy,
    pipeline: str | None = None,
    kept_out: KeptOut,
    misread: str | None = None,
    only_failed: bool = False,
    stop: threading.Event | None = None,
) -> Iterator[Found]:
    """Each photo once: a final result where the ledger or the file's kind decides, or work. Photos
    that share a document come one after the other, and theirs too.

    kept_out: photos that were taken down: they are left as they are. misread: what is wrong
    with a row that may be of any photo; documents that would lose one then fail.
    only_failed: photos that did not fail last time are passed over as if they were not there;
    those that did and are found no more have failed again.
    """
    planner = _Planner(
        ledger, reader, model, fields, policy, pipeline, kept_out, misread, only_failed
    )
    for group, photos_of in groupby(photos, lambda photo: photo.group):
        if group is not None:
            if stop and stop.is_set():
                return
            yield from planner.shared(group, list(photos_of))
            continue
        for some in _some(photos_of):
            for item in planner.alone(some):
                if stop and stop.is_set():
                    return
                yield item
    if only_failed:
        for name, uri in ledger.failures_not_met():
            yield Result(
                Photo(name, uri, Place(""), {}), "failed", "no source of the job has it now"
            )


@dataclass(frozen=True)
class _Planner:
    ledger: Ledger
    reader: Reader
    model: str
    fields: Fields
    policy: Policy
    pipeline: str | None
    kept_out: KeptOut
    misread: str | None
    only_failed: bool

    def alone(self, photos: list[Photo]) -> Iterator[Work | Result]:
        """Photos that are each a document of their own."""
        new = photos
        if not self.ledger.meet_new(photos):
            new = []
            for photo in photos:
                first = self.ledger.meet(photo)
                if first is None:
                    new.append(photo)
                else:
                    yield from self._met(photo, first)
        known = self.ledger.entries([photo.id for photo in new])
        if self.only_failed:
            new = [p for p in new if p.id in known and known[p.id].state == "failed"]
        out = self.kept_out.among([photo.id for photo in new])
        for photo in new:
            if photo.id in out:
                yield Result(photo, "unchanged", TAKEN_DOWN)
            else:
                yield self._planned(photo, known.get(photo.id))

    def _met(self, photo: Photo, first: str) -> Iterator[Result]:
        """first: what was met before under its name or its id, see `Ledger.meet`."""
        if first == photo.uri:
            return
        if first.startswith(f"{photo.uri}@"):
            uri = f"{photo.uri}@{photo.place.offset}"
            twin = photo._replace(id=id_of(uri), uri=uri)
            if not self.ledger.meet(twin):
                start = first.rpartition("@")[2]
                reason = f"a second member of this name; the first, at byte {start}, was taken"
                yield Result(twin, "failed", reason)
            return
        reason = f"its id {photo.id!r} is that of {first} already"
        yield Result(photo._replace(id=photo.uri), "failed", reason)

    def _planned(self, photo: Photo, known: Entry | None) -> Work | Result:
        told = columns_hash(photo, self.fields, self.policy, self.pipeline)
        same = known is not None and known.model == self.model and known.columns_hash == told
        item = self._read(photo, known, told, same)
        if isinstance(item, Work) and known and known.content_hash:
            item = item._replace(gone=tuple(set(known.names) - set(photo.columns)))
        return item

    def shared(self, document: str, photos: list[Photo]) -> Iterator[Found]:
        """The photos of one document; it must be written where anything has changed."""
        self.ledger.meet_group(photos)
        known = self.ledger.group(document)
        if self.only_failed and not any(
            photo.id in known and known[photo.id].state == "failed" for photo in photos
        ):
            return
        if self.kept_out.among([document]):
            yield from (Result(photo, "unchanged", TAKEN_DOWN) for photo in photos)
            return
        held = {name: entry for name, entry in known.items() if entry.content_hash}
        routing = next((photo.routing for photo in photos if photo.routing), None)
        was = next((entry.routing for entry in held.values() if entry.columns_hash), routing)
        if was != routing:
            reason = _routed_anew(was, routing)
            yield from (Result(photo, "failed", reason) for photo in photos)
            return
        if self.misread and held.keys() - {photo.id for photo in photos}:
            reason = f"a photo of its document is in no row, and may be in one: {self.misread}"
            yield from (Result(photo, "failed", reason) for photo in photos)
            return
        photos = [_routed_alike(photo, routing) for photo in photos]
        made_by = rules(self.fields, self.policy, self.model)
        fit = {name for name, entry in held.items() if entry.rules == made_by}
        parts = {n: part for n, part in self.ledger.parts(document).items() if n in fit}
        results: list[Result] = []
        works: list[Work] = []
        renewed: dict[str, Result] = {}
        for photo in photos:
            entry = known.get(photo.id)
            failed = entry is not None and entry.state == "failed"
            if self.only_failed and not failed and (photo.id in fit or photo.id not in held):
                continue
            told = columns_hash(photo, self.fields, self.policy, self.pipeline)
            item = self._read(photo, entry, told, photo.id in fit)
            if entry and photo.id in fit and entry.columns_hash != told:
                new = Result(
                    photo, "indexed", None, entry.version, entry.content_hash, told,
                    part=parts[photo.id], rules=made_by,
                )  # fmt: skip
                if isinstance(item, Work):
                    renewed[photo.id] = new
                elif item.state == "unchanged":
                    item = new
            if isinstance(item, Work):
                works.append(item)
            else:
                results.append(item)
        there = {photo.id for photo in photos}
        names = {name for entry in known.values() for name in entry.names}
        names -= {self.fields.caption, *(name for photo in photos for name in photo.columns)}
        left = tuple(name for name in held if name not in there)
        due = bool(left) or any(entry.columns_hash is None for entry in held.values())
        if works or due or any(result.state == "indexed" for result in results):
            yield GroupWork(
                document,
                tuple(photos),
                {name: part for name, part in parts.items() if name in there},
                tuple(results),
                tuple(work.photo.id for work in works),
                renewed,
                due,
                tuple(names),
                left,
                tuple(name for name in held if name not in fit),
            )
            yield from works
        else:
            yield from results

    def _read(self, photo: Photo, known: Entry | None, told: str, same: bool) -> Work | Result:
        """Work, or the result where there is none. same: what is written of the photo stays so
        unless its content has changed.
        """
        if photo.problem:
            return Result(photo, "failed", photo.problem)
        # where the document is known to be gone or to be written anew, it may go elsewhere
        if known and known.columns_hash and known.routing != photo.routing:
            return Result(photo, "failed", _routed_anew(known.routing, photo.routing))
        try:
            version = self.reader.version(photo.place)
        except PhotoError as error:
            return Result(photo, "failed", str(error))
        work = Work(photo, version, told)
        if not (same and known and known.content_hash):
            return work
        if version and version == known.version and known.state != "failed":
            return Result(photo, "unchanged", None, version)
        return work._replace(known_hash=known.content_hash, version=version or known.version)


def _some(photos: Iterable[Photo]) -> Iterator[list[Photo]]:
    """Photos as they come, many at a time where they come quickly: asking the ledger for each
    would cost more than finding it.
    """
    some: list[Photo] = []
    since = 0.0
    error: Exception | None = None
    found = iter(photos)
    while True:
        try:
            photo = next(found, None)
        except Exception as raised:  # what was found before it counts
            photo, error = None, raised
        if photo is not None:
            since = since if some else time.monotonic()
            some.append(photo)
        if some and (photo is None or len(some) >= AT_ONCE or time.monotonic() - since > QUICKLY):
            yield some
            some = []
        if error:
            raise error
        if photo is None:
            return


def _routed_anew(before: str | None, now: str | None) -> str:
    was, is_ = ("its id" if one is None else repr(one) for one in (before, now))
    return (
        f"it was routed by {was} and is routed by {is_} now, which would make a second document: "
        "put that back, or delete the first one and run job verify"
    )


def _routed_alike(photo: Photo, routing: str | None) -> Photo:
    if photo.problem or photo.routing == routing:
        return photo
    reason = f"it is routed by {photo.routing!r}, and the document that it shares by {routing!r}"
    return photo._replace(problem=reason)
