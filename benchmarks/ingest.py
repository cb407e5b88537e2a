"""Photos per second of a whole `ingest` against its slowest stage alone, interleaved in one run.

    python -m benchmarks.ingest --case encode|bulk|files|decode [--photos N] [--rounds 2]
                                [--executor local|ray] [--url URL] [--model M]

encode: the COCO photos of ../shared/data and the starter. Alone: `encode_images` on 512 photos that
were decoded before, in two ways: one caller and an encoder that uses all CPUs ("one"), a caller a
CPU and an encoder that uses one ("many", as ingest does).

bulk: 100,000 photos whose tokens are ready-made, as the starter makes them: their files are found
and looked at, but reading, decoding and encoding are stand-ins that cost next to nothing (on Ray
files of a few pixels are read). Alone: the same documents by opensearch-py's parallel_bulk, in the
same kind of request (upsert), into an index with the same settings; its threads and chunks are
those that were quickest on a tenth of them.

files: the same photos, their files of a few pixels read, hashed and decoded, against the same.

decode: JPEGs of 12 megapixels, some 4 MB each. Alone: `prepare` in a thread a CPU.

Each round measures alone, then a whole `ingest` into a new index, then alone again; the ratio is
that of ingest to the mean of the quicker way. Engine and ingest share this machine's CPUs, so what
ingest does beside the slowest stage is taken from that: `cpu` and `cpu_alone` are the CPU time of
this process, µs a photo. `--engine-cpus 1` starts an OpenSearch that has CPUs of its own, as a
cluster has; alone and ingest then share the others.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks import jobs, raw
from stair_search.encoders import load_encoder
from stair_search.engines import Engine, connect
from stair_search.ingest import JobSettings
from stair_search.ingest.decode import decode, prepare
from stair_search.ingest.devices import found_batch
from stair_search.ingest.encoder import Encoder, load
from stair_search.ingest.photo import Photo, Place, Prepared, Work
from stair_search.ingest.read import read
from stair_search.ingest.reading.addresses import Allowed
from stair_search.ingest.reading.reader import Reader
from tests.conftest import SHARED_DATA
from tests.nodes.nodes import NODES, running

ENCODED_ALONE = 512

Alone = Callable[[], float]
"""Photos per second."""


class Case(NamedTuple):
    """What goes in, the ways in which its slowest stage can be had alone, and what an ingest of it
    runs in.
    """

    data: str
    source: tuple[str, ...]
    encoder: Encoder
    alone: dict[str, Alone]
    within: Callable[[], AbstractContextManager[object]] = nullcontext


def main() -> None:
    parser = jobs.options(__doc__)
    parser.add_argument("--case", choices=list(CASES), default="encode")
    parser.add_argument("--photos", type=int, help="default: all of the COCO photos, 100,000, 240")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--model", default="starter", help="of --case encode")
    parser.add_argument("--engine-cpus", type=int, default=0)
    given = parser.parse_args()
    with ExitStack() as until:
        url = until.enter_context(own_engine(given.engine_cpus)) if given.engine_cpus else None
        engine = connect(url or jobs.engine_url(given))
        folder = Path(until.enter_context(tempfile.TemporaryDirectory(prefix="stair-benchmark-")))
        case = CASES[given.case](given, engine, folder)
        jobs.heading(engine, given, f"{case.data}; model {case.encoder.fingerprint}")
        ratios = [one_round(case, given, engine, folder / str(n)) for n in range(given.rounds)]
    print(f"{given.case}: ratio, median of {given.rounds}: {statistics.median(ratios):.3f}")


def one_round(case: Case, given: argparse.Namespace, engine: Engine, home: Path) -> float:
    before = {name: measured(alone) for name, alone in case.alone.items()}
    with jobs.index_of(engine.info.url) as index:
        settings = JobSettings(
            case.source,
            engine.info.url,
            index,
            case.encoder.name,
            executor=given.executor,
            folder=home,
        )
        used = time.process_time()
        with case.within():
            report = jobs.ingest(settings, engine, case.encoder)
        used = time.process_time() - used
    after = {name: measured(alone) for name, alone in case.alone.items()}
    means = {name: statistics.mean([before[name].rate, after[name].rate]) for name in before}
    ratio = report.images_per_second / max(means.values())
    jobs.show(
        {
            "alone": {n: [round(before[n].rate, 1), round(after[n].rate, 1)] for n in before},
            "ingest": report.images_per_second,
            "ratio": ratio,
            "cpu_alone": {n: [round(before[n].cpu), round(after[n].cpu)] for n in before},
            "cpu": used / report.seen * 1e6,
            "bottleneck": report.bottleneck,
            "busy_seconds": {n: stage["busy_seconds"] for n, stage in report.stages.items()},
        }
    )
    return ratio


class Measured(NamedTuple):
    """Photos per second, and µs of this process's CPU time a photo."""

    rate: float
    cpu: float


