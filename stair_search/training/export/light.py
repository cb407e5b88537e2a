"""`export`: a torch model's folder becomes a light one."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from stair_search.encoders.folder import MODEL_FILE, TEXT_FILES, Source, open_folder
from stair_search.encoders.package_file import package_file
from stair_search.errors import ModelError, UsageError
from stair_search.models.config import ModelConfig
from stair_search.models.dual_encoder import DualEncoder
from stair_search.models.files import fingerprint, from_pretrained

from .graphs import image_graph, text_graph
from .tables import distil_table, model_table
from .weights import halve, take_outside

DISTILLED_RATIO = 0.1
"""A distilled row's entries below this share of a question's strongest are noise of the fit."""


def export(
    model: str | Path,
    out: str | Path,
    captions: Sequence[str] | None = None,
    *,
    half: bool = False,
    default: str | None = None,
    tower: Source | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> None:
    """Writes the light folder of the model in a torch folder; it keeps the model's fingerprint.

    captions: texts from which a static table is distilled, as many and as like questions as there
    are; empty for the answers to single tokens; None for none (a model without a text network has
    its own). half: weights in half the bytes. default: "static" or "neural", None for static where
    there is one. tower: the file of an installed package that holds the text tower, so that the
    folder need not. progress: is told what is being done.

    Raises ModelError for a model without tokens and where the folder cannot be written, UsageError
    where `out` is not empty.
    """
    if (Path(model) / MODEL_FILE).is_file():
        raise UsageError(f"{model} is a light model already: --model takes it as it is")
    target = Path(out).absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{out} is there and not empty: name a new folder")
    made = from_pretrained(model)
    if made.outputs is None:
        raise ModelError(
            f"model {made.config.name} gives dense vectors: only one with tokens has a light form"
        )
    _sweep(target)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        _write_files(part, made, captions, half, tower, progress)
        about = _about(made.config, fingerprint(model), part, default, captions, tower)
        (part / MODEL_FILE).write_text(json.dumps(about, indent=2) + "\n", "utf-8")
        open_folder(str(part))  # refuses what `load_encoder` would
        if target.exists():
            target.rmdir()
        part.rename(target)
    except BaseException as error:
        shutil.rmtree(part, ignore_errors=True)
        if isinstance(error, OSError) and error.filename is None:  # of a write: a full disk
            raise ModelError(
                f"{out}: the light model could not be saved ({error.strerror or error}): free some "
                "space, or name a folder on another disk"
            ) from error
        raise


def _sweep(target: Path) -> None:
    """What a killed export left beside its folder; that of a process that lives stays."""
    for part in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
        process = part.name.split(".")[-2]
        if process.isdecimal() and not Path("/proc", process).exists() and Path("/proc").is_dir():
            shutil.rmtree(part, ignore_errors=True)


def _write_files(
    folder: Path,
    model: DualEncoder,
    captions: Sequence[str] | None,
    half: bool,
    tower: Source | None,
    progress: Callable[[str], None],
) -> None:
    progress("tracing the image side")
    graph = image_graph(model)
    if half:
        halve(graph)
    onnx.save(graph, str(folder / "image.onnx"))
    if model.text_tower is None:
        rows = model_table(model)
    elif captions is not None:
        rows = distil_table(model, captions, progress=progress)
    if model.text_tower is None or captions is not None:
        with (folder / TEXT_FILES["static"]).open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **rows.arrays())
    if model.text_tower is not None:
        progress("tracing the text side")
        graph = text_graph(model)
        if tower is not None and not take_outside(graph, package_file(tower, model.config.name)):
            raise ModelError(
                f"the text tower of {model.config.name} is not that of {tower.package}"
            )
        if half:
            halve(graph)
        onnx.save(graph, str(folder / TEXT_FILES["neural"]))
    (folder / "vocab.txt").write_text("\n".join(model.tokens) + "\n", "utf-8", newline="\n")


def _about(
    config: ModelConfig,
    of: str,
    folder: Path,
    default: str | None,
    captions: Sequence[str] | None,
    tower: Source | None,
) -> dict[str, Any]:
    """What model.json says; the files are those in the folder."""
    image, text = config.image, config.text
    kinds = [kind for kind, file in TEXT_FILES.items() if (folder / file).exists()]
    limits = text.head if text.table is None else text.table
    assert limits is not None
    files = sorted(folder.iterdir())
    return {
        "name": config.name,
        "version": of.rpartition("-")[2],
        "fingerprint": of,
        "image": {
            **image.view._asdict(),
            "top_k": image.head.top_k,
        },
        "text": {
            "default": default or kinds[0],
            "top_k": limits.top_k,
            "ratio": 0.0 if captions is None else DISTILLED_RATIO,
            "length": text.length,
            "prompt": text.prompt,
            "tower": tower and tower._asdict(),
        },
        "files": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
    }
