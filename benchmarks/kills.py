"""Runs of `ingest` killed with `kill -9` at random moments, resumed and verified: what is lost.

    python -m benchmarks.kills [--runs 50] [--executor local|ray] [--seed N] [--url URL]

Each run is a job of its own over 240 photos into a new index of a real node; it is killed once or
twice, most times while it encodes, then run to its end. Prints a line of JSON a run: photos encoded
when each kill came, photos encoded twice and the bound on them that the run had told, and what
`job verify` found. Ends with 1 where a photo is lost, stale, or encoded again beyond the bound.
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path

from benchmarks import jobs
from stair_search.engines import connect
from stair_search.ingest import JobSettings
from tests.ingest.killing import PHOTOS, Killed, kill, many_photos

BULK_DOCUMENTS = 32
"""In a request: at the usual number all 240 photos would be in flight at once."""


def main() -> int:
    parser = jobs.options(__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    given = parser.parse_args()
    url = jobs.engine_url(given)
    engine = connect(url)
    jobs.heading(engine, given, f"{PHOTOS} photos, {given.runs} runs, seed {given.seed}")
    dice = random.Random(given.seed)
    runs = []
    with tempfile.TemporaryDirectory(prefix="stair-benchmark-") as name:
        folder = Path(name)
        photos = many_photos(folder / "photos")
        for n in range(given.runs):
            with jobs.index_of(url) as index:
                job = JobSettings(
                    (str(photos),),
                    url,
                    index,
                    executor=given.executor,
                    folder=folder / str(n),
                    bulk_documents=BULK_DOCUMENTS,
                )
                runs.append(kill(job, folder / f"{n}.log", dice, engine))
                found = runs[-1].found
                lists = {"missing": list(found.missing), "stale": list(found.stale)}
                shown = runs[-1]._asdict() | {"bound": runs[-1].most, "good": good(runs[-1])}
                jobs.show(shown | {"found": found._asdict() | lists})
    kills, in_time = sum(len(run.at) for run in runs), sum(run.in_time for run in runs)
    shares = [run.twice / run.most for run in runs]
    print(
        f"{len(runs)} runs, {kills} kills, {in_time} of them in time: {sum(map(good, runs))} with "
        f"expected = present = {PHOTOS}, none missing, none stale, within the bound; encoded twice "
        f"{sum(run.twice for run in runs)} photos, at most {max(run.twice for run in runs)} in a "
        f"run, {max(shares):.0%} of its bound"
    )
    return 0 if all(map(good, runs)) else 1


def good(run: Killed) -> bool:
    return run.found == (PHOTOS, PHOTOS, [], []) and 0 <= run.twice <= run.most


if __name__ == "__main__":
    sys.exit(main())
