"""Recipes: TOML files that say everything about a model and its training but the data.

    >>> load("paper").stages[0].steps
    300000
    >>> load("small", ["stages.masked.steps=3"]).stages[0].steps
    3

A recipe may start from another one (`extends = "small"`): its settings replace those of the other,
table by table; its list of stages replaces the other's list. What stands under [every_stage] holds
for every stage that does not say otherwise.
"""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from stair_search.errors import ModelError, UsageError
from stair_search.models.config import HeadConfig, TableConfig, TowerConfig, from_dict, to_dict
from stair_search.pixels import Resize
from stair_search.toml import read_toml

SHIPPED = Path(__file__).parent / "recipes"

PARTS = (
    "image",
    "image_tower",
    "image_tower_last",
    "image_head",
    "text",
    "text_tower",
    "text_tower_last",
    "text_head",
    "embeddings",
    "temperature",
)
"""What a stage can train or freeze, by the names of `DualEncoder.parts`."""

PLACES = ("teachers", "model.image.of")
"""Settings that name folders of models: what counts is what is in them, wherever they lie."""

RATES = ("bias", "embeddings", "towers")
"""What can have a learning rate of its own, as a factor on its stage's."""


@dataclass(frozen=True)
class ImageRecipe:
    """backbone: a published tower (see `models.backbones`), with its size, mean and deviation.

    tower: instead, a network that starts at random weights; then size is needed. of: the folder of
    a trained model whose image side is taken as it is, outputs included, whatever else is said
    here: for a text side that reads questions for photos which are encoded already.
    """

    of: str | None = None
    backbone: str | None = None
    tower: TowerConfig | None = None
    size: int | None = None
    mean: tuple[float, float, float] | None = None
    deviation: tuple[float, float, float] | None = None
    resize: Resize = "squash"
    grid: int | None = None
    head: HeadConfig = field(default_factory=HeadConfig)


@dataclass(frozen=True)
class TextRecipe:
    """backbone or tower, with a head; a table takes the place of both, and is no network.

    length: most tokens of a text, [CLS] and [SEP] among them. prompt: see `TextConfig`.
    """

    backbone: str | None = None
    tower: TowerConfig | None = None
    length: int = 76
    prompt: str = ""
    head: HeadConfig | None = None
    table: TableConfig | None = None


@dataclass(frozen=True)
class ModelRecipe:
    """least: tokens of the vocabulary that at least so many captions hold as words are the model's
    outputs, without stop words and pieces of words; None for the whole vocabulary. own_embeddings:
    see `ModelConfig`. ridge: token heads of frozen towers and text tables start at a regression
    onto the captions' words (see `ridge`), otherwise at random.
    """

    kind: Literal["stair", "clip", "stair-image"]
    image: ImageRecipe
    text: TextRecipe
    temperature: float = 0.07
    least: int | None = None
    own_embeddings: bool = False
    ridge: bool = False


@dataclass(frozen=True)
class Losses:
    """Weights of the terms; 0 leaves one out.

    flops_image, flops_text: lambda of Eq. 7, which grows quadratically over the first `growth`
    steps of the stage. grounding, grounding_text: the strongest tokens of a photo, or of a caption,
    are to be words of the photo's captions, see `losses.grounding`. taught: the share of the
    contrastive loss whose targets are not the pairs but the recipe's teachers' similarities, over
    taught_temperature: another photo's caption may fit, too.
    """

    flops_image: float = 0.0
    flops_text: float = 0.0
    growth: int = 0
    grounding: float = 0.0
    grounding_text: float = 0.0
    taught: float = 0.0
    taught_temperature: float = 0.05

    @property
    def grounded(self) -> bool:
        return bool(self.grounding or self.grounding_text)

    def __post_init__(self) -> None:
        for name in (
            "flops_image",
            "flops_text",
            "growth",
            "grounding",
            "grounding_text",
            "taught",
        ):
            _at_least(0, f"losses.{name}", getattr(self, name))
        _demand(self.taught <= 1, f"losses.taught {self.taught}: a share, at most 1")
        _demand(
            self.taught_temperature > 0,
            f"losses.taught_temperature {self.taught_temperature}: above 0",
        )


