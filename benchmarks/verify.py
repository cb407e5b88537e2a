"""Seconds and peak memory of `job verify` at 1 and 10 million photos, and of a run that meets them.

    python -m benchmarks.verify [--photos 1000000 10000000]

The ledger is a real one; the index is a stand-in, whose scan comes from a generator in an order
that has nothing to do with the ledger's, since a node with 10 million documents takes hours to
fill. Each case is a process of its own, so that its peak is its own: "alike" (1 in 1,000 documents
is missing and 1 in 1,000 is another's), "empty" (all are missing), "meet" (a dry run's ledger notes
every photo as met, and looks for those that are gone). JSON as the command writes it goes to
/dev/null. The folder for it is --folder, and SQLite's temporary files are there too.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from benchmarks.machine import machine
from stair_search.cli.output import emit_long
from stair_search.engines.base import Engine, EngineInfo
from stair_search.ingest import JobSettings, verify
from stair_search.ingest import job as jobs
from stair_search.ingest.ledger import Ledger
from stair_search.ingest.photo import Photo, Place
from stair_search.ingest.plan import AT_ONCE

CASES = ("alike", "empty", "meet")
EVERY = 1_000
MODEL = "starter-1-0123456789ab"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.case:
        print(json.dumps(measured(given.case, given.photos[0], given.folder)))
        return
    print(f"{machine()}, SQLite {sqlite3.sqlite_version}")
    print(f"\n| {'photos':>10} | case  | seconds | peak MiB | missing    | stale      |")
    for photos in given.photos:
        with tempfile.TemporaryDirectory(prefix="stair-verify-", dir=given.folder) as folder:
            made = Path(folder) / "job"
            make(made, photos)
            for case in given.cases:
                copy = Path(folder) / "copy"
                shutil.copytree(made, copy)
                told = apart(case, photos, copy)
                shutil.rmtree(copy)
                print(
                    f"| {photos:>10} | {case:5} | {told['seconds']:7.0f} | {told['mib']:8.0f} "
                    f"| {told['missing']:>10} | {told['stale']:>10} |",
                    flush=True,
                )


def apart(case: str, photos: int, folder: Path) -> dict[str, Any]:
    """A case in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.verify", "--case", case, "--photos", str(photos)]
    environment = os.environ | {"SQLITE_TMPDIR": str(folder)}
    done = subprocess.run(
        [*command, "--folder", str(folder)], stdout=subprocess.PIPE, check=True, env=environment
    )
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def measured(case: str, photos: int, folder: Path) -> dict[str, Any]:
    began = time.perf_counter()
    missing, stale = (met if case == "meet" else verified)(case, photos, folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "mib": peak, "missing": missing, "stale": stale}


def verified(case: str, photos: int, folder: Path) -> tuple[int, int]:
    found = verify(folder, cast(Engine, StandIn(0 if case == "empty" else photos)))
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        sys.stdout, stdout = nowhere, sys.stdout
        emit_long("json", found._asdict(), list)
        sys.stdout = stdout
    return len(found.missing), len(found.stale)


def met(_case: str, photos: int, folder: Path) -> tuple[int, int]:
    ledger = Ledger(folder, read_only=True)
    for start in range(0, photos, AT_ONCE):
        uris = [name(n) for n in range(start, min(start + AT_ONCE, photos)) if n % EVERY]
        ledger.meet_new([Photo(uri, uri, Place(""), {}) for uri in uris])
        ledger.entries(uris)
    missing, _ = ledger.find_missing()
    ledger.close()
    return missing, 0


def make(folder: Path, photos: int) -> None:
    """A job's folder with a ledger of so many photos, as after a run."""
    with jobs.locked(folder):
        settings = JobSettings(("/photos",), f"sqlite:{folder / 'none.db'}", folder=folder)
        jobs.save(folder, "settings.json", settings.to_dict())
        ledger = Ledger(folder)
        ledger.begin(StandIn.identity)
        ledger.close()
        db = sqlite3.connect(folder / "ledger.db")
        db.executemany(
            "INSERT INTO photos(id, uri, state, version, content_hash, columns_hash, names, model, "
            "run, at) VALUES (?, ?, 'indexed', ?, ?, 'c', '[]', ?, 1, 0)",
            ((name(n), name(n), f"stat:{n}:{n}", content(n), MODEL) for n in range(photos)),
        )
        db.commit()
        db.close()


def name(n: int) -> str:
    return f"file:///photos/2026/{n // 1000:05}/{n:08}.jpg"


def content(n: int) -> str:
    return f"{n * 0x9E3779B97F4A7C15 % 2**256:064x}"


class StandIn:
    """An index of `photos` documents, every thousandth missing, and as many others changed."""

    identity = "stand-in"
    info = EngineInfo("sqlite", "0", "sqlite:/nowhere")

    def __init__(self, photos: int) -> None:
        self.photos = photos

    def exists(self, index: str) -> bool:
        return True

    def uuid(self, index: str) -> str:
        return self.identity

    def refresh(self, index: str) -> None:
        pass

    def mapping(self, index: str) -> dict[str, Any]:
        return {}

    def scan(self, index: str, fields: list[str]) -> Iterator[tuple[str, dict[str, str]]]:
        step = 7_654_321  # has no divisor in common with the number of photos
        for place in range(self.photos):
            n = place * step % self.photos
            if n % EVERY:
                told = content(n) if n % EVERY > 1 else "another"
                yield name(n), dict(zip(fields, (told, MODEL), strict=True))


if __name__ == "__main__":
    main()
