"""What happens at each log of a stage's loop: TensorBoard, and a line for people."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from .log_lines import said
from .recipe import Stage

Tell = Callable[[str], None]


class Board(TrainerCallback):
    """TensorBoard, on the first process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._folder), purge_step=state.global_step + 1)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        for name, value in (logs or {}).items():
            if self._writer is not None and isinstance(value, int | float):
                self._writer.add_scalar(name, value, state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._writer is not None:
            self._writer.close()


class Line(TrainerCallback):
    """A line for people at each log."""

    def __init__(self, tell: Tell, stage: Stage, number: int, stages: int) -> None:
        self._tell, self._stage = tell, stage
        self._head = f"stage {number} of {stages}, {stage.name}"
        self._warned: set[str] = set()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if not (state.is_world_process_zero and logs):
            return
        self._tell(f"{self._head}: step {state.global_step} of {self._stage.steps}, {said(logs)}")
        for warning in logs.get("warnings", ()):
            what = re.sub(r"[\d.]+", "", warning)  # its figures change from line to line
            if what not in self._warned:
                self._warned.add(what)
                self._tell(f"Warning: {warning}")
