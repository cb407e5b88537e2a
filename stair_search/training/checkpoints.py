"""What a checkpoint holds, and which one is whole.

Tensors are safetensors, all else is JSON: there is no pickle to be loaded.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers.trainer import TRAINER_STATE_NAME

from .step import Step

WEIGHTS, OPTIMISER = "model.safetensors", "optimiser.safetensors"
PREFIX = "checkpoint-"
KEPT = 2
"""Checkpoints: the last, and the one before it."""


def changing(step: Step) -> dict[str, torch.Tensor]:
    """What a checkpoint holds: the state of all modules but those of towers that are frozen."""
    model = step.model
    towers = {"image_tower": model.image_tower, "text_tower": model.text_tower}
    frozen = tuple(
        f"model.{name}."
        for name, tower in towers.items()
        if tower is not None and not any(one.requires_grad for one in tower.parameters())
    )
    return {
        name: value.detach().cpu().contiguous()
        for name, value in step.state_dict().items()
        if not name.startswith(frozen or ("\0",))
    }


def save_optimiser(folder: Path, optimiser: torch.optim.Optimizer, scheduler: Any) -> None:
    """The state of both, as one file."""
    told = optimiser.state_dict()
    tables = {("state", number): state for number, state in told["state"].items()}
    tables |= {("group", number): group for number, group in enumerate(told["param_groups"])}
    tensors, others = {}, []
    for (kind, number), table in tables.items():
        for name, value in table.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{kind}.{number}.{name}"] = value.detach().cpu().contiguous()
            else:
                others.append((kind, number, name, value))
    about = {"others": others, "scheduler": scheduler.state_dict()}
    save_file(tensors, str(folder / OPTIMISER), metadata={"about": json.dumps(about)})


def load_optimiser(folder: Path, optimiser: torch.optim.Optimizer, scheduler: Any) -> None:
    """The way back, to the last bit."""
    tables: dict[str, dict[int, dict[str, Any]]] = {"state": {}, "group": {}}
    with safe_open(str(folder / OPTIMISER), framework="pt") as file:
        about = json.loads(file.metadata()["about"])
        found = [(*key.split(".", 2), file.get_tensor(key)) for key in file.keys()]  # noqa: SIM118
    for kind, number, name, value in [*found, *about["others"]]:
        tables[kind].setdefault(int(number), {})[name] = value
    groups = [group for _, group in sorted(tables["group"].items())]
    optimiser.load_state_dict({"state": tables["state"], "param_groups": groups})
    scheduler.load_state_dict(about["scheduler"])


def last_checkpoint(folder: Path, clean: bool) -> Path | None:
    """The last whole one. clean: those that are not whole are removed."""
    whole: list[tuple[int, Path]] = []
    for one in folder.glob(f"{PREFIX}*"):
        try:
            state = json.loads((one / TRAINER_STATE_NAME).read_text(encoding="utf-8"))
            whole.append((int(state["global_step"]), one))
        except (OSError, ValueError, KeyError):
            if clean:
                shutil.rmtree(one, ignore_errors=True)
    return max(whole)[1] if whole else None
