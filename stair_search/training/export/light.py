"""`export`: a torch model's folder becomes a light one."""

from __future__ import annotations

import glob
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from stair_search.encoders.folder import MODEL_FILE, TEXT_FILES, Source, open_folder, sha256
from stair_search.encoders.package_file import package_file
from stair_search.errors import ModelError, UsageError
from stair_search.models.config import ModelConfig
from stair_search.models.files import fingerprint, from_pretrained

from .graphs import image_graph, text_graph
from .tables import Rows, distil_table, model_table
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
    progress("tracing the image side")
    image, static, neural = image_graph(made), None, None
    if made.text_tower is None:
        static = model_table(made)
    elif captions is not None:
        static = distil_table(made, captions, progress=progress)
    if made.text_tower is not None:
        progress("tracing the text side")
        neural = text_graph(made)
        if tower is not None and not take_outside(neural, package_file(tower, made.config.name)):
            raise ModelError(f"the text tower of {made.config.name} is not that of {tower.package}")
    distilled = captions is not None and made.text_tower is not None
    ratio = DISTILLED_RATIO if distilled else 0.0
    about = describe(made.config, fingerprint(model), static is not None, default, ratio, tower)
    write(target, about, made.tokens, image, static, neural, half)


def write(
    out: Path,
    about: dict[str, Any],
    tokens: Sequence[str],
    image: Any,
    static: Rows | None,
    neural: Any | None,
    half: bool,
) -> None:
    """The folder, whole or not at all. about: model.json without its files; image, neural: graphs.

    Raises ModelError where it cannot be written.
    """
    _sweep(out)
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        for name, graph in (("image.onnx", image), (TEXT_FILES["neural"], neural)):
            if graph is not None:
                if half:
                    halve(graph)
                onnx.save(graph, str(part / name))
        if static is not None:
            with (part / TEXT_FILES["static"]).open("wb") as file:
                np.savez_compressed(file, allow_pickle=False, **static.arrays())
        (part / "vocab.txt").write_text("\n".join(tokens) + "\n", "utf-8", newline="\n")
        files = {path.name: sha256(path) for path in sorted(part.iterdir())}
        told = json.dumps(about | {"files": files}, indent=2)
        (part / MODEL_FILE).write_text(told + "\n", "utf-8")
        open_folder(str(part))  # refuses what `load_encoder` would
        if out.exists():
            out.rmdir()
        part.rename(out)
    except BaseException as error:
        shutil.rmtree(part, ignore_errors=True)
        if isinstance(error, OSError) and error.filename is None:  # of a write: a full disk
            raise ModelError(
                f"{out}: the light model could not be saved ({error.strerror or error}): free some "
                "space, or name a folder on another disk"
            ) from error
        raise


def describe(
    config: ModelConfig,
    of: str,
    static: bool,
    default: str | None,
    ratio: float,
    tower: Source | None,
) -> dict[str, Any]:
    """What model.json says but its files. of: the model's fingerprint."""
    image, text = config.image, config.text
    limits = text.head if text.table is None else text.table
    assert limits is not None
    return {
        "name": config.name,
        "version": of.rpartition("-")[2],
        "fingerprint": of,
        "image": {
            **image.view._asdict(),
            "top_k": image.head.top_k,
        },
        "text": {
            "default": default or ("static" if static else "neural"),
            "top_k": limits.top_k,
            "ratio": ratio,
            "length": text.length,
            "prompt": text.prompt,
            "tower": tower and tower._asdict(),
        },
    }


def _sweep(target: Path) -> None:
    """What a killed export left beside its folder; that of a process that lives stays."""
    for part in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
        process = part.name.split(".")[-2]
        if process.isdecimal() and not Path("/proc", process).exists() and Path("/proc").is_dir():
            shutil.rmtree(part, ignore_errors=True)
