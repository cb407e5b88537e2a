"""`load_encoder`: a model by its name."""

from __future__ import annotations

from pathlib import Path

from stair_search.errors import ModelError

from .device import Precision
from .encoder import DenseEncoder, Encoder
from .folder import MODEL_FILE, shipped_models
from .light import load_light

TORCH_FILE = "config.json"


def load_encoder(
    name: str = "starter",
    threads: int | None = None,
    device: str | None = None,
    text: str | None = None,
    precision: Precision = "fp32",
    compile: bool = False,
) -> Encoder:
    """A model that comes with the package, by name, or the model in a folder, by path.

    The folder is a light one (model.json) or one of torch (config.json, model.safetensors).
    threads: None for all cores; in torch they are those of the whole process. device: "auto",
    "cpu", "cuda" (the first GPU) or "cuda:N"; auto is the first GPU where there is one that the
    model's runtime can use, else the CPU. None is auto for torch, and the CPU for a light folder.
    text: "static" or "neural", None for the model's default. precision: in which photos are
    encoded; auto is fp32 on the CPU, on a GPU bf16, or fp16 where it does not compute in that. A
    light folder is fp32. Texts are always encoded in fp32. compile: by torch.compile, a minute or
    more at the first photos.

    Raises ModelError: for an unknown name with the known ones, for a text encoder that the model
    lacks, and for a model that gives no tokens; UsageError for a device that is not there and for
    what the model cannot do on it.
    """
    found = load_any_encoder(name, threads, device, text, precision, compile)
    if isinstance(found, DenseEncoder):
        raise ModelError(
            f"model {found.name} gives dense vectors of {found.dimensions} numbers, no tokens: "
            "an index needs a model of kind stair or stair-image"
        )
    return found


def load_any_encoder(
    name: str = "starter",
    threads: int | None = None,
    device: str | None = None,
    text: str | None = None,
    precision: Precision = "fp32",
    compile: bool = False,
) -> Encoder | DenseEncoder:
    """As `load_encoder`; a CLIP baseline gives a DenseEncoder."""
    shipped = name in shipped_models()
    if not shipped and _is_torch(name):
        try:
            from .torch_model import load_torch
        except ImportError as error:
            raise ModelError(
                f"{name} is a model in torch: pip install 'stair-search[models]' ({error})"
            ) from error

        return load_torch(name, threads, device, text, precision, compile)
    return load_light(name, threads, device, text, precision, compile)


def _is_torch(name: str) -> bool:
    try:
        return (Path(name) / TORCH_FILE).is_file() and not (Path(name) / MODEL_FILE).exists()
    except (OSError, ValueError):  # a name that can be no path
        return False
