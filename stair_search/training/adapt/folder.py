"""What was asked of `adapt` and what it chose, and how both lie in its folder.

A call that finds them goes on from there; nothing is chosen twice, so that a run that was killed
ends as it would have.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stair_search import __version__
from stair_search.encoders.folder import sha256
from stair_search.errors import ModelError, TrainingError, UsageError
from stair_search.files import write_json
from stair_search.models.config import from_dict

from ..recipe import Recipe
from ..report.page import minutes
from .choices import Choice, Cost, Machine, Unfreeze, Wish
from .pairs import Prepared, write_left_out, write_pairs

MARKER = "adapt.json"


@dataclass(frozen=True)
class Options:
    """What was asked for; None is chosen (see `choices.choose`)."""

    backbone: str
    pairs: Path
    images: Path
    out: Path
    name: str | None = None
    text_backbone: str = "minilm"
    unfreeze: Unfreeze | None = None
    validation_split: str | None = None
    minutes: float | None = None
    steps: int | None = None
    batch: int | None = None
    seed: int = 0

    @property
    def model_name(self) -> str:
        return self.name or re.sub(r"[^A-Za-z0-9._]+", "-", self.out.absolute().name).strip("-.")

    @property
    def wish(self) -> Wish:
        return Wish(self.unfreeze, self.steps, self.minutes, self.batch)

    def to_dict(self) -> dict[str, Any]:
        """As adapt.json holds it; the folder itself may be moved."""
        told = {key: str(v) if isinstance(v, Path) else v for key, v in asdict(self).items()}
        told |= {"pairs": str(self.pairs.absolute()), "images": str(self.images.absolute())}
        del told["out"]
        return told | {"name": self.model_name}


@dataclass(frozen=True)
class Plan:
    """data: photos and captions by split; told: what is to be known of the pairs, in words.

    cost: estimated. recipes: of STAIR and of CLIP; kept with the plan, so that another version of
    stair-search goes on with the same. prepared: None where an earlier call has begun.
    """

    machine: Machine
    choice: Choice
    cost: Cost
    recipes: tuple[Recipe, Recipe]
    data: dict[str, int]
    split: str
    told: list[str]
    left_out: int
    prepared: Prepared | None

    def to_dict(self) -> dict[str, Any]:
        """As `adapt --dry-run --format json` prints it."""
        return {
            "machine": asdict(self.machine),
            "choice": asdict(self.choice),
            "cost": asdict(self.cost) | {"seconds": self.cost.seconds},
            "data": self.data,
            "measured_on": self.split,
            "told": self.told,
            "left_out": self.left_out,
        }

    def lines(self) -> list[str]:
        """For people: what was chosen, why, and what it costs."""
        cost, data = self.cost, self.data
        return [
            f"{data['train_photos']:,} photos with {data['train_captions']:,} captions, "
            f"{data['held_out_photos']:,} photos held out; {self.machine.name}",
            *self.told,
            *self.choice.why,
            f"about {minutes(cost.seconds)}: {minutes(cost.features)} for what frozen towers see, "
            f"{minutes(cost.stair)} for STAIR in three stages, {minutes(cost.clip)} for CLIP, "
            f"{minutes(cost.report)} for the report; {cost.disk / 1e9:.1f} GB of disk",
        ]


def begun(options: Options) -> Plan | None:
    """The plan of an earlier call; None where there is none yet. Raises UsageError where the folder
    holds something else, or what another command began.
    """
    out = options.out
    marker = out / MARKER
    if not marker.exists():
        if out.exists() and (not out.is_dir() or any(map(_foreign, out.iterdir()))):
            raise UsageError(f"{out} holds something else: give --out a new or an empty folder")
        return None
    try:
        told = json.loads(marker.read_text("utf-8"))
        before, content, made = told["options"], told["pairs_sha256"], told["plan"]
        cost = {key: v for key, v in made["cost"].items() if key != "seconds"}
        found = Plan(
            from_dict(Machine, made["machine"]),
            from_dict(Choice, made["choice"]),
            from_dict(Cost, cost),
            (from_dict(Recipe, made["recipes"][0]), from_dict(Recipe, made["recipes"][1])),
            made["data"],
            made["measured_on"],
            made["told"],
            made["left_out"],
            None,
        )
    except (OSError, ValueError, KeyError, TypeError, ModelError) as error:
        raise UsageError(f"{marker} cannot be read ({error!r}): give another --out") from None
    now = options.to_dict()
    other = [key for key in now if now[key] != before.get(key)]
    if other:
        then = ", ".join(f"--{key.replace('_', '-')} {before.get(key)}" for key in other)
        raise UsageError(
            f"{out} was begun with {then}: give the same options to go on, or another --out"
        )
    if content != sha256(options.pairs):
        raise UsageError(
            f"{options.pairs} has changed since {out} was begun: give another --out to start anew"
        )
    return found


def _foreign(path: Path) -> bool:
    """Neither ours from a call that was killed early, nor a file system's own."""
    return path.name not in ("pairs.csv", "left-out.csv", "lost+found") and not (
        path.name.startswith(".") and path.name.endswith(".part")
    )


def begin(options: Options, planned: Plan) -> None:
    """Writes what a later call goes on from; the marker last."""
    assert planned.prepared is not None
    out = options.out
    out.mkdir(parents=True, exist_ok=True)
    write_pairs(planned.prepared.pairs, out / "pairs.csv")
    if planned.prepared.left_out:
        write_left_out(planned.prepared.left_out, out / "left-out.csv")
    told = {
        "version": __version__,
        "options": options.to_dict(),
        "pairs_sha256": sha256(options.pairs),
        "plan": planned.to_dict() | {"recipes": [recipe.to_dict() for recipe in planned.recipes]},
    }
    write_json(out / MARKER, told, TrainingError)
