"""A stage's loop: transformers' Trainer, with named losses, exact resume and words for trouble.

What is random within a step follows from (seed, stage, step, process) alone, and a sample from its
number: a run that was killed goes on from its last whole checkpoint with the same losses, to the
last bit on the same machine, as if it had not been.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Sampler
from transformers import PrinterCallback, Trainer, TrainingArguments

from stair_search.errors import TrainingError

from .bad_batch import keep_batch
from .callbacks import Board, Line
from .checkpoints import (
    KEPT,
    PREFIX,
    WEIGHTS,
    changing,
    last_checkpoint,
    load_optimiser,
    save_optimiser,
)
from .data import Data, scrambled
from .log_lines import cut_log, finite, flat, read_log
from .losses import processes
from .optimiser import optimiser
from .recipe import Recipe, Stage
from .samples import Batch, Samples
from .schedules import quadratic_growth
from .step import Step, Stepped
from .watch import Validator, collapse

Tell = Callable[[str], None]


class _From(Sampler[int]):
    """Sample numbers from the first that is not done yet."""

    def __init__(self, first: int, end: int) -> None:
        self._numbers = range(first, end)

    def __iter__(self) -> Iterator[int]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)


class StageTrainer(Trainer):
    """folder: the stage's, with checkpoints/, log.jsonl and, after a loss that is no number,
    bad-batch/. number: of the stage, from 1.
    """

    def __init__(
        self,
        step: Step,
        recipe: Recipe,
        number: int,
        samples: Samples,
        data: Data,
        validator: Callable[[torch.device], Validator] | None,
        folder: Path,
        board: Path,
        tell: Tell,
        device: str | None,
    ) -> None:
        self.optimizer: torch.optim.Optimizer | None
        self.control: Any
        stage = recipe.stages[number - 1]
        self._step, self._recipe, self._stage, self._number = step, recipe, stage, number
        self._data, self._folder, self._tell = data, folder, tell
        self._log_file = folder / "log.jsonl"
        self._sums: dict[str, torch.Tensor] = {}
        self._seen: torch.Tensor | None = None
        self._since = 0
        self._terms: dict[str, torch.Tensor] = {}
        self.last_loss = float("nan")
        self._resumed = self._validated = 0
        arguments = _arguments(recipe, stage, samples, folder, device)
        # several devices are the launcher's business: DataParallel would split the batch and its
        # negatives with it
        arguments._n_gpu = min(1, arguments.n_gpu)
        super().__init__(
            model=step,
            args=arguments,
            train_dataset=samples,
            data_collator=_same,
            callbacks=[Board(board), Line(tell, stage, number, len(recipe.stages))],
        )
        self.remove_callback(PrinterCallback)
        self._validator = validator(self.args.device) if validator else None
        self._started, self._before = time.monotonic(), 0.0

    @property
    def seconds(self) -> float:
        """Spent on this stage, by earlier calls too as far as their steps were kept."""
        return self._before + time.monotonic() - self._started

    # --- going on -------------------------------------------------------------------------------

    def run(self) -> None:
        """From the last whole checkpoint, or from the start."""
        checkpoint = last_checkpoint(self._folder / "checkpoints", self.is_world_process_zero())
        self._resumed = int(checkpoint.name.removeprefix(PREFIX)) if checkpoint else 0
        if self.is_world_process_zero():
            self._before = cut_log(self._log_file, self._resumed)
            # where no step is left to do, as it was logged
            losses = [line["loss"] for line in read_log(self._log_file) if "loss" in line]
            self.last_loss = losses[-1] if losses else self.last_loss
        self._started = time.monotonic()
        self._validated = self._resumed
        if checkpoint:
            self._tell(f"stage {self._stage.name}: goes on after step {self._resumed}")
        self.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        samples = self.train_dataset
        return _From(self._resumed * samples.batch, len(samples))

    def training_step(self, model: nn.Module, inputs: Batch, *rest: Any, **named: Any) -> Any:
        places = np.array([self.state.global_step], np.int64)
        salt = 100 + self._number * 1_000_003 + self.args.process_index
        torch.manual_seed(int(scrambled(self._recipe.seed, places, salt)[0] >> np.uint64(1)))
        loss = super().training_step(model, inputs, *rest, **named)
        # before the optimiser takes them: weights and later checkpoints would be lost as well
        gradients = [one.grad for one in self._step.parameters() if one.grad is not None]
        if not bool(torch.isfinite(nn.utils.get_total_norm(gradients))):
            raise self._no_number("a gradient", inputs)
        return loss

    def compute_loss(
        self, model: nn.Module, inputs: Batch, return_outputs: bool = False, **_: Any
    ) -> Any:
        self._step.at = self.state.global_step
        stepped: Stepped = model(inputs)
        self._terms = stepped.terms
        if not bool(torch.isfinite(stepped.loss)):
            raise self._no_number("the loss", inputs)
        self._sum("loss", stepped.loss.detach())
        for name, value in stepped.terms.items():
            self._sum(name, value)
        if stepped.active is not None and stepped.seen is not None:
            self._sum("active", stepped.active)
            self._seen = stepped.seen if self._seen is None else self._seen | stepped.seen
        self._since += 1
        return (stepped.loss, stepped) if return_outputs else stepped.loss

    def _sum(self, name: str, value: torch.Tensor) -> None:
        self._sums[name] = self._sums[name] + value if name in self._sums else value.clone()

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            self.optimizer = optimiser(self._step, self._stage)
        return self.optimizer

    # --- telling --------------------------------------------------------------------------------

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Means of the terms over steps and devices, and the tokens, in Trainer's place."""
        if "loss" not in logs:
            return  # Trainer's closing summary, whose means are those of the last run alone
        means = {
            name: self.accelerator.reduce(value.float() / self._since, "mean")
            for name, value in self._sums.items()
        }
        self.last_loss = means["loss"].item()
        stage, temperature = self._stage, self._step.model.temperature.item()
        share = quadratic_growth(self.state.global_step - 1, stage.losses.growth)
        line: dict[str, Any] = {
            "step": self.state.global_step,
            "loss": self.last_loss,
            "terms": {
                name: value.item()
                for name, value in means.items()
                if name not in ("loss", "active")
            },
            "lambda": {
                "image": share * stage.losses.flops_image,
                "text": share * stage.losses.flops_text,
            },
            "learning_rate": logs["learning_rate"],
            "temperature": temperature,
        }
        if "grad_norm" in logs:
            line["gradient"] = float(logs["grad_norm"])
        active = None
        if "active" in means and self._seen is not None:
            seen = self.accelerator.reduce(self._seen.float(), "sum") > 0
            active = (means["active"][0].item(), means["active"][1].item())
            dead = (~seen).sum(1).tolist()
            line["active_tokens"] = dict(zip(("image", "text"), active, strict=True))
            line["dead_tokens"] = dict(zip(("image", "text"), dead, strict=True))
            outputs = seen.shape[1]
            if warnings := collapse(active, outputs, 1 / temperature, grown=share == 1):
                line["warnings"] = warnings
        self._sums, self._seen, self._since = {}, None, 0
        self._write(line)
        self.control = self.callback_handler.on_log(self.args, self.state, self.control, flat(line))

    def _maybe_log_save_evaluate(self, *rest: Any, **named: Any) -> None:
        step, every = self.state.global_step, self._recipe.validate_every
        last = step == self._stage.steps
        if last:
            self.control.should_log = True
        if (last or step % every == 0) and step > self._validated:  # an epoch's end asks again
            self._validated = step
            if self._validator and self.is_world_process_zero():
                self._validate(self._validator)
        super()._maybe_log_save_evaluate(*rest, **named)

    def _validate(self, validator: Validator) -> None:
        found = validator(self._step.model, self._stage.own_only)
        line: dict[str, Any] = {"step": self.state.global_step, "validation": found.to_dict()}
        scale = 1 / self._step.model.temperature.item()
        outputs = self._step.model.outputs
        width = 0 if outputs is None else len(outputs)
        grown = self.state.global_step > self._stage.losses.growth
        if warnings := collapse(found.active, width, scale, found.alike, grown):
            line["warnings"] = warnings
        self._write(line)
        due = self.control.should_log  # which the call takes for done
        self.callback_handler.on_log(self.args, self.state, self.control, flat(line))
        self.control.should_log = due

    def _write(self, line: dict[str, Any]) -> None:
        if self.is_world_process_zero():
            line["seconds"] = round(self.seconds, 3)
            with self._log_file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(finite(line)) + "\n")

    def _no_number(self, what: str, inputs: Batch) -> TrainingError:
        """Keeps the batch, and says where."""
        step = self.state.global_step + 1
        name = f"step-{step}" + (f"-{self.args.process_index}" if processes() > 1 else "")
        terms = {key: value.item() for key, value in self._terms.items()}
        file = keep_batch(self._folder / "bad-batch", name, inputs, self._data.train, step, terms)
        told = ", ".join(f"{key} {value:g}" for key, value in terms.items())
        return TrainingError(
            f"stage {self._stage.name}, step {step}: {what} is no finite number ({told}). Its "
            f"batch is kept in {file} and .safetensors. Look at its photos and captions; "
            "otherwise try a lower rate, a longer warm-up, clip = 1.0 or precision fp32, in a "
            "new run folder"
        )

    # --- checkpoints ----------------------------------------------------------------------------

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """The state's file is written last: a folder without it is no checkpoint."""
        folder = Path(self.args.output_dir) / f"{PREFIX}{self.state.global_step}"
        try:
            super()._save_checkpoint(model, trial)
        except Exception as error:  # torch and safetensors raise their own kinds for a full disk
            shutil.rmtree(folder, ignore_errors=True)
            last = last_checkpoint(folder.parent, False)
            kept = f"the last good one is {last}" if last else "there is none before it"
            raise TrainingError(
                f"checkpoint {folder} could not be saved: {error}. {kept.capitalize()}; free some "
                "space and run the same command again: it goes on from there"
            ) from error

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Only what can change: frozen towers come from the stage before."""
        from safetensors.torch import save_file

        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        save_file(changing(self._step), str(folder / WEIGHTS), metadata={"format": "pt"})

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        from safetensors.torch import load_file

        kept = load_file(str(Path(resume_from_checkpoint) / WEIGHTS))
        here = set(changing(self._step))
        if set(kept) != here:
            raise TrainingError(
                f"checkpoint {resume_from_checkpoint} is of another model: "
                f"{sorted(set(kept) ^ here)[0]} is in one of both alone"
            )
        self._step.load_state_dict(kept, strict=False)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if self.is_world_process_zero():
            save_optimiser(Path(output_dir), self.optimizer, self.lr_scheduler)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            load_optimiser(Path(checkpoint), self.optimizer, self.lr_scheduler)

    def _save_rng_state(self, output_dir: str) -> None:
        """None is needed, see `training_step`."""

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """As above."""


def _arguments(
    recipe: Recipe, stage: Stage, samples: Samples, folder: Path, device: str | None
) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(folder / "checkpoints"),
        max_steps=stage.steps,
        per_device_train_batch_size=samples.batch // processes(),
        learning_rate=stage.rate,
        lr_scheduler_type=stage.decay,
        warmup_steps=stage.warmup,
        max_grad_norm=stage.clip,
        bf16=recipe.precision == "bf16",
        seed=recipe.seed,
        use_cpu=device == "cpu",
        logging_steps=recipe.log_every,
        logging_nan_inf_filter=False,
        save_steps=recipe.save_every,
        save_total_limit=KEPT,
        ignore_data_skip=True,  # the sampler starts where the checkpoint ended
        dataloader_num_workers=recipe.workers,
        dataloader_drop_last=True,
        dataloader_pin_memory=device != "cpu" and torch.cuda.is_available(),
        remove_unused_columns=False,
        disable_tqdm=True,
        log_level="error",
        report_to="none",
    )


def _same(batch: Batch) -> Batch:
    return batch
