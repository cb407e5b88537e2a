"""A whole run in its folder (see `run_folder`): stage after stage, each from the last one's model.

The same call again goes on where it was. Several processes (`accelerate launch`) share one folder;
the first of them writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .data import Data
from .processes import is_first, wait_for_all
from .recipe import Recipe
from .run_folder import (
    alone,
    check,
    finished,
    model_folder,
    note,
    remove_checkpoints,
    stage_folder,
)
from .views import OpenPhoto

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What a stage does. trained, frozen: numbers of parameters."""

    name: str
    steps: int
    trained: int
    frozen: int
    done: bool


@dataclass(frozen=True)
class Result:
    """stages: as their stage.json has them. model: the folder of the last stage's model."""

    run: Path
    model: Path
    stages: list[dict[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        """As `train --format json` prints it."""
        keys = ("name", "steps", "seconds", "loss", "validation")
        return {
            "run": str(self.run),
            "model": str(self.model),
            "stages": [{key: stage[key] for key in keys} for stage in self.stages],
        }


def plan(recipe: Recipe, data: Data, run: Path) -> list[Plan]:
    """What `train` would do, for a dry run; builds the model, trains and writes nothing."""
    from .start import start
    from .step import chosen
    from .teachers import load_teachers

    check(recipe, data, run)
    with _quiet():
        model = start(recipe, data.train.captions)
        load_teachers(recipe, model)
    total = sum(parameter.numel() for parameter in model.parameters())
    found = []
    for number, stage in enumerate(recipe.stages, 1):
        trained = sum(parameter.numel() for parameter in chosen(model, stage))
        done = finished(run, stage, number) is not None
        found.append(Plan(stage.name, stage.steps, trained, total - trained, done))
    return found


def train(
    recipe: Recipe,
    data: Data,
    run: Path,
    open_photo: OpenPhoto,
    *,
    cache: Path | None = None,
    device: str | None = None,
    tell: Tell = lambda line: None,
) -> Result:
    """Trains what is not trained yet.

    cache: folder for the states of frozen towers, `features.default_cache()` unless given. device:
    "cpu", or None for what accelerate finds. Raises UsageError (a run of another recipe or other
    data), ModelError, TrainingError.
    """
    from .stage import StageRun

    check(recipe, data, run)
    tell = tell if is_first() else lambda line: None
    with _quiet(), alone(run):
        if is_first():
            run.mkdir(parents=True, exist_ok=True)
            note(recipe, data, run)
        wait_for_all()
        stages = []
        for number, stage in enumerate(recipe.stages, 1):
            done = finished(run, stage, number)
            if done is None:
                stage_run = StageRun(recipe, data, run, number, open_photo, cache, device, tell)
                done = stage_run.train()
            else:
                if is_first():  # a run may have died between its last two acts
                    remove_checkpoints(stage_folder(run, stage, number))
                tell(f"stage {number} of {len(recipe.stages)}, {stage.name}: already trained")
            stages.append(done)
    return Result(run, model_folder(run, recipe.stages[-1], len(recipe.stages)), stages)


@contextmanager
def _quiet() -> Iterator[None]:
    """Libraries' warnings are not for those who train; ours are told in words."""
    import warnings

    from transformers.utils import logging

    logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
