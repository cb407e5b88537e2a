"""The report of `adapt`: STAIR's stages and CLIP beside them, on photos that were held out."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

from stair_search.evaluation.encode import Decode
from stair_search.evaluation.pairs import read_pairs

from ..report.measures import evenly
from ..report.page import Report, minutes
from ..report.runs import facts_of_versions, measure_runs, notes, save, stage_warnings
from .choices import Unfreeze
from .folder import Options, Plan

TRAINED: dict[Unfreeze, str] = {"none": "frozen", "last": "last block trained", "all": "trained"}


def write(
    options: Options,
    planned: Plan,
    runs: Mapping[str, Path],
    decode: Decode,
    tell: Callable[[str], None],
) -> None:
    """report.json and report.html; runs: by the name of their series, STAIR's first."""
    split, both = planned.split, planned.recipes
    held_out = evenly(read_pairs(options.out / "pairs.csv", options.images, split), split)
    stages, photos = measure_runs(runs, held_out, decode, tell, options.out / "cache")
    choice, data = planned.choice, planned.data
    facts = [
        (
            "Photos",
            f"{data['train_photos']:,} with {data['train_captions']:,} captions to train on, "
            f"{data['held_out_photos']:,} with {data['held_out_captions']:,} held out",
        ),
        ("From", f"{options.pairs.absolute()}, {options.images.absolute()}"),
        ("Image tower", f"{options.backbone}, {TRAINED[choice.unfreeze]}"),
        ("Text tower", f"{options.text_backbone}, {TRAINED[choice.unfreeze]}"),
        ("Recipe", f"{both[0].name} ({both[0].fingerprint}), beside it {both[1].name}"),
        ("Chosen", "; ".join(choice.why)),
        ("Seed", str(options.seed)),
        ("Device", planned.machine.name),
        (
            "Time",
            f"{minutes(sum(stage.seconds for stage in stages))} of training; planned were "
            f"{minutes(planned.cost.stair + planned.cost.clip)}",
        ),
        *facts_of_versions(runs["STAIR"]),
    ]
    report = Report(
        f"{options.model_name}: how good, how sparse, how readable",
        facts,
        stages,
        photos,
        [*planned.told, *stage_warnings(stages)],
        notes(held_out, stages),
        next_steps(options, split),
    )
    save(report, options.out)


def next_steps(options: Options, split: str) -> list[str]:
    """The lines to type next."""
    out, images = shlex.quote(str(options.out)), shlex.quote(str(options.images))
    light = shlex.quote(str(options.out / "light"))
    return [
        f"stair-search ingest {images} --model {light}",
        f'stair-search search "a question" --model {light}',
        f"stair-search evaluate retrieval --pairs {out}/pairs.csv --images {images} "
        f"--split {split} --model {light}",
    ]
