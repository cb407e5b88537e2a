"""`stair-search models`: models and recipes that there are, or what a model's folder holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from ..errors import ModelError
from . import shipped
from .command import Command, debug_option
from .output import Format, columns, emit, format_option
from .text import one_line

EXAMPLES = """
stair-search models
stair-search models starter
stair-search models runs/small/stages/3-joint/model
stair-search models ./my-model --format json
"""


@click.command("models", cls=Command, examples=EXAMPLES)
@click.argument("model", required=False, shell_complete=shipped.completed(shipped.models, "dir"))
@format_option
@debug_option
def command(model: str | None, format: Format) -> None:
    """List the models for `--model` and the recipes for `train`; or tell what MODEL is.

    MODEL is a name that is listed, or a model's folder.
    """
    if model is not None:
        found = _facts(model)
        emit(format, found, lambda: columns([(key, _said(value)) for key, value in found.items()]))
        return
    every = {"models": _models(), "recipes": _recipes()}
    emit(format, every, lambda: _lists(every))


def _models() -> list[dict[str, Any]]:
    from ..encoders.folder import MODEL_FILE, SHIPPED

    return [{**_light(SHIPPED / name / MODEL_FILE), "name": name} for name in shipped.models()]


def _light(file: Path) -> dict[str, Any]:
    import json

    try:
        about = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{file} cannot be read: {error}") from None
    if not isinstance(about, dict):
        raise ModelError(f"{file} describes no model")
    about.pop("files", None)
    return about


def _recipes() -> list[dict[str, str]]:
    """Read as TOML alone: listing them takes no torch."""
    from ..toml import read_toml

    tables = ((f.stem, read_toml(f)) for f in shipped.recipe_files())
    return [{"name": name, "about": table["about"]} for name, table in tables]


def _facts(name: str) -> dict[str, Any]:
    from ..encoders.folder import SHIPPED

    folder = SHIPPED / name if name in shipped.models() else Path(name)
    if (folder / "model.json").is_file():
        return {"folder": str(folder), "form": "light (ONNX)", **_light(folder / "model.json")}
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"{folder} is no model: it has neither model.json (light) nor config.json (torch)"
        )
    from ..models.files import fingerprint, read_config

    config = read_config(folder)
    text = config.text
    return {
        "folder": str(folder),
        "form": "torch (safetensors)",
        "name": config.name,
        "fingerprint": fingerprint(folder),
        "kind": config.kind,
        "image_tower": config.image.tower.architecture,
        "image_size": config.image.size,
        "text_tower": text.tower.architecture if text.tower else None,
        "text_table": text.table.kind if text.table else None,
        "text_length": text.length,
        "bytes": sum(file.stat().st_size for file in folder.iterdir() if file.is_file()),
    }


def _lists(every: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    yield "models, for --model:"
    yield from columns(
        [(f"  {m['name']}", _said(m.get("fingerprint", ""))) for m in every["models"]]
    )
    yield "recipes, for stair-search train:"
    yield from columns([(f"  {r['name']}", one_line(r["about"])) for r in every["recipes"]])


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{one_line(str(key))} {_said(inner)}" for key, inner in value.items())
    return one_line(
        f"{value:,}" if isinstance(value, int) else "-" if value is None else str(value)
    )
