"""What `adapt` chooses, from how much data there is and what it runs on, and why it does.

Pure arithmetic: knows no file, no network and no clock, so that a choice can be read, printed and
tested without any of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from stair_search.errors import UsageError

Unfreeze = Literal["none", "last", "all"]
"""What of the towers is trained: nothing, the last block of each, everything."""

STAGES = ("masked", "frozen", "joint")
SHARES = (0.15, 0.15, 0.7)
"""Of all steps, for the three stages, as `small-taught` has them: the last is the taught one."""
EPOCHS = ((2_000, 120), (10_000, 60), (50_000, 20), (300_000, 8), (2_000_000, 3))
"""How often each photo is seen over all stages, up to so many training photos; beyond them once."""
MANY = 100_000
"""Photos from which on towers are trained where there is a GPU."""
LEAST_STEPS = 10
"""A stage; fewer teach nothing, and warm-up and λ have no room to grow."""
MEASURED_PHOTOS = 1000
DISTILLED = 20_000
"""Captions from which the static text table is distilled: beyond it, it hardly changes."""
VOCABULARY = 30_522
SHORT = 0.4
"""A single token's time as a share of a caption's; each token of BERT's vocabulary goes through the
text tower for the table, and once more to say what is nearest to a photo of the dense model.
"""
RESERVE = 0.9
"""Share of the minutes given that is planned with: a machine has other work too."""


@dataclass(frozen=True)
class Data:
    """Photos and captions to train on, and photos that are held out."""

    photos: int
    captions: int
    held_out: int


@dataclass(frozen=True)
class Machine:
    """device: "cpu" or "cuda"; name: for people; threads: that torch uses."""

    device: str
    name: str
    threads: int


@dataclass(frozen=True)
class Wish:
    """What was asked for; None is left to `choose`."""

    unfreeze: Unfreeze | None = None
    steps: int | None = None
    minutes: float | None = None
    batch: int | None = None


@dataclass(frozen=True)
class Choice:
    """steps: of each of the three stages; why: a line a choice."""

    unfreeze: Unfreeze
    batch: int
    precision: Literal["fp32", "bf16"]
    views: tuple[str, ...]
    least: int
    steps: tuple[int, int, int]
    why: tuple[str, ...]

    @property
    def total(self) -> int:
        return sum(self.steps)


@dataclass(frozen=True)
class Speed:
    """Of both models on this machine, see `speed.Measured`. Seconds: of a photo through the image
    tower and of opening it, of a caption through the text tower, of a step. Bytes: of a saved
    model, of the parameters that are trained, of what frozen towers see in a photo and a caption.
    """

    open: float
    photo: float
    caption: float
    stair_step: float
    clip_step: float
    model: int
    trained: int
    photo_states: int
    caption_states: int


@dataclass(frozen=True)
class Cost:
    """Seconds by part: of frozen towers' looks, of both trainings, of the report. disk: bytes."""

    features: float
    stair: float
    clip: float
    report: float
    disk: int

    @property
    def seconds(self) -> float:
        return self.features + self.stair + self.clip + self.report


def choose(data: Data, machine: Machine, wish: Wish) -> Choice:
    """Defaults for this much data on this machine; what was wished for stays as it is."""
    why = []
    unfreeze = wish.unfreeze
    if unfreeze is None:
        unfreeze, reason = _unfreeze(data, machine)
        why.append(reason)
    else:
        why.append(f"unfreeze {unfreeze}: as you asked")
        if unfreeze != "none" and machine.device == "cpu":
            why.append("without a GPU, towers that are trained take many times as long")
    batch = wish.batch or _batch(data, machine, unfreeze)
    batch = min(batch, data.photos)
    why.append(
        f"batch {batch}: each caption is told from those of {batch - 1} other photos"
        + (", all that there are" if batch == data.photos else "")
    )
    views = ("plain", "flip")
    why.append("each photo as it is and mirrored")
    precision: Literal["fp32", "bf16"] = "bf16" if machine.device == "cuda" else "fp32"
    least = _least(data)
    many = f"at least {least} captions hold" if least > 1 else "any caption holds"
    why.append(f"tokens that {many} can be given")
    steps, reason = _default_steps(data, batch)
    if wish.steps is not None:
        steps, reason = wish.steps, f"{wish.steps:,} steps: as you asked"
    if wish.minutes is None:
        why.append(reason)
    return Choice(unfreeze, batch, precision, views, least, _shared(steps), tuple(why))


