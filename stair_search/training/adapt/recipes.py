"""The two recipes of `adapt`: CLIP, and STAIR in three stages with the same towers, data and steps,
which CLIP teaches in its last stage.

Both start from shipped recipes; what `adapt` chose is put in as `train --set` would.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from ..recipe import Recipe, Stage, load
from .choices import Choice, Unfreeze

STAIR, CLIP = "small-taught", "small-clip"
IMAGE_TOKENS, TEXT_TOKENS = 96, 32
"""Most that a photo and a question keep: an index holds the one, a search pays for the other.
Without a limit `small` uses some four times as many, for a few points of recall.
"""

LOGGED, CHECKED = 40, 4
"""Log lines of the shortest stage, and of these each how manieth is followed by a validation."""

TOWER_RATE = 5e-5
"""Where published towers are trained too: as BERT and ViT are fine-tuned with. The heads, which
start at random weights, keep their own.
"""


def recipes(
    name: str, backbone: str, text_backbone: str, seed: int, choice: Choice, teacher: str
) -> tuple[Recipe, Recipe]:
    """STAIR's and CLIP's. name: of the model; teacher: where CLIP will be. Raises UsageError,
    ModelError.
    """
    log_every = max(1, min(choice.steps) // LOGGED)
    told: dict[str, Any] = {
        "model.image.backbone": backbone,
        "model.text.backbone": text_backbone,
        "batch": choice.batch,
        "precision": choice.precision,
        "views": list(choice.views),
        "log_every": log_every,
        "validate_every": CHECKED * log_every,
        "save_every": CHECKED * log_every,
    }
    if choice.unfreeze != "none":
        told["model.ridge"] = False  # a regression from the states of towers that stand still
    if choice.unfreeze == "all":
        # a table that may move while the tower's may not
        told["model.own_embeddings"] = False
    sparse = {
        "name": name,
        "model.least": choice.least,
        "model.image.head.top_k": IMAGE_TOKENS,
        "model.text.head.top_k": TEXT_TOKENS,
        "teachers": [teacher],
    }
    stair = load(STAIR, _settings(told | sparse), seed)
    clip = load(CLIP, _settings(told | {"name": f"{name}-clip"}), seed)
    return (
        _staged(stair, choice.steps, choice.unfreeze),
        _staged(clip, (choice.total,), choice.unfreeze),
    )


def _settings(told: dict[str, Any]) -> list[str]:
    """JSON's strings, numbers and lists are TOML's too."""
    return [f"{key}={json.dumps(value)}" for key, value in told.items()]


def _staged(recipe: Recipe, steps: tuple[int, ...], unfreeze: Unfreeze) -> Recipe:
    stages = zip(recipe.stages, steps, strict=True)
    return replace(recipe, stages=tuple(_stage(stage, n, unfreeze) for stage, n in stages))


def _stage(stage: Stage, steps: int, unfreeze: Unfreeze) -> Stage:
    """Warm-up and the growth of λ shrink or stretch with the steps."""
    share = steps / stage.steps
    return replace(
        stage,
        steps=steps,
        rates=_rates(stage, unfreeze),
        warmup=round(stage.warmup * share),
        losses=replace(stage.losses, growth=round(stage.losses.growth * share)),
        trains=_parts(stage.trains, unfreeze),
        freezes=_parts(stage.freezes, unfreeze),
    )


def _rates(stage: Stage, unfreeze: Unfreeze) -> dict[str, float]:
    share = TOWER_RATE / stage.rate
    if unfreeze == "none":
        return stage.rates
    if unfreeze == "last":
        return stage.rates | {"towers": share}
    # the table of embeddings is the text tower's
    return stage.rates | {"towers": share, "embeddings": share}


ALSO: dict[Unfreeze, str] = {"last": "_tower_last", "all": "_tower"}


def _parts(parts: tuple[str, ...], unfreeze: Unfreeze) -> tuple[str, ...]:
    """Where towers are trained, what a stage says of a head holds for that side's tower too.

    >>> _parts(("image_head", "temperature"), "last")
    ('image_head', 'image_tower_last', 'temperature')
    """
    found = list(parts)
    for side in ("image", "text"):
        if unfreeze in ALSO and f"{side}_head" in parts:
            found.insert(found.index(f"{side}_head") + 1, f"{side}{ALSO[unfreeze]}")
    return tuple(found)
