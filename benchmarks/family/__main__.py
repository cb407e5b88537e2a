"""`python -m benchmarks.family`: STAIR, its stages, single-stage, CLIP and STAIR without a text
encoder, trained by the recipes `small*` on the same photos, captions, frozen towers and steps, over
several seeds, and measured on the test splits.

    python -m benchmarks.family                      all tables; trains what is not trained yet
    python -m benchmarks.family --lambdas            the ablation of the FLOPs weight
    python -m benchmarks.family --figures docs       Figures 4, 7 and 8 of the paper from these runs

A run that was stopped goes on where it was; what is measured is kept beside its model.
"""

from __future__ import annotations

import argparse
import logging
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from stair_search.ingest.decode import decode
from stair_search.training.data import read_data
from stair_search.training.recipe import Recipe, load
from stair_search.training.run import Result, train
from stair_search.training.run_folder import model_folder
from stair_search.training.starter.pairs import write_pairs

from ..machine import machine
from . import data, figures, tables
from .measure import MOST, Told, masked, measured, pruned

log = logging.getLogger(__name__)

RUNS = Path("~/.cache/stair-search/family")
TABLE = "model.text.table.kind="
TAUGHT = ("stages.0.losses.taught=0.9", "stages.0.losses.taught_temperature=0.05")
"""As the last stage of small-taught is."""


class Run(NamedTuple):
    """A recipe and what is set in it. stages: names of its stages' rows; the last is the model.

    taught: by the CLIP of the same seed, which must stand before it. once: one seed will do, since
    nothing is claimed of it.
    """

    recipe: str
    stages: tuple[str, ...]
    settings: tuple[str, ...] = ()
    taught: bool = False
    once: bool = False


FAMILY = {
    "clip": Run("small-clip", ("CLIP, 512-d",)),
    "single": Run("small-single-stage", ("STAIR single-stage",)),
    # the other recipes start at a regression onto words of captions, which grounds tokens by itself
    "single-random": Run(
        "small-single-stage", ("STAIR single-stage, random start",), ("model.ridge=false",)
    ),
    "stair": Run("small", ("STAIR stage 1", "STAIR stage 2", "STAIR")),
    "taught": Run("small-taught", ("", "", "STAIR taught by CLIP"), taught=True),
    # what teaching does to the teacher's own kind
    "clip-taught": Run("small-clip", ("CLIP taught by CLIP",), TAUGHT, taught=True, once=True),
    "text-free-mask": Run(
        "small-text-free", ("STAIR text-free, mask",), (TABLE + "mask",), once=True
    ),
    "text-free-weights": Run(
        "small-text-free", ("STAIR text-free, weights",), (TABLE + "weights",), once=True
    ),
    "text-free-expansion": Run("small-text-free", ("STAIR text-free, expansion",)),
    "text-free-taught": Run(
        "small-text-free", ("STAIR text-free, taught by CLIP",), TAUGHT, taught=True
    ),
}
LAMBDAS = ("1.0", "1e-1", "1e-2", "1e-3", "1e-4", "0.0")
USUAL = 1e-3


class Place(NamedTuple):
    """data: the photos; runs: models and figures; cache: states of frozen towers."""

    data: Path
    runs: Path
    cache: Path
    split: str
    share: float


def shortened(recipe: str, share: float) -> Iterator[str]:
    """Settings that leave a recipe a share of its steps, and of what grows with them."""
    for number, stage in enumerate(load(recipe).stages):
        yield f"stages.{number}.steps={round(stage.steps * share)}"
        yield f"stages.{number}.warmup={round(stage.warmup * share)}"
        yield f"stages.{number}.losses.growth={round(stage.losses.growth * share)}"


def trained(name: str, run: Run, seed: int, place: Place) -> tuple[Recipe, Result]:
    log.info("%s, seed %d", name, seed)
    pairs = place.runs / "pairs.csv"
    if not pairs.exists():
        write_pairs(place.data, pairs)
    settings = (*shortened(run.recipe, place.share), *run.settings)
    if run.taught:
        teacher = trained("clip", FAMILY["clip"], seed, place)[1].model
        settings = (*settings, f'teachers=["{teacher}"]')
    recipe = load(run.recipe, settings, seed)
    return recipe, train(
        recipe,
        read_data(pairs, place.data),
        place.runs / f"share-{place.share:g}" / f"{name}-{seed}",
        lambda path: decode(path.read_bytes()),
        cache=place.cache,
        tell=log.debug,
    )


