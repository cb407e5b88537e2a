"""Encoding and training as shares of what the device does, measured beside them in one run.

    python -m benchmarks.throughput --data ../shared/data [--photos 256] [--steps 60]

- device: the largest product of two 2048 x 2048 matrices a second, in float32
- encode: photo files to tokens by the starter, beside its bare ONNX session on prepared pixels
- train: steps of `small-single-stage` as `train` does them (batches from kept states, optimiser,
  log, checkpoints), beside the bare steps on batches in memory

Each pair takes turns, three times; the median counts. Operations are those that torch counts for
the same towers and step.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.machine import machine
from stair_search.encoders import load_encoder
from stair_search.encoders.folder import open_folder
from stair_search.evaluation.encode import encode_photos
from stair_search.evaluation.pairs import read_pairs
from stair_search.ingest.decode import decode
from stair_search.models.backbones import image_backbone
from stair_search.training.data import Draws, read_data
from stair_search.training.recipe import load
from stair_search.training.run import train
from stair_search.training.samples import Photos, Samples, Texts, tokenised
from stair_search.training.starter import pipeline
from stair_search.training.starter.pairs import write_pairs

TURNS = 3
SIDE = 2048
BATCH = 32


def seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def in_turns(ours: Callable[[], float], bare: Callable[[], float]) -> tuple[float, float]:
    """Seconds of both, medians."""
    taken = [(ours(), bare()) for _ in range(TURNS)]
    return median(one for one, _ in taken), median(other for _, other in taken)


def peak() -> float:
    """Operations a second."""
    a, b = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)
    return 2 * SIDE**3 / min(seconds(lambda: a @ b) for _ in range(10))


def operations(work: Callable[[], Any]) -> float:
    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())


def encoding(data: Path, count: int) -> tuple[float, float, float]:
    """Photos a second of ours and of the session alone; operations of a photo."""
    import onnxruntime

    encoder = load_encoder("starter")
    folder = data / "coco-captions"
    photos = read_pairs(folder / "captions.csv", folder / "images", "train").photos[:count]
    pixels = np.stack([encoder.prepare_image(decode(path.read_bytes())) for path in photos])
    session = onnxruntime.InferenceSession(
        str(open_folder("starter").file("image.onnx")), providers=["CPUExecutionProvider"]
    )

    def bare() -> None:
        for at in range(0, len(pixels), BATCH):
            session.run(None, {"pixels": pixels[at : at + BATCH]})

    encode_photos(encoder, photos[:BATCH], decode)
    ours, theirs = in_turns(
        lambda: seconds(lambda: encode_photos(encoder, photos, decode)), lambda: seconds(bare)
    )
    backbone = image_backbone(pipeline.TOWER, grid=3)
    size = backbone.config.size
    with torch.inference_mode():
        photo = operations(lambda: backbone.tower.eval()(torch.zeros(1, 3, size, size)))
    return len(photos) / ours, len(photos) / theirs, photo


def training(data: Path, cache: Path, steps: int) -> tuple[float, float, float]:
    """Steps a second of ours and of the bare loop; operations of a step."""
    from stair_search.training.features import image_states, text_states
    from stair_search.training.optimiser import optimiser
    from stair_search.training.start import start
    from stair_search.training.step import Step

    with tempfile.TemporaryDirectory() as place:
        pairs = read_data(write_pairs(data, Path(place) / "pairs.csv"), data)
        recipe = load("small-single-stage", [f"stages.0.steps={steps}", "model.ridge=false"])
        model = start(recipe, pairs.train.captions)
        captions = tokenised(model, pairs.train.captions)
        opened = pipeline.open_photo
        views = [
            image_states(model, pairs.train.photos, view, cache, opened) for view in recipe.views
        ]
        samples = Samples(
            Draws(pairs.train, recipe.batch, len(recipe.views), 0),
            Photos(pairs.train.photos, recipe.views, views, model, opened),
            Texts(captions, text_states(model, captions.ids, cache)),
            None,
            False,
            steps,
        )
        batches = [
            samples.__getitems__(list(range(i * samples.batch, (i + 1) * samples.batch)))
            for i in range(steps)
        ]
        step = Step(model, recipe.stages[0]).train()
        updates = optimiser(step, recipe.stages[0])

        def once(batch: dict[str, torch.Tensor]) -> None:
            step(batch).loss.backward()
            torch.nn.utils.clip_grad_norm_(step.parameters(), recipe.stages[0].clip)
            updates.step()
            updates.zero_grad()

        def all_of_them() -> None:
            for batch in batches:
                once(batch)

        def bare() -> float:
            return seconds(all_of_them)

        unseen = pairs._replace(validation=None)  # training alone
        turn = iter(range(TURNS))

        def ours() -> float:
            run = Path(place) / f"run-{next(turn)}"
            found = train(recipe, unseen, run, opened, cache=cache, device="cpu")
            return float(found.stages[0]["seconds"])

        once(batches[0])
        mine, theirs = in_turns(ours, bare)
        return steps / mine, steps / theirs, operations(lambda: once(batches[0]))


def main() -> None:
    parser = argparse.ArgumentParser(description="Throughput as a share of the device's.")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cache", type=Path, default=pipeline.STATES)
    parser.add_argument("--photos", type=int, default=256)
    parser.add_argument("--steps", type=int, default=60)
    given = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    data = given.data.resolve()
    print(f"{machine()}; {torch.get_num_threads()} threads")
    most = peak()
    print(f"\n| | a second | bare | ours / bare | GFLOP/s | of {most / 1e9:.0f} |")
    print("|---|---|---|---|---|---|")
    for name, (ours, bare, each) in (
        ("photos encoded", encoding(data, given.photos)),
        ("steps trained", training(data, given.cache.expanduser(), given.steps)),
    ):
        rate = ours * each
        print(
            f"| {name} | {ours:.1f} | {bare:.1f} | {100 * ours / bare:.0f} % | {rate / 1e9:.1f} | "
            f"{100 * rate / most:.0f} % |",
            flush=True,
        )


if __name__ == "__main__":
    main()
