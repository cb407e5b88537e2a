"""Trains the tiny recipe in a process of its own, and stands still where it is told to, so that it
can be killed there: `python -m tests.training.victim PAIRS IMAGES RUN [STAGE STEP]`.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from stair_search.training.data import read_data
from stair_search.training.recipe import load
from stair_search.training.run import train

from .conftest import TINY, open_photo


def main(pairs: str, images: str, run: str, stage: str = "", step: str = "") -> None:
    def tell(line: str) -> None:
        if stage and f", {stage}: step {step} of" in line and "loss" in line:
            print("here", flush=True)
            time.sleep(600)

    data = read_data(Path(pairs), Path(images))
    folder = Path(run)
    train(
        load(str(TINY)),
        data,
        folder,
        open_photo,
        cache=folder.parent / "cache",
        device="cpu",
        tell=tell,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
