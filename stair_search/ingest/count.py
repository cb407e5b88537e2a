"""How many photos there are, counted beside a run, so that it can tell how long it will take."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from pathlib import Path

from .shards import is_shard
from .sources import EXTENSIONS, Sources


def count(sources: Sources, stop: threading.Event) -> int | None:
    """About how many, by names alone; None where a tar file would have to be read for it, or after
    a stop.
    """
    total = sum(map(len, sources.lists))
    for path in sources.others:
        found = _below(path, stop) if path.is_dir() else None if is_shard(path.name) else 1
        if found is None:
            return None
        total += found
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
        elif is_shard(entry.name):
            return None
        else:
            total += os.path.splitext(entry.name)[1].lower() in EXTENSIONS  # noqa: PTH122 - quick
    return total
