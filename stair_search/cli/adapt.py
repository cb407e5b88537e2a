"""`stair-search adapt`: photos and captions become a model of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from .command import Command, debug_option
from .output import Format, columns, emit, format_option, note, warn
from .pairs import pairs_and_images
from .progress import ProgressLine
from .text import one_line

if TYPE_CHECKING:
    from ..training.adapt.folder import Options, Plan

EXAMPLES = """
stair-search adapt --backbone efficientnet-lite2 --pairs captions.csv --images photos/ --out mine
stair-search adapt --backbone ./siglip2-base --pairs captions.csv --images photos/ --out mine
stair-search adapt … --minutes 120 --dry-run
"""
UNUSED = 1
"""Exit code where rows were left out, as `ingest` has it for photos that failed."""


@click.command("adapt", cls=Command, examples=EXAMPLES)
@click.option(
    "--backbone",
    required=True,
    metavar="NAME",
    help="Image tower: efficientnet-lite0, efficientnet-lite2, timm:NAME, the folder of a model of "
    "transformers (CLIP, SigLIP, ViT, DINO, EfficientNet), or its id on the hub.",
)
@pairs_and_images()
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder that is made. The same command again goes on where it was.",
)
@click.option("--name", help="The model's name.  [default: that of the folder]")
@click.option(
    "--text-backbone",
    default="minilm",
    show_default=True,
    metavar="NAME",
    help="Text tower over BERT's vocabulary: minilm, or the folder of a model of transformers.",
)
@click.option(
    "--unfreeze",
    type=click.Choice(["none", "last", "all"]),
    help="What of the towers is trained too: nothing, their last blocks, all.  [default: follows "
    "from data and device]",
)
@click.option(
    "--validation-split",
    metavar="SPLIT",
    help="The split of the CSV that is held out.  [default: val, else a tenth of the photos]",
)
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Time to take.")
@click.option("--steps", type=click.IntRange(min=3), help="Steps of STAIR's three stages together.")
@click.option("--batch", type=click.IntRange(min=2), help="Pairs of a step.")
@click.option("--threads", type=click.IntRange(min=1), help="Of the CPU.  [default: all]")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Of weights, draws and the held-out photos.",
)
@click.option(
    "--dry-run", is_flag=True, help="Print what would be done, and how long it would take."
)
@format_option
@debug_option
def command(
    backbone: str,
    pairs: Path,
    images: Path,
    out: Path,
    name: str | None,
    text_backbone: str,
    unfreeze: Literal["none", "last", "all"] | None,
    validation_split: str | None,
    minutes: float | None,
    steps: int | None,
    batch: int | None,
    threads: int | None,
    seed: int,
    dry_run: bool,
    format: Format,
) -> None:
    """Make a model of your own from photos with captions.

    STAIR is trained in three stages, and beside it a dense CLIP on the same data and steps. What is
    left in the folder: report.html, which says how good, how sparse and how readable the model is
    on photos that it has not seen; light/, the model for `ingest` and `search`; model/, the same
    for torch.

    Rows whose photo is missing or broken, or whose caption is empty, are left out and listed in
    left-out.csv; the exit code is then 1.
    """
    from ..training.adapt.folder import Options
    from ..training.adapt.report import next_steps
    from ..training.adapt.workflow import adapt, plan

    options = Options(
        backbone,
        pairs,
        images,
        out,
        name,
        text_backbone,
        unfreeze,
        validation_split,
        minutes,
        steps,
        batch,
        seed,
    )
    with ProgressLine() as line:
        planned = plan(options, _open, line.tell, threads)
    if dry_run:
        emit(format, planned.to_dict(), lambda: map(one_line, planned.lines()))
        return
    _tell(options, planned)
    with ProgressLine() as line:

        def tell(text: str) -> None:
            _, found, warning = text.partition("Warning: ")
            if found:
                line.clear()
                warn(warning)
            else:
                line.tell(text)

        report = adapt(options, planned, _open, _decode, tell)
    emit(format, _result(options, report), lambda: _lines(options, report))
    if format == "table":
        click.echo("")
        for text in next_steps(options, planned.split):
            click.echo(one_line(text))
    if planned.left_out:
        warn(f"{planned.left_out} rows were left out: {out / 'left-out.csv'} says why")
        click.get_current_context().exit(UNUSED)


def _open(path: Path) -> Any:
    from .photos import open_photo

    return open_photo(path)


def _decode(data: bytes) -> Any:
    from ..ingest.decode import decode

    return decode(data)


def _tell(options: Options, planned: Plan) -> None:
    if planned.prepared is None:
        note(f"{options.out} goes on where it was; chosen and estimated when it was begun:")
    for line in planned.lines():
        note(line)


def _result(options: Options, report: dict[str, Any]) -> dict[str, Any]:
    keys = ("name", "steps", "seconds")
    return {
        "light": str(options.out / "light"),
        "model": str(options.out / "model"),
        "report": str(options.out / "report.html"),
        "stages": [
            {key: stage[key] for key in keys} | _figures(stage) for stage in report["stages"]
        ],
        "warnings": report["warnings"],
    }


def _figures(stage: dict[str, Any]) -> dict[str, Any]:
    measures = stage["measures"]
    sparsity, words = measures["sparsity"], measures["words"]
    recall = {
        way: {f"R@{k}": measures[way][f"at_{k}"]["value"] for k in (1, 5, 10)}
        for way in ("text_to_image", "image_to_text")
    }
    active = sparsity and {
        key: sum(sparsity[key]) / len(sparsity[key]) for key in ("image", "text")
    }
    readable = words and {f"top-{k}": words[f"top_{k}"]["value"] for k in (1, 10)}
    return recall | {"active_tokens": active, "readable": readable}


def _lines(options: Options, report: dict[str, Any]) -> Iterator[str]:
    head = ("", "text to image R@1", "R@5", "R@10", "image to text R@1", "R@5", "R@10")
    rows = [(*head, "tokens a photo", "readable %")]
    for stage in report["stages"]:
        told = _figures(stage)
        ways = (*told["text_to_image"].values(), *told["image_to_text"].values())
        active, readable = told["active_tokens"], told["readable"]
        rows.append(
            (
                stage["name"],
                *(f"{value:.1f}" for value in ways),
                f"{active['image']:.1f}" if active else "-",
                f"{readable['top-1']:.0f}" if readable else "-",
            )
        )
    yield from columns(rows)
    yield ""
    for warning in report["warnings"]:
        yield one_line(f"Note: {warning}")
    yield one_line(f"Report: {options.out / 'report.html'}")
