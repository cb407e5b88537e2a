"""What a small photo costs before it is decoded: from a folder, tar shards and lists; µs a photo.

    python -m benchmarks.files [--photos 100000] [--rounds 2]

The same photos of a few pixels lie a thousand to a folder, in ten tar files, and in the folder with
a CSV and an NDJSON list that name them. `find`: until a photo is known (a list is read before the
first); `plan`: met in the ledger of a new job; `read`: its bytes read and hashed; `again`: find and
plan in the next run, where nothing has changed. CPU time in one thread, in turns, of which the
least of the rounds counts: whatever else the machine does is added.
"""

from __future__ import annotations

import csv
import hashlib
import json
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from benchmarks import jobs
from benchmarks.machine import machine
from stair_search.engines import connect
from stair_search.fields import Fields
from stair_search.ingest.groups import Found
from stair_search.ingest.kept_out import KeptOut
from stair_search.ingest.ledger import Ledger
from stair_search.ingest.photo import Result, Work
from stair_search.ingest.plan import plan
from stair_search.ingest.policy import Policy
from stair_search.ingest.reading.addresses import Allowed
from stair_search.ingest.reading.reader import Reader
from stair_search.ingest.sources import Sources

T = TypeVar("T")
SHARDS = 10
STEPS = ("find", "plan", "read", "again")


def main() -> None:
    parser = jobs.options(__doc__)
    parser.add_argument("--photos", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stair-benchmark-") as name:
        folder = Path(name)
        places = made(folder, given.photos)
        print(f"{machine()}; {given.photos:,} photos of {jobs.SIDE} pixels a side", flush=True)
        least: dict[str, dict[str, float]] = {}
        for n in range(given.rounds):
            for place, source in places.items():
                spent = measured(source, given.photos, folder / f"{place}-{n}")
                jobs.show({"from": place, **spent})
                best = least.setdefault(place, spent)
                least[place] = {step: min(best[step], spent[step]) for step in STEPS}
    print(f"\n| µs a photo | {' | '.join(STEPS)} | find + plan + read |")
    print(f"|---|{'---:|' * (len(STEPS) + 1)}")
    for place, spent in least.items():
        first = sum(spent[step] for step in STEPS[:3])
        print(f"| {place} | {' | '.join(f'{spent[s]:.0f}' for s in STEPS)} | {first:.0f} |")


def made(folder: Path, count: int) -> dict[str, tuple[str, ...]]:
    """Where the photos lie -> the sources that hold them all."""
    photos = jobs.number_photos(folder / "photos", count)
    files = sorted(photos.rglob("*.png"))
    shards = []
    for n in range(SHARDS):
        shards.append(str(folder / f"{n:04}.tar"))
        with tarfile.open(shards[-1], "w") as tar:
            for file in files[n * len(files) // SHARDS : (n + 1) * len(files) // SHARDS]:
                tar.add(file, file.name)
    names = [str(file.relative_to(folder)) for file in files]
    with (folder / "list.csv").open("w", newline="") as text:
        csv.writer(text).writerows([["image"], *([name] for name in names)])
    lines = (json.dumps({"image": name}) for name in names)
    (folder / "list.ndjson").write_text("".join(f"{line}\n" for line in lines))
    return {
        "folder": (str(photos),),
        "tar": tuple(shards),
        "csv": (str(folder / "list.csv"),),
        "ndjson": (str(folder / "list.ndjson"),),
    }


def measured(source: tuple[str, ...], count: int, home: Path) -> dict[str, float]:
    """µs a photo of each step."""
    reader, fields, policy = Reader(Allowed()), Fields(), Policy()
    home.mkdir()

    def planned(ledger: Ledger) -> Iterable[Found]:
        return plan(
            photos, ledger, reader, model="m", fields=fields, policy=policy, kept_out=kept_out
        )

    kept_out = KeptOut(connect(f"sqlite:{home}/stair.db"), "photos")

    photos, find = timed(lambda: list(Sources(source, None, fields)))
    ledger = Ledger(home)
    ledger.begin("uuid")
    works, planning = timed(lambda: [item for item in planned(ledger) if isinstance(item, Work)])
    hashes, read = timed(lambda: [digest(reader, work) for work in works])
    results = [
        Result(work.photo, "indexed", None, work.version, content_hash, work.columns_hash)
        for work, content_hash in zip(works, hashes, strict=True)
    ]
    ledger.record(results, model="m")
    ledger.close()
    ledger = Ledger(home)
    ledger.begin("uuid")
    second, find_again = timed(lambda: list(Sources(source, None, fields)))
    again, plan_again = timed(lambda: list(planned(ledger)))
    ledger.close()
    assert len(photos) == len(works) == len(second) == len(again) == count
    assert all(isinstance(item, Result) and item.state == "unchanged" for item in again)
    seconds = {"find": find, "plan": planning, "read": read, "again": find_again + plan_again}
    return {step: spent / count * 1e6 for step, spent in seconds.items()}


def digest(reader: Reader, work: Work) -> str:
    content = reader.read(work.photo.place)
    assert content is not None
    return hashlib.sha256(content.data).hexdigest()


def timed(act: Callable[[], T]) -> tuple[T, float]:
    began = time.process_time()
    return act(), time.process_time() - began


if __name__ == "__main__":
    main()