def measured(alone: Alone) -> Measured:
    used, began = time.process_time(), time.perf_counter()
    rate = alone()
    photos = rate * (time.perf_counter() - began)
    return Measured(rate, (time.process_time() - used) / photos * 1e6)


@contextmanager
def own_engine(cpus: int) -> Iterator[str]:
    """An OpenSearch that has the first CPUs for itself; the rest of them is what this process has
    from then on.
    """
    all_cpus = sorted(os.sched_getaffinity(0))
    if not 0 < cpus < len(all_cpus):
        raise SystemExit(f"--engine-cpus {cpus}: there are {len(all_cpus)}, and ingest needs one")
    os.sched_setaffinity(0, all_cpus[:cpus])  # what a process starts has the same
    with running(NODES["opensearch"]) as node:
        os.sched_setaffinity(0, all_cpus[cpus:])
        yield node.url


def encode_case(given: argparse.Namespace, engine: Engine, folder: Path) -> Case:
    photos = sorted((SHARED_DATA / "coco-captions" / "images").iterdir())[: given.photos]
    encoder = load(given.model)
    one = load_encoder(given.model)
    many = load(given.model)
    batches = prepared(encoder, photos[:ENCODED_ALONE])
    for each in (one, many):
        encoded(each, 1, batches[:4])  # warm
    return Case(
        f"{len(photos)} COCO photos",
        tuple(map(str, photos)),
        encoder,
        {
            "one": lambda: encoded(one, 1, batches),
            "many": lambda: encoded(many, os.cpu_count() or 1, batches),
        },
    )


def bulk_case(given: argparse.Namespace, engine: Engine, folder: Path) -> Case:
    case = files_case(given, engine, folder)
    return case if given.executor == "ray" else case._replace(within=jobs.ready_made)


def files_case(given: argparse.Namespace, engine: Engine, folder: Path) -> Case:
    count = given.photos or 100_000
    table = jobs.table()
    way = raw.best(engine, table, max(2_000, count // 10))
    return Case(
        f"{count:,} photos; alone: {way.threads} threads, {way.chunk} documents a request",
        (str(jobs.number_photos(folder / "photos", count)),),
        table,
        {"client": lambda: raw.written(engine, table, count, way)},
    )


def decode_case(given: argparse.Namespace, engine: Engine, folder: Path) -> Case:
    photos = jobs.large_photos(folder / "photos", given.photos or 240)
    table = jobs.seeing(jobs.table(), load(given.model))
    works = [Work(Photo(str(p), p.as_uri(), Place(str(p)), {}), None, "") for p in photos]
    reader = Reader(Allowed())

    def decoded() -> float:
        began = time.perf_counter()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for made in pool.map(
                lambda work: prepare(read(work, reader), table.prepare_image, table.image_size),
                works,
            ):
                assert isinstance(made, Prepared)
        return len(works) / (time.perf_counter() - began)

    size = sum(photo.stat().st_size for photo in photos) / len(photos) / 1e6
    what = f"{len(photos)} JPEGs of 12 megapixels, {size:.1f} MB each, held in memory by the system"
    return Case(what, (str(folder / "photos"),), table, {"decode": decoded})


def prepared(encoder: Encoder, photos: list[Path]) -> list[NDArray[np.uint8]]:
    """The photos in batches as ingest makes them."""
    pixels = [encoder.prepare_image(decode(photo.read_bytes())) for photo in photos]
    size = found_batch(encoder, None).size
    return [np.stack(pixels[at : at + size]) for at in range(0, len(pixels), size)]


def encoded(encoder: Encoder, callers: int, batches: list[NDArray[np.uint8]]) -> float:
    """Images per second of the encoder."""
    began = time.perf_counter()
    with ThreadPoolExecutor(callers) as pool:
        for _ in pool.map(encoder.encode_images, batches):
            pass
    return sum(map(len, batches)) / (time.perf_counter() - began)


CASES: dict[str, Callable[[argparse.Namespace, Engine, Path], Case]] = {
    "encode": encode_case,
    "bulk": bulk_case,
    "files": files_case,
    "decode": decode_case,
}

if __name__ == "__main__":
    main()
