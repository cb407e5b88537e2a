"""Peak memory of `ingest` at 100,000 photos against 10,000: what grows with their number.

    python -m benchmarks.memory [--small 10000] [--large 100000] [--executor local|ray] [--url URL]

Photos of a few pixels, tokens ready-made. Each ingest is a process of its own, which goes through a
hundred photos first. Its memory and that of all processes below it (Ray's) is summed every 100 ms
from Linux's /proc as PSS, in which a page that several share counts once; the largest sum is shown,
and that above what was there after the first hundred.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import jobs
from stair_search.engines import connect
from stair_search.ingest import JobSettings
from stair_search.ingest.job import Executor

WARM = 100
EVERY = 0.1
MB = 2**20


def main() -> None:
    parser = jobs.options(__doc__)
    parser.add_argument("--small", type=int, default=10_000)
    parser.add_argument("--large", type=int, default=100_000)
    parser.add_argument(
        "--of", nargs=3, metavar=("TABLE", "WARM", "PHOTOS"), help="an ingest, measured"
    )
    given = parser.parse_args()
    url = jobs.engine_url(given)
    if given.of:
        ingest(url, given.executor, *map(Path, given.of))
        return
    engine = connect(url)
    jobs.heading(engine, given, f"{given.small:,} and {given.large:,} photos")
    peaks = []
    with TemporaryDirectory(prefix="stair-benchmark-") as name:
        table = Path(name) / "table"
        table.write_bytes(pickle.dumps(jobs.table()))  # no process has the model in its memory
        warm = jobs.number_photos(Path(name) / "warm", WARM)
        for count in (given.small, given.large):
            photos = jobs.number_photos(Path(name) / str(count), count)
            began = time.monotonic()
            before, peak = measured(url, given.executor, table, warm, photos)
            peaks.append(peak)
            jobs.show(
                {
                    "photos": count,
                    "seconds": time.monotonic() - began,
                    "before_mb": before / MB,
                    "peak_mb": peak / MB,
                }
            )
    print(f"peak at {given.large:,} over peak at {given.small:,}: {peaks[1] / peaks[0]:.2f}")


def ingest(url: str, executor: Executor, rows: Path, warm: Path, photos: Path) -> None:
    """One job after the other; says when the first is done."""
    engine, table = connect(url), pickle.loads(rows.read_bytes())
    for place in (warm, photos):
        with TemporaryDirectory(prefix="stair-benchmark-") as folder, jobs.index_of(url) as index:
            job = JobSettings((str(place),), url, index, executor=executor, folder=Path(folder))
            jobs.ingest(job, engine, table)
        print("done", flush=True)


def measured(url: str, executor: str, *places: Path) -> tuple[int, int]:
    """Bytes after the warming and at most."""
    command = [
        *(sys.executable, "-m", "benchmarks.memory", "--url", url, "--executor", executor),
        *("--of", *map(str, places)),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "done\n"
    before = peak = held(process.pid)
    while process.poll() is None:
        peak = max(peak, held(process.pid))
        time.sleep(EVERY)
    assert process.returncode == 0
    return before, peak


def held(root: int) -> int:
    """Bytes of a process and of all below it."""
    below: dict[int, list[int]] = defaultdict(list)
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(place.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
        below[parent].append(int(place.parent.name))
    total, waiting = 0, [root]
    while waiting:
        pid = waiting.pop()
        waiting += below[pid]
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


if __name__ == "__main__":
    main()
