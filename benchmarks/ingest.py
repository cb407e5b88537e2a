"""Images per second of `ingest` against the encoder alone, interleaved in one run.

    python -m benchmarks.ingest [--url URL] [--photos N] [--rounds 2] [--executor local] [--model M]

Photos: the COCO photos of ../shared/data. Engine: --url, else OpenSearch as `make engines` left it.
Encoder alone: `encode_images` on batches that were decoded before, in two ways: one caller and an
encoder that uses all CPUs ("one"), a caller a CPU and an encoder that uses one ("many", as ingest
does). Each round measures both on 512 photos, then the whole of `ingest` into a new index, then
both again; its ratio is that of ingest to the mean of the quicker way. Prints a line of JSON a
round.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stair_search.encoders import load_encoder
from stair_search.engines import Engine, connect
from stair_search.ingest import JobSettings, Report, run
from stair_search.ingest.decode import decode
from stair_search.ingest.encoder import Encoder, load
from tests.conftest import SHARED_DATA
from tests.nodes.nodes import NODES, kept

INDEX = "stair-benchmark-ingest"
ALONE = 512


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url")
    parser.add_argument("--photos", type=int, default=0, help="0: all")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--executor", choices=["local", "ray"], default="local")
    parser.add_argument("--model", default="starter")
    given = parser.parse_args()
    node = kept(NODES["opensearch"])
    url = given.url or (node.url if node else None)
    if url is None:
        parser.error("no engine: `make engines`, or --url")
    photos = sorted((SHARED_DATA / "coco-captions" / "images").iterdir())
    photos = photos[: given.photos or None]
    ways = {"one": (load_encoder(given.model), 1), "many": (load(given.model), os.cpu_count() or 1)}
    encoder = load(given.model)
    batches = prepared(encoder, photos[:ALONE])
    engine = connect(url)
    print(
        f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}; "
        f"{engine.info.product} {engine.info.version}; {len(photos)} COCO photos; "
        f"model {encoder.fingerprint}; executor {given.executor}"
    )
    for way in ways.values():
        alone(*way, batches[:4])  # warm
    ratios = []
    with tempfile.TemporaryDirectory(prefix="stair-benchmark-") as folder:
        for n in range(given.rounds):
            before = {name: alone(*way, batches) for name, way in ways.items()}
            settings = JobSettings(
                tuple(map(str, photos)),
                url,
                f"{INDEX}-{os.getpid()}-{n}",
                given.model,
                executor=given.executor,
                folder=Path(folder) / str(n),
            )
            report = ingest(settings, engine, encoder)
            after = {name: alone(*way, batches) for name, way in ways.items()}
            means = {name: statistics.mean([before[name], after[name]]) for name in ways}
            ratios.append(report.images_per_second / max(means.values()))
            told = {
                "encoder_alone": {
                    name: [round(before[name], 2), round(after[name], 2)] for name in ways
                },
                "ingest": report.images_per_second,
                "ratio": round(ratios[-1], 3),
                "bottleneck": report.bottleneck,
                "stages": {name: stage["busy_seconds"] for name, stage in report.stages.items()},
            }
            print(json.dumps(told), flush=True)
    print(f"ratio, median of {given.rounds}: {statistics.median(ratios):.3f}")


def prepared(encoder: Encoder, photos: list[Path]) -> list[NDArray[np.uint8]]:
    """The photos in batches as ingest makes them."""
    pixels = [encoder.prepare_image(decode(photo.read_bytes())) for photo in photos]
    size = JobSettings(("",)).encode_batch
    return [np.stack(pixels[at : at + size]) for at in range(0, len(pixels), size)]


def alone(encoder: Encoder, callers: int, batches: list[NDArray[np.uint8]]) -> float:
    """Images per second of the encoder."""
    began = time.perf_counter()
    with ThreadPoolExecutor(callers) as pool:
        for _ in pool.map(encoder.encode_images, batches):
            pass
    return sum(map(len, batches)) / (time.perf_counter() - began)


def ingest(settings: JobSettings, engine: Engine, encoder: Encoder) -> Report:
    """A whole job into an index that is made for it and removed after."""
    try:
        report = run(settings, engine, encoder=encoder)
    finally:
        if settings.url.startswith("http"):
            gone = urllib.request.Request(f"{settings.url}/{settings.index}", method="DELETE")
            urllib.request.urlopen(gone).close()
    assert report.failed == 0, report
    return report


if __name__ == "__main__":
    main()
