"""Where files of published models come from: a local folder, or the Hugging Face hub.

From either, only data is taken: safetensors, JSON and text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from stair_search.errors import ModelError

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
DATA = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.txt")


def local_folder(name: str | Path, needed: Sequence[str] = (), remedy: str = "") -> Path:
    """The folder of this path, or a copy of the hub's repository of this id ("owner/name").

    needed: files without which it is of no use. Raises ModelError.
    """
    folder = Path(name)
    if not folder.is_dir():
        if folder.exists():
            raise ModelError(f"{name} is a file: a model is a folder")
        if not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", str(name)) or remedy:
            raise ModelError(f"there is no folder {name}" + (f"; {remedy}" if remedy else ""))
        folder = _download(str(name))
    for file in needed:
        if not (folder / file).is_file():
            _explain_missing(folder, file)
    return folder


def _explain_missing(folder: Path, file: str) -> None:
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
    if file.endswith(".safetensors") and pickles:
        raise ModelError(
            f"{folder} holds {pickles[0]} and no {file}: pickles can run code when they are read, "
            "so that none is; convert it where you trust it (safetensors.torch.save_file)"
        )
    raise ModelError(f"{folder} holds no {file}")


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=list(DATA), ignore_patterns=["*/*"]))
    except Exception as error:  # no network, no such repository, no right to it: many kinds
        reason = str(error).strip().split("\n")[0]
        raise ModelError(
            f"there is no folder {name}, and the Hugging Face hub did not give it: {reason}"
        ) from None


def refuse_code(folder: Path) -> None:
    """Raises ModelError where a model brings code of its own."""
    scripts = sorted(folder.glob("*.py"))
    if scripts:
        raise ModelError(
            f"{folder} holds code ({scripts[0].name}): a model is data alone; it is not loaded"
        )
    for path in sorted(folder.glob("*.json")):
        try:
            about = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            continue  # whoever needs the file says what is wrong with it
        if isinstance(about, dict) and "auto_map" in about:
            raise ModelError(
                f"{path} asks for code of its own (auto_map = {about['auto_map']!r}): a model is "
                "data alone; it is not loaded"
            )
