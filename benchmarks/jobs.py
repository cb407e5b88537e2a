"""What the benchmarks of ingest share: an engine, jobs into indices of their own, photos by number.

Indices are removed after; a benchmark that is killed leaves one, named stair-benchmark-….
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.machine import machine
from stair_search.encoders import load_encoder
from stair_search.engines import Engine
from stair_search.ingest import JobSettings, Report, run
from stair_search.ingest.decode import decode
from stair_search.ingest.encoder import Encoder
from stair_search.ingest.photo import Loaded, Prepared, Work
from stair_search.tokens import TokenWeights
from stair_search.vocabulary import Vocabulary
from tests.nodes.nodes import NODES, URL_VARIABLES, kept
from tests.photos import package_photos


def options(about: str | None) -> argparse.ArgumentParser:
    """A parser with what every one of them takes."""
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", help="default: OpenSearch as `make engines` left it")
    parser.add_argument("--executor", choices=["local", "ray"], default="local")
    return parser


def engine_url(given: argparse.Namespace) -> str:
    """--url, the variable of the tests, or the node that `make engines` left running."""
    node = kept(NODES["opensearch"])
    url = given.url or os.environ.get(URL_VARIABLES["opensearch"]) or (node.url if node else None)
    if url is None:
        raise SystemExit("no engine: `make engines`, or --url")
    return str(url)


def heading(engine: Engine, given: argparse.Namespace, data: str) -> None:
    """The machine, the engine and the photos, in a line."""
    print(
        f"{machine()}, Python {platform.python_version()}; "
        f"{engine.info.product} {engine.info.version}; executor {given.executor}; {data}",
        flush=True,
    )


def show(values: dict[str, Any]) -> None:
    """A line of JSON, numbers of three digits behind the point."""
    short = {k: round(v, 3) if isinstance(v, float) else v for k, v in values.items()}
    print(json.dumps(short), flush=True)


@contextmanager
def index_of(url: str) -> Iterator[str]:
    """A name that nobody else has; an index of that name is gone afterwards."""
    name = f"stair-benchmark-{uuid.uuid4().hex[:12]}"
    try:
        yield name
    finally:
        drop(url, name)


def drop(url: str, name: str) -> None:
    if url.startswith("http"):
        gone = urllib.request.Request(f"{url}/{name}?ignore_unavailable=true", method="DELETE")
        urllib.request.urlopen(gone).close()


def ingest(settings: JobSettings, engine: Engine, encoder: Encoder) -> Report:
    """A whole job; all of its photos must come in."""
    report = run(settings, engine, encoder=encoder)
    assert report.failed == 0, report
    return report


# --- photos that are numbers, and their ready-made tokens -----------------------------------------

SIDE = 4
DIFFERENT = 64
GRAIN = 6.0


@dataclass(frozen=True)
class Table:
    """An encoder that costs nothing: a photo that `number_photos` made has its row of a table."""

    rows: tuple[TokenWeights, ...]
    vocabulary: Vocabulary
    name: str = "table"
    fingerprint: str = "table-1"
    device: str = "cpu"
    precision: str = "fp32"
    image_size: int = SIDE
    prepare: Callable[[Image.Image], NDArray[np.uint8]] = np.asarray

    def memory(self) -> None:
        """A CPU's is not asked for."""

    def prepare_image(self, image: Image.Image) -> NDArray[np.uint8]:
        return self.prepare(image)

    def encode_images(self, pixels: NDArray[np.uint8]) -> list[TokenWeights]:
        high, middle, low = pixels[:, 0, 0].astype(int).T
        return [self.rows[n % len(self.rows)] for n in (high << 16 | middle << 8 | low)]


def seeing(table: Table, encoder: Encoder) -> Table:
    """The same table; photos are made as small as this encoder has them, which is not free."""
    return replace(table, image_size=encoder.image_size, prepare=encoder.prepare_image)


def table() -> Table:
    """Rows as the starter makes them: of real photos, each turned and cut in several ways."""
    encoder = load_encoder("starter")
    pixels = []
    photos = list(package_photos().values())
    for n in range(DIFFERENT):
        photo = decode(photos[n % len(photos)].read_bytes())
        width, height = photo.size
        part = 1 - n // len(photos) / 10
        photo = photo.crop((0, 0, max(1, int(width * part)), max(1, int(height * part))))
        pixels.append(encoder.prepare_image(photo))
    made = [
        row for at in range(0, DIFFERENT, 8)
        for row in encoder.encode_images(np.stack(pixels[at : at + 8]))
    ]  # fmt: skip
    return Table(tuple(made), encoder.vocabulary)


def number_photo(n: int) -> Image.Image:
    """A few pixels, which say which photo it is; decoded in some 30 µs."""
    return Image.new("RGB", (SIDE, SIDE), (n >> 16, n >> 8 & 255, n & 255))


def number_photos(folder: Path, count: int) -> Path:
    """A folder of such photos, a thousand to a folder below it."""
    for n in range(count):
        place = folder / f"{n // 1000:03}" / f"{n:06}.png"
        if n % 1000 == 0:
            place.parent.mkdir(parents=True)
        number_photo(n).save(place, compress_level=1)
    return folder


@contextmanager
def ready_made() -> Iterator[None]:
    """Within it, numbered photos come without their files being read."""
    local = "stair_search.ingest.local"
    with (
        patch(f"{local}.read", lambda work, _: Loaded(work, b"", "")),
        patch(f"{local}.prepare", lambda loaded, *_: _ready_made(loaded.work)),
    ):
        yield


def _ready_made(work: Work) -> Prepared:
    n = int(work.photo.uri[-10:-4])
    pixels = np.full((SIDE, SIDE, 3), (n >> 16, n >> 8 & 255, n & 255), np.uint8)
    return Prepared(work, f"{n * 0x9E3779B97F4A7C15:064x}", SIDE, SIDE, pixels, 0.0)


def large_photos(folder: Path, count: int) -> list[Path]:
    """JPEGs of 12 megapixels: photos of packages, enlarged, with as much grain as a camera leaves;
    links to some twenty, each a photo of its own.
    """
    folder.mkdir(parents=True)
    dice = np.random.default_rng(0)
    made: list[Path] = []
    for n, source in enumerate(list(package_photos().values())[: min(count, 20)]):
        photo = decode(source.read_bytes()).resize((4000, 3000), Image.Resampling.BICUBIC)
        grain = dice.normal(0, GRAIN, (3000, 4000, 1)).astype(np.float32)
        pixels = np.clip(np.asarray(photo) + grain, 0, 255).astype(np.uint8)
        made.append(folder / f"{n:04}.jpg")
        Image.fromarray(pixels).save(made[-1], quality=90)
    for n in range(len(made), count):
        made.append(folder / f"{n:04}.jpg")
        os.link(made[n % 20], made[-1])
    return made
