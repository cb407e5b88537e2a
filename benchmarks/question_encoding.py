"""Milliseconds from a question to its tokens on one core: table, ONNX Runtime and torch.

    python -m benchmarks.question_encoding [--model FOLDER --light FOLDER] [--questions 300]

Questions: captions of coco-captions in ../shared/data or in --data. Each is encoded by all three in
turn, one after the other, so that what else the machine does meets all alike; the first ten are not
counted. --model is a folder of torch, --light one that `stair-search export` made from it with
--captions. Without them: the shipped starter's table, and an untrained model of MiniLM-L6 with as
many outputs as the starter has, since the time does not depend on what weights say.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.machine import heading, machine, row
from stair_search.encoders import Encoder, load_encoder
from stair_search.evaluation.pairs import read_pairs
from tests.conftest import SHARED_DATA

WARM = 10
OUTPUTS = 1_194


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="a folder of torch")
    parser.add_argument("--light", type=Path, help="the same model, exported with captions")
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--data", type=Path, default=SHARED_DATA, help="holds coco-captions")
    given = parser.parse_args()
    if bool(given.model) != bool(given.light):
        parser.error("--model and --light are two forms of one model: give both")
    one_core()
    texts = captions(given.data, given.questions + WARM)
    with tempfile.TemporaryDirectory() as folder:
        static, neural, torch = (
            ("starter", *untrained(Path(folder)))
            if given.model is None
            else (str(given.light), str(given.light), str(given.model))
        )
        asked = {
            "static table": opened(lambda: load_encoder(static, 1, text="static"), texts[0]),
            "neural, ONNX Runtime": opened(
                lambda: load_encoder(neural, 1, text="neural"), texts[0]
            ),
            "neural, torch": opened(lambda: load_encoder(torch, 1, "cpu", "neural"), texts[0]),
        }
        taken: dict[str, list[float]] = {name: [] for name in asked}
        for text in texts:
            for name, (encoder, _) in asked.items():
                began = time.perf_counter()
                encoder.encode_text(text)
                taken[name].append((time.perf_counter() - began) * 1000)
    words = np.mean([len(text.split()) for text in texts])
    print(f"{machine()}, pinned to one; {len(texts) - WARM} captions of {words:.0f} words")
    heading()
    for name in asked:
        row(name, taken[name][WARM:])
    first = ", ".join(f"{name} {seconds:.2f} s" for name, (_, seconds) in asked.items())
    print(f"\nopened, first question answered: {first}")


def one_core() -> None:
    """Before any runtime counts the cores."""
    os.environ["OMP_NUM_THREADS"] = "1"
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def opened(load: Callable[[], Encoder], text: str) -> tuple[Encoder, float]:
    """The encoder, and the seconds until its first answer."""
    began = time.perf_counter()
    encoder = load()
    encoder.encode_text(text)
    return encoder, time.perf_counter() - began


def captions(data: Path, count: int) -> list[str]:
    folder = data / "coco-captions"
    return read_pairs(folder / "captions.csv", folder / "images", None).captions[:count]


def untrained(folder: Path) -> tuple[str, str]:
    """A light folder and the folder of torch that it was made from: MiniLM-L6, random heads."""
    from stair_search.models import (
        HeadConfig,
        ImageConfig,
        ModelConfig,
        TextConfig,
        TowerConfig,
        build,
        save_pretrained,
        text_backbone,
    )
    from stair_search.training.export import export

    published = text_backbone("minilm")
    head = HeadConfig(top_k=32, embeddings="centred")
    half = (0.5, 0.5, 0.5)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    look = TowerConfig("transformers", "vit", {**sizes, "image_size": 32, "patch_size": 16})
    config = ModelConfig(
        "stair",
        "untrained",
        ImageConfig(look, 32, half, half, head=head),
        TextConfig(published.config, head=head),
    )
    words = [place for place, token in enumerate(published.tokens) if token.isalpha()]
    outputs = words[:: len(words) // OUTPUTS][:OUTPUTS]
    model = build(config, published.tokens, outputs, text_tower=published.tower)
    save_pretrained(model, folder / "torch")
    export(folder / "torch", folder / "light")
    return str(folder / "light"), str(folder / "torch")


if __name__ == "__main__":
    main()
