"""How many photos there are, counted beside a run, so that it can tell how long it will take."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from pathlib import Path

from .photo import PhotoError
from .sources import EXTENSIONS, Folder, Prefix, Sources, looked_into, objects


def count(sources: Sources, stop: threading.Event) -> int | None:
    """About how many, by names alone; None where a tar file would have to be read for it, or after
    a stop.
    """
    total = sum(map(len, sources.lists))
    for source in sources.others:
        if isinstance(source, Folder):
            found = _below(source.path, stop)
        elif isinstance(source, Prefix):
            found = _stored(source, stop)
        else:
            found = 1 if source.single else None
        if found is None:
            return None
        total += found
    return total


def _stored(source: Prefix, stop: threading.Event) -> int | None:
    total = 0
    try:
        for file in objects(source):
            if stop.is_set() or not file.single:
                return None
            total += 1
    except PhotoError:
        return None
    return total


def _below(root: Path, stop: threading.Event) -> int | None:
    """Links to folders are not followed here."""
    total, waiting = 0, [os.fspath(root)]
    while waiting:
        if stop.is_set():
            return None
        try:
            with os.scandir(waiting.pop()) as entries:
                found = _counted(entries, waiting)
        except OSError:
            continue
        if found is None:
            return None
        total += found
    return total


def _counted(entries: Iterable[os.DirEntry[str]], waiting: list[str]) -> int | None:
    total = 0
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            waiting.append(entry.path)
        elif looked_into(entry.name):
            return None
        else:
            total += os.path.splitext(entry.name)[1].lower() in EXTENSIONS  # noqa: PTH122 - quick
    return total
