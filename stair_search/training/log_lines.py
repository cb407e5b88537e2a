"""The lines of a run's log: nested for programs, flat for TensorBoard, short for people."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from stair_search.errors import TrainingError
from stair_search.files import whole_file

SAID = ("terms/", "active_tokens/", "validation/text_to_image", "validation/image_to_text")


def said(logs: dict[str, Any]) -> str:
    """Figures as people read them.

    >>> said({"loss": 2.5, "active_tokens/image": 31.25, "learning_rate": 1e-3})
    'loss 2.5, active tokens image 31.25'
    """
    return ", ".join(
        f"{name.removeprefix('terms/').replace('_', ' ').replace('/', ' ')} {value:.4g}"
        for name, value in logs.items()
        if name == "loss" or name.startswith(SAID)
    )


def flat(line: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Nested names joined, for TensorBoard.

    >>> flat({"loss": 1.0, "terms": {"contrastive": 0.5}})
    {'loss': 1.0, 'terms/contrastive': 0.5}
    """
    found: dict[str, Any] = {}
    for name, value in line.items():
        if isinstance(value, dict):
            found |= flat(value, f"{above}{name}/")
        elif value is not None:
            found[f"{above}{name}"] = value
    return found


def finite(value: Any) -> Any:
    """As JSON can have it: a figure that is no finite number is null.

    >>> finite({"loss": float("nan"), "step": 1})
    {'loss': None, 'step': 1}
    """
    if isinstance(value, dict):
        return {name: finite(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_log(file: Path) -> list[dict[str, Any]]:
    """The lines of a log that `cut_log` has been over, or that was not stopped."""
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def cut_log(file: Path, step: int) -> float:
    """Takes off what was logged after a step, and a line that was not finished.

    Returns the seconds that the last line left tells.
    """
    if not file.exists():
        return 0.0
    kept, seconds = [], 0.0
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            found = json.loads(line)
            if found["step"] <= step:
                kept.append(line)
                seconds = float(found["seconds"])
        except (ValueError, KeyError):
            break
    with whole_file(file, TrainingError) as out:
        out.writelines(f"{line}\n" for line in kept)
    return seconds
