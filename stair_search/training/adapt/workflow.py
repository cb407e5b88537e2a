"""`stair-search adapt`, from photos and captions to a model and its report: planned, then done.

OUT/adapt.json     what was asked for and chosen; the same command again goes on from it
OUT/pairs.csv      the captions that are used, with their split; left-out.csv: those that are not
OUT/cache/         what frozen towers see in each photo; may be removed when all is done
OUT/runs/stair/    the three stages; runs/clip/: the dense baseline on the same data and steps
OUT/model/         the last stage's model, for torch
OUT/light/         the same for `ingest` and `search`, which need no torch
OUT/report.html, OUT/report.json     written last
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from stair_search.errors import UsageError
from stair_search.evaluation.encode import Decode
from stair_search.evaluation.pairs import Pairs

from ..data import Data, read_data
from ..processes import world_size
from ..recipe import Recipe
from ..run import train
from ..views import OpenPhoto
from . import choices, report, speed
from .choices import Choice, Machine
from .folder import Options, Plan, begin, begun
from .pairs import Prepared, prepare, summary
from .recipes import recipes

FEW = 1000
STAIR, CLIP = "runs/stair", "runs/clip"
TEACHER = f"{CLIP}/stages/1-dense/model"

Tell = Callable[[str], None]


def plan(
    options: Options,
    open_photo: OpenPhoto,
    tell: Tell = lambda line: None,
    threads: int | None = None,
) -> Plan:
    """Looks at everything, writes nothing. Raises UsageError, ModelError.

    What an earlier call of the same command chose stays chosen.
    """
    if (earlier := begun(options)) is not None:
        return earlier
    _check(options)

    def problem(photo: Path) -> str | None:
        try:
            open_photo(photo)
        except UsageError as error:
            return str(error).removeprefix(f"{photo}: ")
        return None

    prepared = prepare(
        options.pairs,
        options.images,
        options.seed,
        options.validation_split,
        problem,
        lambda done, of: tell(f"{done} of {of} photos checked"),
    )
    machine = this_machine(threads)
    size = choices.Data(
        prepared.photos("train"),
        prepared.captions("train"),
        prepared.photos(prepared.measured),
    )
    choice = choices.choose(size, machine, options.wish)
    tell("timing a few steps")
    known = _speed(options, choice, _data(prepared, options), open_photo, machine)
    choice = choices.within(choice, size, machine, known, options.wish)
    return Plan(
        machine,
        choice,
        choices.cost(choice, size, machine, known),
        _recipes(options, choice),
        {
            "train_photos": size.photos,
            "train_captions": size.captions,
            "held_out_photos": size.held_out,
            "held_out_captions": prepared.captions(prepared.measured),
        },
        prepared.measured,
        _told(prepared, options),
        len(prepared.left_out),
        prepared,
    )


def adapt(
    options: Options,
    planned: Plan,
    open_photo: OpenPhoto,
    decode: Decode,
    tell: Tell = lambda line: None,
) -> dict[str, Any]:
    """Does what was planned, or what is left of it; returns what report.json holds.

    Raises UsageError, ModelError, TrainingError.
    """
    out = options.out
    if planned.prepared is not None:
        begin(options, planned)
    data = read_data(out / "pairs.csv", options.images)
    runs = {"STAIR": out / STAIR, "CLIP": out / CLIP}
    models = {}
    # CLIP first: it teaches STAIR
    for series, recipe in zip(("CLIP", "STAIR"), reversed(planned.recipes), strict=True):
        found = train(
            replace(recipe, teachers=tuple(str(out / teacher) for teacher in recipe.teachers)),
            data,
            runs[series],
            open_photo,
            cache=out / "cache",
            tell=lambda line, series=series: tell(f"{series}: {line}"),  # type: ignore[misc]
        )
        models[series] = found.model
    _hand_over(models["STAIR"], out / "model")
    if not (out / "light").exists():
        from ..export import export

        export(
            out / "model", out / "light", data.train.captions[: choices.DISTILLED], progress=tell
        )
    if not all((out / name).exists() for name in ("report.json", "report.html")):
        report.write(options, planned, runs, decode, tell)
    told: dict[str, Any] = json.loads((out / "report.json").read_text("utf-8"))
    return told


def this_machine(threads: int | None = None) -> Machine:
    """What torch finds here. threads: None for all."""
    import torch

    used = threads or len(os.sched_getaffinity(0))
    torch.set_num_threads(used)
    if torch.cuda.is_available():
        return Machine("cuda", f"GPU {torch.cuda.get_device_name()}", used)
    return Machine("cpu", f"CPU, {used} threads", used)


def _check(options: Options) -> None:
    """What can be told before any photo is opened."""
    from stair_search.models.backbones import image_backbone, text_backbone

    if world_size() > 1:
        raise UsageError(
            "adapt runs as one process: for several GPUs write a recipe and start "
            "`accelerate launch -m stair_search.cli train RECIPE`"
        )
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", options.model_name):
        raise UsageError(
            f"--name {options.model_name!r}: letters, digits, '.', '_' and '-', starting with a "
            "letter or digit"
        )
    if options.minutes is not None and options.steps is not None:
        raise UsageError("--minutes and --steps exclude each other: each says how long to train")
    image_backbone(options.backbone)
    text_backbone(options.text_backbone)


def _data(prepared: Prepared, options: Options) -> Data:
    """What `read_data` will find in pairs.csv, as far as timing needs it."""
    rows = [pair for pair in prepared.pairs if pair.split == "train"]
    place = {name: i for i, name in enumerate(dict.fromkeys(pair.image for pair in rows))}
    photos = [options.images / name for name in place]
    pairs = Pairs(photos, [pair.caption for pair in rows], [place[pair.image] for pair in rows])
    return Data(options.pairs, options.images, pairs, None)


def _recipes(options: Options, choice: Choice) -> tuple[Recipe, Recipe]:
    """The teacher by its place in the folder, which may be moved."""
    return recipes(
        options.model_name, options.backbone, options.text_backbone, options.seed, choice, TEACHER
    )


def _speed(
    options: Options, choice: Choice, data: Data, open_photo: OpenPhoto, machine: Machine
) -> choices.Speed:
    sparse, dense = _recipes(options, choice)
    stair = speed.measure(sparse, data, open_photo, machine.device, dense)
    clip = speed.measure(dense, data, open_photo, machine.device)
    return choices.Speed(
        stair.open,
        stair.photo,
        stair.caption,
        stair.step,
        clip.step,
        stair.model,
        stair.trained,
        stair.photo_states,
        stair.caption_states,
    )


def _told(prepared: Prepared, options: Options) -> list[str]:
    """What people should know of their pairs."""
    told = []
    if prepared.made:
        told.append(
            f"no split in {options.pairs.name}: {prepared.photos('val'):,} photos are held out, "
            f"chosen at random (seed {options.seed}), each with all of its captions"
        )
    if prepared.left_out:
        told.append(
            f"{len(prepared.left_out):,} rows are left out, listed in left-out.csv: "
            + "; ".join(summary(prepared.left_out))
        )
    if prepared.long:
        told.append(f"{prepared.long:,} captions are too long to be read to their end")
    if prepared.seen_twice:
        told.append(
            f"{prepared.seen_twice:,} held-out photos are trained on too, under other names: the "
            "figures will look better than they are"
        )
    if prepared.photos("train") < FEW:
        told.append(
            f"{prepared.photos('train'):,} photos are few: below {FEW:,} the model learns their "
            "captions more than what they show"
        )
    return told


def _hand_over(model: Path, place: Path) -> None:
    """The model under a name of its own; its files are not stored twice where links can be."""
    if place.exists():
        return
    part = place.with_name(f".{place.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(model, part, copy_function=_link)
    part.rename(place)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
