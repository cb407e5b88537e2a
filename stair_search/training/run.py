"""A whole run in its folder: stage after stage, each from the model that the last one left.

    RUN/run.json                     the recipe, what data and models it is made from, versions
    RUN/stages/1-masked/log.jsonl    loss terms, tokens, validation: a line each
    RUN/stages/1-masked/checkpoints/ while the stage is trained
    RUN/stages/1-masked/model/       the finished model
    RUN/stages/1-masked/stage.json   written last: the stage is complete
    RUN/tensorboard/1-masked/

The same call again goes on where it was. Several processes (`accelerate launch`) share one folder;
the first of them writes.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stair_search import __version__
from stair_search.errors import ModelError, TrainingError, UsageError
from stair_search.models.config import from_dict

from .data import Data
from .log_lines import flat
from .recipe import PLACES, Recipe, Stage
from .teachers import load_teachers
from .views import OpenPhoto, check_view

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from stair_search.models import DualEncoder

    from .samples import Captions, Samples
    from .watch import Validator

Tell = Callable[[str], None]

SHOWN = 5
OWN_FILES = {"run.lock", "run.json", ".run.json.part"}
"""Of a run that has just begun."""
LIBRARIES = ("torch", "transformers", "timm", "accelerate", "numpy")


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
    check(recipe, data, run)
    tell = tell if is_first() else lambda line: None
    with _quiet(), _alone(run):
        if is_first():
            run.mkdir(parents=True, exist_ok=True)
            _note(recipe, data, run)
        _together()
        stages = []
        for number, stage in enumerate(recipe.stages, 1):
            done = finished(run, stage, number)
            if done is None:
                done = _Running(recipe, data, run, number, open_photo, cache, device, tell).train()
            else:
                tell(f"stage {number} of {len(recipe.stages)}, {stage.name}: already trained")
            stages.append(done)
    return Result(run, model_folder(run, recipe.stages[-1], len(recipe.stages)), stages)


def check(recipe: Recipe, data: Data, run: Path) -> None:
    """Raises UsageError where a run cannot be: wrong names, or a folder with something else."""
    for view in recipe.views:
        check_view(view)
    if (processes := int(os.environ.get("WORLD_SIZE", "1"))) > 1:
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


class _Running:
    """One stage that is being trained."""

    def __init__(
        self,
        recipe: Recipe,
        data: Data,
        run: Path,
        number: int,
        open_photo: OpenPhoto,
        cache: Path | None,
        device: str | None,
        tell: Tell,
    ) -> None:
        from .features import default_cache

        self.recipe, self.data, self.run, self.number = recipe, data, run, number
        self.stage = recipe.stages[number - 1]
        self.folder = stage_folder(run, self.stage, number)
        self.cache = cache or default_cache()
        self.open_photo, self.tell, self.device = open_photo, tell, device
        self.teachers: list[DualEncoder] = []

    def train(self) -> dict[str, Any]:
        from stair_search.models.files import save_pretrained

        from .step import Step
        from .trainer import StageTrainer

        model = self._model()
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.number == 1 or self.stage.losses.taught:
            # an unfit one is refused before the first stage, not before the one that it teaches
            teachers = load_teachers(self.recipe, model)
            self.teachers = teachers if self.stage.losses.taught else []
        samples, validator = self._samples(model)
        if self.number == 1 and self.recipe.model.ridge:
            self._to_ridge(model, samples)
        trainer = StageTrainer(
            Step(model, self.stage, self.teachers),
            self.recipe,
            self.number,
            samples,
            self.data,
            validator,
            self.folder,
            self.run / "tensorboard" / self.stage.folder(self.number),
            self.tell,
            self.device,
        )
        trainer.run()
        about = {
            "name": self.stage.name,
            "kind": model.config.kind,
            "steps": self.stage.steps,
            "seconds": round(trainer.seconds, 1),
            "device": str(trainer.args.device),
            "loss": trainer.last_loss,
            "validation": self._last_validation(),
            "finished": True,
        }
        if is_first():
            save_pretrained(model.eval(), self.folder / "model", self._card(about, model))
            shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)
            write_json(self.folder / "stage.json", about)
        _together()
        return about

    def _model(self) -> DualEncoder:
        """Of the stage before, as it lies on disk: a run that was stopped between goes on alike."""
        from stair_search.models.files import from_pretrained

        from .start import start

        if self.number == 1:
            return start(self.recipe, self.data.train.captions)
        before = self.recipe.stages[self.number - 2]
        return from_pretrained(model_folder(self.run, before, self.number - 1))

    def _samples(self, model: DualEncoder) -> tuple[Samples, Any]:
        from .data import Draws
        from .samples import Samples, tokenised, words_of
        from .watch import Validator

        recipe, data = self.recipe, self.data
        captions = tokenised(model, data.train.captions)
        if captions.cut and self.number == 1:
            self.tell(
                f"{captions.cut} captions are longer than {model.config.text.length} tokens: the "
                "rest of each is not read"
            )
        draws = Draws(data.train, recipe.batch, len(recipe.views), recipe.seed * 100 + self.number)
        if draws.batch < recipe.batch:
            self.tell(
                f"batches of {draws.batch}: there are no more photos (recipe: {recipe.batch})"
            )
        wanted = self.stage.losses.grounded or (self.number == 1 and recipe.model.ridge)
        sparse = model.outputs is not None
        words = words_of(model, data.train, captions) if wanted and sparse else None
        samples = Samples(
            draws,
            self._photos(model, data.train.photos, recipe.views),
            # without a tower of its own, a model's batches hold what its teachers see in a text
            self._texts(model if model.text_tower else next(iter(self.teachers), None), captions),
            words,
            self.stage.losses.grounded,
            self.stage.steps,
        )
        validator: Callable[[torch.device], Validator] | None = None
        if (held := data.validation) is not None:
            photos = self._photos(model, held.photos, ("plain",))
            texts = self._texts(
                model if model.text_tower else None, tokenised(model, held.captions, None)
            )
            validator = lambda device: Validator(held, photos, texts, device)  # noqa: E731
        return samples, validator

    def _to_ridge(self, model: DualEncoder, samples: Samples) -> None:
        """Heads and tables start at a ridge regression onto the words of the photos' captions; an
        image side that was given stays what it is.
        """
        from stair_search.models.token_head import TokenHead

        from .ridge import start_at_ridge, start_table, word_targets

        model.cpu()  # frozen towers may have been asked on a GPU
        words = samples.words
        if words is None:
            return  # a dense model
        owner = self.data.train.owner
        heads: list[tuple[Any, Callable[[], torch.Tensor | None], list[int] | None]] = []
        if self.recipe.model.image.of is None:
            heads.append((model.image_head, samples.photos.means, None))
        heads.append((model.text_head, samples.texts.means, owner))
        for head, means, owners in heads:
            if isinstance(head, TokenHead):
                if (states := means()) is None:
                    raise UsageError("model.ridge: both towers have to be frozen in all stages")
                self.tell("a ridge regression onto the captions' words, where the heads start")
                start_at_ridge(head, states, word_targets(head, words, owners))
        if (table := model.text_table) is not None and table.config.kind != "mask":
            start_table(table, samples.texts.ids, words, owner)

    def _photos(self, model: DualEncoder, paths: list[Path], views: tuple[str, ...]) -> Any:
        from .features import image_states
        from .samples import Photos
        from .step import is_frozen

        states = None
        if is_frozen(model, "image_tower", self.recipe.stages):
            device = self.device or _device()
            states = [
                image_states(model, paths, view, self.cache, self.open_photo, self.tell, device)
                for view in views
            ]
        return Photos(paths, views, states, model, self.open_photo)

    def _texts(self, reads: DualEncoder | None, captions: Captions) -> Any:
        """reads: whose tower's states are kept, where it is frozen; a teacher's always is."""
        from .features import text_states
        from .samples import Texts
        from .step import is_frozen

        states = None
        if reads is not None and (
            reads in self.teachers or is_frozen(reads, "text_tower", self.recipe.stages)
        ):
            device = self.device or _device()
            states = text_states(reads, captions.ids, self.cache, self.tell, device)
        return Texts(captions, states)

    def _lines(self) -> list[dict[str, Any]]:
        text = (self.folder / "log.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def _last_validation(self) -> dict[str, Any] | None:
        found = [line["validation"] for line in self._lines() if "validation" in line]
        return found[-1] if found else None

    def _card(self, about: dict[str, Any], model: DualEncoder) -> str:
        from stair_search.models.files import default_card

        lines = [
            default_card(model),
            "## Training\n",
            f"Stage {self.number} of {len(self.recipe.stages)} (`{self.stage.name}`) of the recipe "
            f"`{self.recipe.name}` ({self.recipe.fingerprint}), seed {self.recipe.seed}: "
            f"{self.stage.steps} steps of {min(self.recipe.batch, len(self.data.train.photos))} "
            f"pairs, from {len(self.data.train.photos):,} photos with "
            f"{len(self.data.train.captions):,} captions.",
        ]
        if about["validation"]:
            lines.append("\nOn held-back photos: " + json.dumps(about["validation"]))
        return "\n".join(lines) + "\n"


def _note(recipe: Recipe, data: Data, run: Path) -> None:
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
    write_json(run / "run.json", about)


def _made_from(recipe: Recipe) -> dict[str, Any]:
    from stair_search.models.files import fingerprint

    of = recipe.model.image.of
    return {
        "teachers": [fingerprint(folder) for folder in recipe.teachers],
        "model.image.of": None if of is None else fingerprint(of),
    }


def write_json(file: Path, value: Any) -> None:
    """Whole or not at all."""
    part = file.with_name(f".{file.name}.part")
    try:
        with part.open("w", encoding="utf-8") as out:
            json.dump(value, out, indent=1, ensure_ascii=False)
            out.flush()
            os.fsync(out.fileno())
        part.replace(file)
    except OSError as error:
        raise TrainingError(f"{file} cannot be written: {error.strerror or error}") from None


def _device() -> str:
    from accelerate import PartialState

    return str(PartialState().device)


def is_first() -> bool:
    """Whether this process is the one that writes and talks."""
    return os.environ.get("RANK", "0") == "0"


def _together() -> None:
    """Waits for the other processes, where there are some."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        from accelerate import PartialState

        PartialState().wait_for_everyone()


@contextmanager
def _alone(run: Path) -> Iterator[None]:
    """No second run writes into the same folder."""
    import filelock

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


@contextmanager
def _quiet() -> Iterator[None]:
    """Libraries' warnings are not for those who train; ours are told in words."""
    import warnings

    from transformers.utils import logging

    logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