@dataclass(frozen=True)
class Stage:
    """trains, freezes: of PARTS; a parameter is trained that is in the first and not in the second.

    own_only: texts are masked to their own tokens (Eq. 8). rate: the highest learning rate, reached
    after `warmup` steps. rates: factors on it for "bias" (of the token heads), "embeddings" and
    "towers" (without their embeddings). clip: longest gradient, 0 for any.
    """

    name: str
    steps: int
    rate: float
    trains: tuple[str, ...]
    freezes: tuple[str, ...] = ()
    own_only: bool = False
    optimiser: Literal["lamb", "adamw"] = "adamw"
    weight_decay: float = 0.01
    warmup: int = 0
    decay: Literal["linear", "cosine"] = "linear"
    rates: dict[str, float] = field(default_factory=dict)
    clip: float = 0.0
    losses: Losses = field(default_factory=Losses)

    def __post_init__(self) -> None:
        _demand(self.steps > 0, f"stage {self.name!r}: steps {self.steps}: at least 1")
        for part in (*self.trains, *self.freezes):
            _demand(part in PARTS, f"stage {self.name!r}: {part!r}; known are {', '.join(PARTS)}")
        for name, factor in self.rates.items():
            _demand(
                name in RATES, f"stage {self.name!r}: rates.{name}; known are {', '.join(RATES)}"
            )
            _demand(
                isinstance(factor, int | float) and 0 <= factor < math.inf,
                f"stage {self.name!r}: rates.{name} {factor!r}: a finite number, at least 0",
            )
        _demand(self.rate > 0, f"stage {self.name!r}: rate {self.rate}: above 0")
        for name in ("warmup", "weight_decay", "clip"):
            _at_least(0, f"stage {self.name!r}: {name}", getattr(self, name))

    def folder(self, number: int) -> str:
        """The name of its folder in a run; number from 1."""
        return f"{number}-{self.name}"


