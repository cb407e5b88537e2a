"""One stage of a run, from the model that the last one left to its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from stair_search.errors import TrainingError
from stair_search.files import write_json
from stair_search.models.dual_encoder import DualEncoder
from stair_search.models.files import default_card, from_pretrained, save_pretrained

from .data import Data, Draws
from .features import default_cache, image_states, text_states
from .log_lines import read_log
from .processes import best_device, is_first, wait_for_all
from .recipe import Recipe
from .ridge import start_heads
from .run_folder import model_folder, remove_checkpoints, stage_folder
from .samples import Captions, Photos, Samples, Texts, tokenised, words_of
from .start import start
from .step import Step, is_frozen
from .teachers import load_teachers
from .trainer import StageTrainer
from .views import OpenPhoto
from .watch import Validator

Tell = Callable[[str], None]


class StageRun:
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
        self.recipe, self.data, self.run, self.number = recipe, data, run, number
        self.stage = recipe.stages[number - 1]
        self.folder = stage_folder(run, self.stage, number)
        self.cache = cache or default_cache()
        self.open_photo, self.tell, self.device = open_photo, tell, device
        self.teachers: list[DualEncoder] = []

    def train(self) -> dict[str, Any]:
        model = self._model()
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.number == 1 or self.stage.losses.taught:
            # an unfit one is refused before the first stage, not before the one that it teaches
            teachers = load_teachers(self.recipe, model)
            self.teachers = teachers if self.stage.losses.taught else []
        samples, validator = self._samples(model)
        if self.number == 1 and self.recipe.model.ridge:
            start_heads(model, self.recipe, samples, self.data.train.owner, self.tell)
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
            # before the checkpoints go: what dies between the two has a stage that is complete
            write_json(self.folder / "stage.json", about, TrainingError)
            remove_checkpoints(self.folder)
        wait_for_all()
        return about

    def _model(self) -> DualEncoder:
        """Of the stage before, as it lies on disk: a run that was stopped between goes on alike."""
        if self.number == 1:
            return start(self.recipe, self.data.train.captions)
        before = self.recipe.stages[self.number - 2]
        return from_pretrained(model_folder(self.run, before, self.number - 1))

    def _samples(self, model: DualEncoder) -> tuple[Samples, Any]:
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

    def _photos(self, model: DualEncoder, paths: list[Path], views: tuple[str, ...]) -> Any:
        states = None
        if is_frozen(model, "image_tower", self.recipe.stages):
            device = self.device or best_device()
            states = [
                image_states(model, paths, view, self.cache, self.open_photo, self.tell, device)
                for view in views
            ]
        return Photos(paths, views, states, model, self.open_photo)

    def _texts(self, reads: DualEncoder | None, captions: Captions) -> Any:
        """reads: whose tower's states are kept, where it is frozen; a teacher's always is."""
        states = None
        if reads is not None and (
            reads in self.teachers or is_frozen(reads, "text_tower", self.recipe.stages)
        ):
            device = self.device or best_device()
            states = text_states(reads, captions.ids, self.cache, self.tell, device)
        return Texts(captions, states)

    def _last_validation(self) -> dict[str, Any] | None:
        lines = read_log(self.folder / "log.jsonl")
        found = [line["validation"] for line in lines if "validation" in line]
        return found[-1] if found else None

    def _card(self, about: dict[str, Any], model: DualEncoder) -> str:
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