def family(names: Mapping[str, Run], seeds: int, place: Place) -> tuple[tables.Rows, Seconds]:
    """What was measured of every stage, and the seconds that its training took."""
    rows: dict[str, list[Told]] = {}
    seconds: dict[str, list[float]] = {}
    for seed in range(seeds):
        for name, run in names.items():
            if seed and run.once:
                continue
            recipe, result = trained(name, run, seed, place)
            for number, row in enumerate(run.stages, 1):
                if not row:
                    continue
                model = model_folder(result.run, recipe.stages[number - 1], number)
                rows.setdefault(row, []).append(
                    measured(
                        row,
                        model,
                        place.data,
                        place.cache,
                        place.split,
                        own_only=recipe.stages[number - 1].own_only,
                    )
                )
                spent = sum(stage["seconds"] for stage in result.stages[:number])
                seconds.setdefault(row, []).append(spent)
            if name == "stair":
                mask = masked(result.model, place.data, place.cache, place.split)
                rows.setdefault("STAIR, its tokens as a mask", []).append(mask)
            if name == "taught":
                few = pruned(result.model, place.data, place.cache, place.split)
                rows.setdefault(f"{run.stages[-1]}, its {MOST[0]}/{MOST[1]} strongest", []).append(
                    few
                )
    return rows, seconds


Seconds = Mapping[str, list[float]]


def told(rows: tables.Rows, seconds: Seconds) -> Iterator[str]:
    for name in data.SETS:
        photos = next(iter(rows.values()))[0][name]["retrieval"]
        yield f"\n### {name}: {photos['images']} photos, {photos['captions']} captions\n"
        yield from tables.retrieval(rows, name)
        for ours in ("STAIR", "STAIR taught by CLIP", "STAIR text-free, taught by CLIP"):
            yield "\n" + tables.ahead(rows, name, ours, "CLIP, 512-d")
        yield f"\nA photo's best noun among 30,522 tokens, {name}\n"
        yield from tables.interpretability(rows, name, "any")
    yield f"\n### {data.CLASSES}: the tower was trained on ImageNet, which holds these classes\n"
    # photos alone are classified: a mask changes nothing there, and is not measured
    looked = {row: told for row, told in rows.items() if data.CLASSES in told[0]}
    yield from tables.classes(looked)
    yield "\nThe class's name among 30,522 tokens\n"
    yield from tables.interpretability(looked, data.CLASSES, "labels")
    yield "\n### Text-encoder-free: share of the full model's mR\n"
    yield from tables.shares(rows, data.SETS)
    yield "\n### Seconds of training\n"
    for row, spent in seconds.items():
        yield f"- {row}: {tables.spread(spent)}"


def lambdas(place: Place) -> tables.Rows:
    """One seed of three stages for each weight, that of both sides."""
    rows = {}
    for value in LAMBDAS:
        sides = [f"stages.*.losses.flops_{side}={value}" for side in ("image", "text")]
        run = Run("small", (f"λ {value}",), tuple(sides))
        # what the recipe has is trained already
        name = "stair" if float(value) == USUAL else f"lambda-{value}"
        _, result = trained(name, run, 0, place)
        rows[f"λ {value}"] = [
            measured(f"λ {value}", result.model, place.data, place.cache, place.split, False)
        ]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="STAIR against its rivals.")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--runs", type=Path, default=RUNS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--split", default="test")
    parser.add_argument("--share", type=float, default=1.0, help="of the recipes' steps")
    parser.add_argument("--only", nargs="*", choices=list(FAMILY), help="of the family, in parts")
    parser.add_argument("--lambdas", action="store_true")
    parser.add_argument("--figures", type=Path, help="a folder for the paper's figures")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    runs = arguments.runs.expanduser()
    place = Place(arguments.data.resolve(), runs, runs / "states", arguments.split, arguments.share)
    print(
        f"{machine()}, Python {platform.python_version()}; "
        f"split {place.split!r}; {place.share:g} of the recipes' steps; percent, mean ± deviation "
        "over seeds"
    )
    if arguments.lambdas:
        found = lambdas(place)
        for name in data.SETS:
            print(f"\n### {name}\n")
            print("\n".join(tables.retrieval(found, name)))
        return
    chosen = {name: FAMILY[name] for name in arguments.only or FAMILY}
    rows, seconds = family(chosen, arguments.seeds, place)
    if arguments.figures:
        shown = trained("taught", FAMILY["taught"], 0, place)[1].model
        figures.draw(rows, lambdas(place), shown, place.cache, arguments.figures)
        return
    print("\n".join(told(rows, seconds)))


if __name__ == "__main__":
    main()
