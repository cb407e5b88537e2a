"""What lies in a run's folder, and whether a run may go on there.

RUN/run.json                     the recipe, what data and models it is made from, versions
RUN/stages/1-masked/log.jsonl    loss terms, tokens, validation: a line each
RUN/stages/1-masked/checkpoints/ while the stage is trained
RUN/stages/1-masked/model/       the finished model
RUN/stages/1-masked/stage.json   the stage is complete
RUN/tensorboard/1-masked/
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import filelock

from stair_search import __version__
from stair_search.errors import ModelError, TrainingError, UsageError
from stair_search.files import write_json
from stair_search.models.config import from_dict

from .data import Data
from .log_lines import flat
from .processes import is_first, world_size
from .recipe import PLACES, Recipe, Stage
from .views import check_view

SHOWN = 5
OWN_FILES = {"run.lock", "run.json", ".run.json.part"}
"""Of a run that has just begun."""
LIBRARIES = ("torch", "transformers", "timm", "accelerate", "numpy")


def stage_folder(run: Path, stage: Stage, number: int) -> Path:
    return run / "stages" / stage.folder(number)


def model_folder(run: Path, stage: Stage, number: int) -> Path:
    return stage_folder(run, stage, number) / "model"


def finished(run: Path, stage: Stage, number: int) -> dict[str, Any] | None:
    """What is known of a stage that is complete, None of one that is not."""
    try:
        text = (stage_folder(run, stage, number) / "stage.json").read_text(encoding="utf-8")
        found: dict[str, Any] = json.loads(text)
    except (OSError, ValueError):
        return None
    return found if found.get("finished") else None


def remove_checkpoints(stage: Path) -> None:
    """Those of a stage that is complete."""
    shutil.rmtree(stage / "checkpoints", ignore_errors=True)


def check(recipe: Recipe, data: Data, run: Path) -> None:
    """Raises UsageError where a run cannot be: wrong names, or a folder with something else."""
    for view in recipe.views:
        check_view(view)
    if (processes := world_size()) > 1:
        batch = min(recipe.batch, len(data.train.photos))
        if batch % processes:
            raise UsageError(
                f"a batch of {batch} cannot be split evenly over {processes} processes: "
                f"--set batch={max(1, batch // processes) * processes}"
            )
    about = run / "run.json"
    if not about.exists():
        # the first process of a run may just be writing these
        if run.is_dir() and any(one.name not in OWN_FILES for one in run.iterdir()):
            raise UsageError(f"{run} is not empty and no run: name a new folder")
        return
    try:
        there = json.loads(about.read_text(encoding="utf-8"))
        # settings that are younger than the run had their defaults there
        old = flat_settings(from_dict(Recipe, there["recipe"]).to_dict())
        before = there["data"]["fingerprint"]
        made_from = there["made_from"]
    except (OSError, ValueError, KeyError, TypeError, ModelError) as error:
        raise UsageError(f"{about} cannot be read: {error!r}; name a new folder") from None
    new = flat_settings(recipe.to_dict())
    differing = sorted(
        key for key in old.keys() | new.keys() if key not in PLACES and old.get(key) != new.get(key)
    )
    if differing:
        told = [f"{key}: {old.get(key)!r} there, {new.get(key)!r} here" for key in differing]
        rest = f"; and {len(told) - SHOWN} more" if len(told) > SHOWN else ""
        raise UsageError(
            f"{run} is a run of another recipe ({'; '.join(told[:SHOWN])}{rest}): name a new folder"
        )
    for setting, of in _made_from(recipe).items():
        if of != made_from[setting]:
            raise UsageError(
                f"{run} is a run with other {setting}: {made_from[setting]} there, {of} here "
                "(fingerprints of the models): name a new folder"
            )
    if before != data.fingerprint:
        raise UsageError(
            f"{run} is a run on other data: {there['data']['pairs']} of that time had "
            f"{there['data']['photos']['train']} photos and {there['data']['captions']['train']} "
            f"captions, {data.pairs} has {len(data.train.photos)} and {len(data.train.captions)}, "
            "or others of the same number: name a new folder"
        )


def flat_settings(recipe: dict[str, Any]) -> dict[str, Any]:
    """Settings by their path, as `--set` takes it; stages by number."""
    table = dict(recipe)
    table["stages"] = {str(i): stage for i, stage in enumerate(table.get("stages", []))}
    return {key.replace("/", "."): value for key, value in flat(table).items()}


def note(recipe: Recipe, data: Data, run: Path) -> None:
    """Writes run.json where there is none yet."""
    if (run / "run.json").exists():
        return
    held = data.validation
    about = {
        "name": recipe.name,
        "recipe": recipe.to_dict(),
        "fingerprint": recipe.fingerprint,
        "seed": recipe.seed,
        "made_from": _made_from(recipe),
        "data": {
            "pairs": str(data.pairs.absolute()),
            "images": str(data.images.absolute()),
            "fingerprint": data.fingerprint,
            "photos": {"train": len(data.train.photos), "val": len(held.photos) if held else 0},
            "captions": {
                "train": len(data.train.captions),
                "val": len(held.captions) if held else 0,
            },
        },
        "versions": {"stair-search": __version__}
        | {name: metadata.version(name) for name in LIBRARIES},
    }
    write_json(run / "run.json", about, TrainingError)


def _made_from(recipe: Recipe) -> dict[str, Any]:
    from stair_search.models.files import fingerprint

    of = recipe.model.image.of
    return {
        "teachers": [fingerprint(folder) for folder in recipe.teachers],
        "model.image.of": None if of is None else fingerprint(of),
    }


@contextmanager
def alone(run: Path) -> Iterator[None]:
    """No second run writes into the same folder."""
    if not is_first():
        yield
        return
    run.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(run / "run.lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise UsageError(f"{run} is being trained by another process") from None
    try:
        yield
    finally:
        lock.release()
