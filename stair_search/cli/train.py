"""`stair-search train`: a recipe, photos and captions become a model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import shipped
from .command import Command, debug_option
from .output import Format, columns, emit, format_option, note
from .pairs import pairs_and_images
from .progress import ProgressLine
from .text import one_line

if TYPE_CHECKING:
    from ..training.data import Data
    from ..training.recipe import Recipe
    from ..training.run import Plan, Result

EXAMPLES = """
stair-search train small --pairs captions.csv --images photos/ --out runs/small
stair-search train small --pairs captions.csv --images photos/ --out try --set stages.*.steps=50
stair-search train small-clip --pairs captions.csv --images photos/ --out runs/clip --dry-run
stair-search train ./mine.toml --pairs captions.csv --images photos/ --out runs/mine --seed 1
accelerate launch -m stair_search.cli train paper --pairs captions.csv --images photos/ --out paper
"""


@click.command("train", cls=Command, examples=EXAMPLES)
@click.argument("recipe", shell_complete=shipped.completed(shipped.recipes, "file"))
@pairs_and_images()
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the run. The same command again goes on where it was.",
)
@click.option(
    "--val-split",
    metavar="NAME",
    help="Split that is held back to validate.  [default: val; one photo in 20 without splits]",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Another value for a recipe's setting: stages.0.steps=3, stages.*.rate=1e-4, batch=64.",
)
@click.option("--seed", type=click.IntRange(min=0), help="Of weights and draws.  [default: 0]")
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the states of frozen towers are kept, for all runs.  [default: user's cache]",
)
@click.option(
    "--device",
    type=click.Choice(["cpu"]),
    help="Keep off the GPU.  [default: what there is]",
)
@click.option(
    "--dry-run", is_flag=True, help="Print the stages and what they train; write nothing."
)
@format_option
@debug_option
def command(
    recipe: str,
    pairs: Path,
    images: Path,
    out: Path,
    val_split: str | None,
    settings: tuple[str, ...],
    seed: int | None,
    cache: Path | None,
    device: str | None,
    dry_run: bool,
    format: Format,
) -> None:
    """Train a model by RECIPE, a name that `stair-search models` lists or a TOML file.

    Stages follow each other; each leaves its model in the run's folder, beside a log of the loss's
    terms, of active and dead tokens and of R@K on held-back photos (also for TensorBoard). Killed
    at any moment, the same command goes on with the same losses. At its end it measures every
    stage on the held-back photos, and writes report.html into the folder.

    Several GPUs or machines: start it by `accelerate launch`. The batch is split over them. The
    negatives of a pair are the other pairs of its step, over all devices.
    """
    from ..training.data import read_data
    from ..training.processes import is_first
    from ..training.recipe import load
    from ..training.run import plan, train
    from .photos import open_photo

    chosen = load(recipe, settings, seed)
    data = read_data(pairs, images, val_split)
    for text in data.notes:
        note(text)
    if dry_run:
        planned = plan(chosen, data, out)
        emit(format, _planned(chosen, data, out, planned), lambda: _stages(chosen, data, planned))
        return
    with ProgressLine() as line:

        def tell(text: str) -> None:
            if text.startswith("Warning: "):
                line.clear()
                note(text)
            else:
                line.tell(text)

        found = train(chosen, data, out, open_photo, cache=cache, device=device, tell=tell)
        if is_first():
            _report(out, data, val_split, cache, device, line)
    if is_first():
        emit(format, found.to_dict(), lambda: _result(found))


def _report(
    run: Path,
    data: Data,
    val_split: str | None,
    cache: Path | None,
    device: str | None,
    line: ProgressLine,
) -> None:
    """report.html and report.json, of the photos that were held back."""
    from ..ingest.decode import decode
    from ..training.report.measures import evenly
    from ..training.report.runs import is_current, write_report

    if is_current(run):
        return
    held = data.validation
    held_out = None if held is None else evenly(held, val_split or "val")
    write_report(run, held_out, decode, line.tell, cache, device)


def _planned(recipe: Recipe, data: Data, run: Path, stages: list[Plan]) -> dict[str, Any]:
    return {
        "run": str(run),
        "recipe": recipe.name,
        "fingerprint": recipe.fingerprint,
        "photos": len(data.train.photos),
        "captions": len(data.train.captions),
        "validation_photos": len(data.validation.photos) if data.validation else 0,
        "stages": [stage.__dict__ for stage in stages],
    }


def _stages(recipe: Recipe, data: Data, stages: list[Plan]) -> Iterator[str]:
    held = len(data.validation.photos) if data.validation else 0
    yield one_line(
        f"{recipe.name}: {recipe.about}; {len(data.train.photos):,} photos with "
        f"{len(data.train.captions):,} captions, {held:,} photos to validate with"
    )
    rows = [("stage", "steps", "batch", "trained", "frozen", "")]
    for stage in stages:
        done = "already trained" if stage.done else ""
        counts = (f"{stage.steps:,}", f"{min(recipe.batch, len(data.train.photos)):,}")
        rows.append((stage.name, *counts, f"{stage.trained:,}", f"{stage.frozen:,}", done))
    yield from columns(rows)


def _result(found: Result) -> Iterator[str]:
    rows = [("stage", "steps", "seconds", "loss", "text to image R@1", "image to text R@1")]
    for stage in found.stages:
        seen = stage["validation"]
        ways = ("text_to_image", "image_to_text")
        recalls = [f"{seen[way]['R@1']:.1f}" if seen else "-" for way in ways]
        about = (stage["name"], f"{stage['steps']:,}", f"{stage['seconds']:.0f}")
        rows.append((*about, f"{stage['loss']:.3f}", *recalls))
    yield from columns(rows)
    yield one_line(f"the model is in {found.model}")
    yield one_line(f"the report is {found.run / 'report.html'}")
