"""`stair-search export`: a trained model as a light folder, or its questions' part as one file."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import ModelError, UsageError
from . import shipped
from .command import Command, debug_option
from .output import note

SUFFIXES = (".json", ".npz")

EXAMPLES = """
stair-search export models/mine --out models/mine-light
stair-search export models/mine --out models/mine-light --captions captions.csv --half
stair-search export starter --out questions.json
"""


@click.command("export", cls=Command, examples=EXAMPLES)
@click.argument("model", metavar="MODEL", shell_complete=shipped.completed(shipped.models, "dir"))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="The new folder, or the new file: .json or .npz.",
)
@click.option(
    "--captions",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Make a static text encoder too, from these texts: a CSV with a column caption, or plain "
    "text, one a line.",
)
@click.option("--half", is_flag=True, help="Keep weights in half the bytes (11 significant bits).")
@debug_option
def command(model: str, out: Path, captions: Path | None, half: bool) -> None:
    """Make a trained model light: ONNX files that need no torch.

    MODEL is a folder that `train` or `adapt` wrote. The light folder answers as the model does and
    can be asked about what the model has indexed. A static text encoder answers questions without
    any network; the more captions it is made from, the nearer it comes to the model's own.

    With --out FILE.json or FILE.npz the static text encoder alone, in one file: by it a front end
    in another language turns questions into tokens without Python (docs/front-ends.md). MODEL is
    then a name that `models` lists, or a light folder.
    """
    if out.suffix.lower() in SUFFIXES:
        if captions or half:
            raise UsageError("--captions and --half are for a folder: make that first")
        from ..encoders.question_file import write_question_file

        fingerprint = write_question_file(model, out)
        note(f"{out}: the static text encoder of {fingerprint}; docs/front-ends.md says how to use")
        return
    if not Path(model).is_dir():
        if out.suffix:
            raise UsageError(f"--out {out}: a single file is called .json or .npz")
        raise UsageError(f"{model} is no folder: a model that is made light is one of `train`")
    texts = None if captions is None else _texts(captions)
    try:
        from ..training.export import export
    except ImportError as error:
        raise ModelError(
            f"export needs the training packages: pip install 'stair-search[train]' ({error})"
        ) from error
    export(model, out, texts, half=half, progress=note)
    note(f"{out}: ask it with --model {out}")


def _texts(file: Path) -> list[str]:
    import csv

    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            if file.suffix.lower() != ".csv":
                return [line.strip() for line in lines if line.strip()]
            rows = csv.DictReader(lines)
            if "caption" not in (rows.fieldnames or []):
                raise UsageError(f"{file} has no column caption")
            return [row["caption"] for row in rows if (row["caption"] or "").strip()]
    except (ValueError, csv.Error) as error:
        raise UsageError(f"{file} cannot be read: {error}") from None
