"""Photos a second of an encoder alone, by device, precision, batch and compiling, in one run.

    python -m benchmarks.encode [--model M] [--device auto] [--precision fp32 --precision bf16]
                                [--batch 8 --batch 32] [--compile] [--rounds 3] [--data DIR]

Pixels are in memory, one photo over and over; as many threads call as ingest has for the device.
The settings take turns, `--rounds` times; the median counts. "as fp32": the cosine of photos'
tokens with those that the same model gives in fp32 on the CPU, for 64 COCO photos, mean and least;
"top 8": the share of their eight strongest tokens that stay. "batch" is the one that `ingest` would
take where none is given. --compile: each also with torch.compile, whose first call is timed.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import mean, median
from typing import NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import machine
from stair_search.encoders import Encoder, load_encoder
from stair_search.encoders.device import Precision
from stair_search.ingest.batch import rate
from stair_search.ingest.decode import decode
from stair_search.ingest.devices import callers, found_batch, on_gpu
from stair_search.tokens import TokenWeights

PHOTOS = 64
STRONGEST = 8


class Setting(NamedTuple):
    precision: Precision
    compiled: bool
    batch: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="starter")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", action="append", choices=get_args(Precision))
    parser.add_argument("--batch", action="append", type=int)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    given = parser.parse_args()
    made = {
        (precision, compiled): load_encoder(
            given.model, 1, given.device, precision=precision, compile=compiled
        )
        for precision in given.precision or ["auto"]
        for compiled in ([False, True] if given.compile else [False])
    }
    first = next(iter(made.values()))
    print(
        f"{machine()}{_gpu(first)}; {first.fingerprint}; {callers(first)} threads on {first.device}"
    )
    pixels = seen(first, given.data)
    exact = tokens(load_encoder(given.model, device="cpu"), pixels) if len(pixels) else []
    near, began = {}, {}
    for key, encoder in made.items():
        start = time.perf_counter()
        encoder.encode_images(np.zeros((2, first.image_size, first.image_size, 3), np.uint8))
        began[key] = time.perf_counter() - start
        near[key] = agreement(tokens(encoder, pixels), exact) if len(pixels) else "–"
        if on_gpu(encoder):
            print(
                f"{encoder.precision}{', compiled' if key[1] else ''}: {found_batch(encoder, None)}"
            )
    sizes = given.batch or ([1, 8, 32] if not on_gpu(first) else [8, 32, 128, 512])
    settings = [Setting(precision, compiled, n) for n in sizes for precision, compiled in made]
    measured: dict[Setting, list[float]] = {one: [] for one in settings}
    for _ in range(given.rounds):
        for one in settings:
            encoder = made[one[:2]]
            measured[one].append(rate(encoder, callers(encoder), one.batch, given.seconds))
    print("\n| precision | compiled | batch | photos/s | as fp32 (mean, least, top 8) |")
    print("|---|---|---|---|---|")
    for one, rates in measured.items():
        key = one[:2]
        compiled = f"yes, {began[key]:.0f} s" if one.compiled else "no"
        print(
            f"| {made[key].precision} | {compiled} | {one.batch} | {median(rates):.1f} | "
            f"{near[key]} |"
        )


def _gpu(encoder: Encoder) -> str:
    """The name of the GPU, where torch is there to tell it."""
    if not on_gpu(encoder):
        return ""
    try:
        import torch
    except ImportError:
        return ""
    return f", {torch.cuda.get_device_name(encoder.device)}"


def seen(encoder: Encoder, data: Path) -> NDArray[np.uint8]:
    """Photos as the encoder wants them; none where there is no data."""
    folder = data / "coco-captions" / "images"
    paths = sorted(folder.iterdir())[:PHOTOS] if folder.is_dir() else []
    side = encoder.image_size
    found = [encoder.prepare_image(decode(path.read_bytes())) for path in paths]
    return np.stack(found) if found else np.zeros((0, side, side, 3), np.uint8)


def tokens(encoder: Encoder, pixels: NDArray[np.uint8]) -> list[TokenWeights]:
    return [
        one for at in range(0, len(pixels), 8) for one in encoder.encode_images(pixels[at : at + 8])
    ]


def agreement(mine: list[TokenWeights], exact: list[TokenWeights]) -> str:
    """The two lists side by side."""
    pairs = list(zip(mine, exact, strict=True))
    cosines = [one.dot(other) for one, other in pairs]
    strongest = [
        len(np.intersect1d(one.prune(STRONGEST).ids, other.prune(STRONGEST).ids)) / STRONGEST
        for one, other in pairs
    ]
    return f"{mean(cosines):.4f}, {min(cosines):.4f}, {100 * mean(strongest):.0f} %"


if __name__ == "__main__":
    main()