@dataclass(frozen=True)
class Recipe:
    """batch: pairs of a step over all devices, each photo at most once.

    views: ways to look at a photo, one drawn a sample: "plain", "flip", "crop" (a random part),
    "crop-flip"; where the tower is frozen a crop is cut once a photo, and several are told apart by
    a number ("crop1"). teachers: folders of models in torch form on the same towers as this
    recipe's; the mean of their similarities is the target of losses.taught. log_every,
    validate_every, save_every: steps; logged are means over these.
    """

    name: str
    about: str
    model: ModelRecipe
    stages: tuple[Stage, ...]
    batch: int
    views: tuple[str, ...] = ("plain",)
    precision: Literal["fp32", "bf16"] = "fp32"
    workers: int = 0
    teachers: tuple[str, ...] = ()
    seed: int = 0
    log_every: int = 10
    validate_every: int = 100
    save_every: int = 100

    def __post_init__(self) -> None:
        _demand(bool(self.stages), f"recipe {self.name!r} has no stages")
        names = [stage.name for stage in self.stages]
        _demand(len(set(names)) == len(names), f"recipe {self.name!r}: two stages of one name")
        for name in names:
            _demand(name.isidentifier(), f"stage {name!r}: a name is letters, digits and _")
        _demand(self.batch >= 2, f"batch {self.batch}: in-batch negatives need at least 2")
        _demand(bool(self.views), 'views: at least one, such as "plain"')
        for name in ("workers", "seed"):
            _at_least(0, name, getattr(self, name))
        for key in ("log_every", "validate_every", "save_every"):
            _at_least(1, key, getattr(self, key))
        if self.model.kind == "clip":
            for stage in self.stages:
                wanted = stage.losses
                _demand(
                    not (wanted.flops_image or wanted.flops_text or wanted.grounded)
                    and not stage.own_only,
                    f"stage {stage.name!r}: a dense model has no tokens, so no own_only, "
                    "losses.flops_image, losses.flops_text, losses.grounding or grounding_text",
                )
        taught = [stage.name for stage in self.stages if stage.losses.taught]
        _demand(
            bool(self.teachers) == bool(taught),
            f"teachers {list(self.teachers)} and stages that are taught ({taught}): either both or "
            "none; name teachers by --set 'teachers=[\"runs/clip/stages/1-dense/model\"]'",
        )
        _demand(
            self.save_every % self.log_every == 0,
            f"save_every {self.save_every} is no multiple of log_every {self.log_every}: a resumed "
            "run would log other means",
        )

    def to_dict(self) -> dict[str, Any]:
        return to_dict(self)

    @property
    def fingerprint(self) -> str:
        """Of every setting but PLACES; two recipes of one fingerprint train alike on the same data,
        by the same models.
        """
        settings = self.to_dict() | {"teachers": len(self.teachers)}
        settings["model"]["image"]["of"] = self.model.image.of is not None
        text = json.dumps(settings, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ModelError(otherwise)


def _at_least(least: int, name: str, value: float) -> None:
    _demand(value >= least, f"{name} {value}: at least {least}")  # no number is not, either


def shipped() -> list[str]:
    """Names of the recipes that come with stair-search."""
    return sorted(file.stem for file in SHIPPED.glob("*.toml"))


def load(name: str, settings: Sequence[str] = (), seed: int | None = None) -> Recipe:
    """A recipe by its name or its file. settings: "stages.0.steps=3", the value as TOML has it.

    Raises UsageError: the file, the setting, its value, what is known there.
    """
    table = _table(name, ())
    for setting in settings:
        _set(table, setting)
    if seed is not None:
        table["seed"] = seed
    return from_table(table, name)


def from_table(table: dict[str, Any], source: str) -> Recipe:
    """A recipe from what a TOML file holds. source: how messages call it."""
    table = dict(table)
    every = table.pop("every_stage", {})
    try:
        if not isinstance(every, dict):
            raise ModelError(f"every_stage = {every!r}: expected settings by name")
        if isinstance(table.get("stages"), list):
            table["stages"] = [
                _merged(every, stage) if isinstance(stage, dict) else stage
                for stage in table["stages"]
            ]
        return from_dict(Recipe, table)
    except ModelError as error:
        raise UsageError(f"recipe {source}: {error}") from None


def _table(name: str, above: tuple[str, ...]) -> dict[str, Any]:
    if name in above:
        raise UsageError(f"recipe {name} extends itself: {' > '.join((*above, name))}")
    file = SHIPPED / f"{name}.toml" if name in shipped() else Path(name)
    if not file.is_file():
        raise UsageError(f"no recipe {name!r}: give a TOML file or one of {', '.join(shipped())}")
    table = read_toml(file)
    table.setdefault("name", file.stem)
    base = table.pop("extends", None)
    if base is None:
        return table
    if not isinstance(base, str):
        raise UsageError(f"recipe {file}: extends = {base!r}: expected the name of a recipe")
    beside = file.parent / base
    return _merged(_table(str(beside) if beside.is_file() else base, (*above, name)), table)


WHOLE = ("tower", "head", "rates")


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Tables inside are merged too, but for those whose settings are one thing.

    >>> _merged({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
    {'a': {'b': 3, 'c': 2}}
    """
    found = dict(base)
    for key, value in over.items():
        old = found.get(key)
        both = isinstance(old, dict) and isinstance(value, dict) and key not in WHOLE
        found[key] = _merged(old, value) if both else value  # type: ignore[arg-type]
    return found


def _set(table: dict[str, Any], setting: str) -> None:
    path, sign, text = setting.partition("=")
    keys = path.strip().split(".")
    if not sign or not all(keys):
        raise UsageError(f"--set {setting}: expected KEY=VALUE, such as stages.0.steps=3")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()  # a word without quotes
    for place in _places(table, keys[:-1], setting):
        place[keys[-1]] = value


def _places(table: dict[str, Any], keys: list[str], setting: str) -> Iterator[dict[str, Any]]:
    """The tables that a path of keys leads to; several where it says `stages.*`."""
    if not keys:
        yield table
        return
    key, rest = keys[0], keys[1:]
    inner = table.get(key, {})
    if isinstance(inner, list):
        names = [stage.get("name") for stage in inner]
        wanted, rest = (rest or [""])[0], rest[1:]
        if wanted == "*":
            chosen = list(range(len(inner)))
        elif wanted in names:
            chosen = [names.index(wanted)]
        elif wanted.isdecimal() and int(wanted) < len(inner):
            chosen = [int(wanted)]
        else:
            raise UsageError(
                f"--set {setting}: no {key}.{wanted}; there are {', '.join(map(str, names))}, "
                f"0 to {len(inner) - 1}, and * for all"
            )
        for i in chosen:
            yield from _places(inner[i], rest, setting)
    elif isinstance(inner, dict):
        yield from _places(table.setdefault(key, inner), rest, setting)
    else:
        raise UsageError(f"--set {setting}: {key} is {inner!r}, and has no settings below it")
