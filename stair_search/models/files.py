"""A model as a folder, which holds all that it needs.

    config.json         its configuration, and the versions of the libraries that made it
    model.safetensors   the weights, frozen published towers and the ids of its outputs among them
    vocab.txt           one token a line
    README.md           the model card

Weights are read from safetensors alone. Pickles can run code when they are read, so can a folder's
own *.py: neither is ever opened, and a folder with code in it is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from stair_search.errors import ModelError

from .config import ModelConfig, from_dict, to_dict
from .dual_encoder import DualEncoder, build
from .hub import local_folder, refuse_code

CONFIG, WEIGHTS, VOCABULARY, CARD = "config.json", "model.safetensors", "vocab.txt", "README.md"
OWN_FILES = {CONFIG, WEIGHTS, VOCABULARY, CARD}
FORMAT = "stair-search model"
VERSION = 1
LIBRARIES = ("torch", "transformers", "timm", "safetensors")
MOST_NAMED = 3


def save_pretrained(model: DualEncoder, folder: str | Path, card: str | None = None) -> None:
    """Writes a neighbour of `folder`, then puts it in its place: a full disk leaves the last one.

    card: the model card, Markdown; None for a short one. Raises ModelError where it cannot be
    written, or where `folder` holds what is no model.
    """
    target = Path(folder).absolute()
    _refuse_foreign(target)
    part = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        _write(part, model, card)
        _swap(part, target)
    except Exception as error:  # safetensors raises its own kind for a full disk
        shutil.rmtree(part, ignore_errors=True)
        kept = "; the last one that was saved there stays" if target.is_dir() else ""
        raise ModelError(f"{target}: the model could not be saved: {error}{kept}") from error


def _refuse_foreign(target: Path) -> None:
    if target.is_dir():
        found = {path.name for path in target.iterdir()}
        foreign = sorted(found - OWN_FILES)
        if foreign or (found and not _is_model(target)):
            raise ModelError(
                f"{target} holds {', '.join((foreign or sorted(found))[:MOST_NAMED])} and is no "
                "model's folder: it is not replaced; name another folder"
            )
    elif target.exists():
        raise ModelError(f"{target} is a file: a model is saved as a folder; name another")


def _is_model(folder: Path) -> bool:
    with suppress(OSError, ValueError, AttributeError):
        return bool(json.loads((folder / CONFIG).read_text("utf-8")).get("format") == FORMAT)
    return False


def _write(part: Path, model: DualEncoder, card: str | None) -> None:
    from safetensors.torch import save_file

    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    save_file(state, str(part / WEIGHTS), metadata={"format": "pt"})
    about = {
        "format": FORMAT,
        "version": VERSION,
        "libraries": {name: metadata.version(name) for name in LIBRARIES},
        "model": to_dict(model.config),
    }
    (part / CONFIG).write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", "utf-8")
    (part / VOCABULARY).write_text("\n".join(model.tokens) + "\n", "utf-8")
    (part / CARD).write_text(card or default_card(model), "utf-8")
    for path in [*part.iterdir(), part]:
        _sync(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _last(target: Path) -> Path:
    return target.with_name(f".{target.name}.last")


def _swap(part: Path, target: Path) -> None:
    """Two renames: a machine that dies between them leaves the old one as `.NAME.last`."""
    last = _last(target)
    if target.exists():
        shutil.rmtree(last, ignore_errors=True)
        target.rename(last)
    try:
        part.rename(target)
    except OSError:
        if last.exists():
            last.rename(target)
        raise
    _sync(target.parent)
    shutil.rmtree(last, ignore_errors=True)


def default_card(model: DualEncoder) -> str:
    """What is known of any model: its kind, its towers, what comes out."""
    config = model.config
    text = config.text.tower
    count = sum(parameter.numel() for parameter in model.parameters())
    if model.outputs is None:
        out = f"{config.image.head.dimensions} dimensions"
    else:
        out = f"weights of {len(model.outputs):,} of {len(model.tokens):,} tokens"
    described = text.architecture if text else f"none (table: {config.text.table.kind})"  # type: ignore[union-attr]
    return (
        f"---\nlibrary_name: stair-search\npipeline_tag: feature-extraction\n---\n\n"
        f"# {config.name}\n\n"
        f"A photo or a text becomes {out}.\n\n"
        f"| | |\n|---|---|\n"
        f"| kind | {config.kind} |\n"
        f"| image tower | {config.image.tower.architecture}, {config.image.size} pixels |\n"
        f"| text tower | {described} |\n"
        f"| parameters | {count:,} |\n"
    )


def from_pretrained(name: str | Path, device: str | torch.device = "cpu") -> DualEncoder:
    """The model in a folder, or of that id on the Hugging Face hub, in evaluation mode.

    Raises ModelError, which says what is wrong with which file.
    """
    folder = local_folder(name, (CONFIG, WEIGHTS, VOCABULARY), _remedy(name))
    refuse_code(folder)
    config = read_config(folder)
    tokens = _read_tokens(folder)
    state = _read_weights(folder)
    outputs = state.get("outputs")
    try:
        wanted = build(config, tokens, outputs, device="meta").state_dict()
    except ModelError as error:
        raise ModelError(f"{folder}: {error}") from None
    except (RuntimeError, TypeError, OverflowError) as error:  # sizes beyond 64 bits
        raise ModelError(f"{folder / CONFIG}: no model can be of these sizes: {error}") from None
    # before a model of these sizes takes memory
    _check_state(folder, wanted, state)
    model = build(config, tokens, outputs)
    model.load_state_dict(state)
    model.to(device).eval()
    return model


def _remedy(name: str | Path) -> str:
    last = _last(Path(name).absolute())
    return f"the last model is whole in {last}: rename it to {name}" if last.is_dir() else ""


def read_config(folder: Path) -> ModelConfig:
    """The configuration in a model's folder; raises ModelError."""
    about = _read_about(folder)
    try:
        return from_dict(ModelConfig, about.get("model"))
    except ModelError as error:
        raise ModelError(f"{folder / CONFIG}: {error}") from None