def within(choice: Choice, data: Data, machine: Machine, speed: Speed, wish: Wish) -> Choice:
    """As many steps as the minutes that were given allow. Raises UsageError where they are few."""
    if wish.minutes is None:
        return choice
    fixed = cost(replace(choice, steps=(0, 0, 0)), data, machine, speed).seconds
    step = speed.stair_step + speed.clip_step
    steps = int((RESERVE * 60 * wish.minutes - fixed) / step)
    if steps < LEAST_STEPS * len(STAGES):
        need = (fixed + LEAST_STEPS * len(STAGES) * step) / RESERVE / 60
        raise UsageError(
            f"--minutes {wish.minutes:g} are too few: looking at {data.photos + data.held_out:,} "
            f"photos, measuring and {LEAST_STEPS} steps a stage take about {need:.1f} minutes "
            "here; give at least so many, or fewer pairs"
        )
    why = f"{steps:,} steps: what {wish.minutes:g} minutes allow for both models"
    return replace(choice, steps=_shared(steps), why=(*choice.why, why))


def cost(choice: Choice, data: Data, machine: Machine, speed: Speed) -> Cost:
    """Of frozen towers every photo is looked at once in each view; photos are opened by all threads
    while the tower works. Measuring takes the photos through each of the four models' towers where
    these are trained; the table and the readable words take texts through the text tower.

    Disk: four models and what is handed over; of the stage that is under way two checkpoints, with
    the two moments of each parameter that is trained.
    """
    look = max(speed.photo, speed.open / machine.threads)
    looks = data.photos * len(choice.views) + data.held_out if speed.photo_states else 0
    captions = data.captions if speed.caption_states else 0
    words = SHORT * VOCABULARY * speed.caption
    measured = 0 if speed.photo_states else min(data.held_out, MEASURED_PHOTOS) * (len(STAGES) + 1)
    checkpoint = speed.model + 2 * speed.trained
    return Cost(
        looks * look + captions * speed.caption,
        choice.total * speed.stair_step,
        choice.total * speed.clip_step,
        measured * look + 2 * words + min(data.captions, DISTILLED) * speed.caption,
        looks * speed.photo_states
        + captions * speed.caption_states
        + (len(STAGES) + 2) * speed.model
        + 2 * checkpoint,
    )


def _unfreeze(data: Data, machine: Machine) -> tuple[Unfreeze, str]:
    if machine.device == "cpu":
        return "none", (
            "towers stay frozen, since there is no GPU: what they see in each photo is computed "
            "once and kept"
        )
    if data.photos < MANY:
        return "none", (
            f"towers stay frozen: {data.photos:,} photos are few to train them with, they would "
            "forget what they know"
        )
    return "all", f"the towers are trained as a whole with {data.photos:,} photos"


def _batch(data: Data, machine: Machine, unfreeze: Unfreeze) -> int:
    if machine.device == "cuda":
        wanted = 1024 if unfreeze == "none" and data.photos >= 20_000 else 256
    else:
        wanted = 256 if unfreeze == "none" else 32
    return max(2, min(wanted, data.photos // 2))


def _least(data: Data) -> int:
    """A token that few captions hold is learned from few photos, and badly."""
    if data.captions < 500:
        return 1
    return 3 if data.captions < 5_000 else 8


def _default_steps(data: Data, batch: int) -> tuple[int, str]:
    epochs = next((epochs for most, epochs in EPOCHS if data.photos <= most), 1)
    steps = max(LEAST_STEPS * len(STAGES), -(-data.photos * epochs // batch))
    return steps, f"{steps:,} steps: each photo is seen about {steps * batch // data.photos} times"


def _shared(steps: int) -> tuple[int, int, int]:
    """All steps over the three stages; none without a step, unless there are none at all.

    >>> _shared(1000), _shared(3), _shared(0)
    ((150, 150, 700), (1, 1, 1), (0, 0, 0))
    """
    if steps and steps < len(STAGES):
        raise UsageError(f"--steps {steps}: at least one for each of {len(STAGES)} stages")
    first, second = (max(1, round(share * steps)) if steps else 0 for share in SHARES[:2])
    return first, second, steps - first - second