def _read_about(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    try:
        about = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{folder} holds no {CONFIG}: it is no model's folder") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from None
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise ModelError(
            f"{path} does not describe a model of stair-search; a published backbone is given to "
            "`adapt` or a recipe instead"
        )
    if about.get("version") != VERSION:
        raise ModelError(
            f"{path} has version {about.get('version')!r}, this stair-search reads {VERSION}: "
            "install the one that made it"
        )
    return about


def _read_tokens(folder: Path) -> list[str]:
    path = folder / VOCABULARY
    try:
        return path.read_text("utf-8").removesuffix("\n").split("\n")
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}, the model's vocabulary, cannot be read: {error}") from None


def _read_weights(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / WEIGHTS
    try:
        state: dict[str, torch.Tensor] = load_file(str(path))
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}, the model's weights, cannot be read: {error}") from None
    return state


def _check_state(
    folder: Path, wanted: dict[str, torch.Tensor], found: dict[str, torch.Tensor]
) -> None:
    """Raises ModelError naming what the weights lack, have too much, or have in another shape."""
    path = folder / WEIGHTS
    missing, extra = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    if missing or extra:
        made = _read_about(folder).get("libraries", {})
        versions = ", ".join(
            f"{name} {made[name]} (here {metadata.version(name)})"
            for name in LIBRARIES
            if name in made and made[name] != metadata.version(name)
        )
        raise ModelError(
            f"{path} does not fit its {CONFIG}:"
            + (f" it lacks {_some(missing)};" if missing else "")
            + (f" it has {_some(extra)}, which the model has not;" if extra else "")
            + (f" made with {versions}" if versions else " take both files from one place")
        )
    for name, value in wanted.items():
        if value.shape != found[name].shape:
            raise ModelError(
                f"{path} does not fit its {CONFIG}: {name} is {list(found[name].shape)}, the "
                f"configuration asks for {list(value.shape)}"
            )


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    rest = len(listed) - MOST_NAMED
    return ", ".join(listed[:MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def fingerprint(folder: str | Path) -> str:
    """The model's name and 12 hex digits that change with its configuration, weights or tokens.

    The card and the versions of libraries are not part of it.
    """
    place = Path(folder)
    config = read_config(place)
    digest = hashlib.sha256(json.dumps(to_dict(config), sort_keys=True).encode())
    for name in (VOCABULARY, WEIGHTS):
        try:
            with (place / name).open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise ModelError(f"{place / name} cannot be read: {error.strerror}") from None
    return f"{config.name}-{digest.hexdigest()[:12]}"
