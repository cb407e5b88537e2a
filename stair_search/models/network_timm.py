"""Image networks of timm."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stair_search.errors import ModelError

from .config import ImageConfig, TowerConfig
from .hub import local_folder, refuse_code
from .states import split_prefix

WEIGHTS = "model.safetensors"
_UNREACHED = ("head", "head_drop", "head_dist", "classifier", "fc", "attn_pool")
"""What `forward_features` never comes to: it would never get a gradient."""


class TimmImages(nn.Module):
    """A network of timm as (prefix, map)."""

    def __init__(self, network: Any, name: str) -> None:
        super().__init__()
        self.network = network
        self.hidden = int(network.num_features)
        self._name = name

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.network.forward_features(pixels)
        if hidden.dim() == 4:
            if getattr(self.network, "output_fmt", None) == "NHWC":  # Swin and its kin
                hidden = hidden.permute(0, 3, 1, 2)
            return hidden.new_zeros(len(hidden), 0, hidden.shape[1]), hidden
        if hasattr(self.network, "fc_norm"):
            # of networks that were trained on the mean of unnormed states; nothing in others
            hidden = self.network.fc_norm(hidden)
        patch = getattr(getattr(self.network, "patch_embed", None), "patch_size", None)
        return split_prefix(hidden, pixels.shape[-1], patch[0] if patch else None, self._name)


def random_network(config: TowerConfig) -> Any:
    """A network without classifier and pooling. Raises ModelError for what timm cannot make."""
    return _without_head(_create(config, num_classes=0), config.architecture)


def _create(config: TowerConfig, **more: Any) -> Any:
    import timm

    try:
        return timm.create_model(config.architecture, **{**config.settings, **more})
    except Exception as error:  # of many kinds, by network
        raise ModelError(
            f"timm cannot make {config.architecture!r} with {config.settings}: {error}"
        ) from None


def _without_head(network: Any, name: str) -> Any:
    if not hasattr(network, "forward_features"):
        raise ModelError(f"timm's {name!r} gives no features")
    for part in _UNREACHED:
        if isinstance(getattr(network, part, None), nn.Module):
            setattr(network, part, nn.Identity())
    return network


def published(
    name: str, folder: Path | None, size: int | None, weights: bool
) -> tuple[ImageConfig, Any]:
    """A published network and how it wants its photos.

    name: timm's. folder: a copy of its repository on the hub, as timm saves it; None to fetch it.
    size: pixels a side, None for the published ones. Raises ModelError.
    """
    import timm

    found = timm.get_pretrained_cfg(name) if folder is None else None
    if folder is not None:
        about = _read(folder)
        name = str(about["architecture"])
        wanted: Mapping[str, Any] = about["pretrained_cfg"]
        settings = dict(about.get("model_args") or {})
    elif found is not None:
        wanted, settings = found.to_dict(), {}
    else:
        raise ModelError(f"timm knows no {name!r}: timm.list_models lists what it knows")
    photo = timm.data.resolve_data_config(pretrained_cfg=dict(wanted))
    published_size = int(photo["input_size"][-1])
    config = TowerConfig("timm", name, settings)
    if size is not None and size != published_size and _knows_size(config):
        config = TowerConfig("timm", name, {**settings, "img_size": size})
    image = ImageConfig(
        config,
        size or published_size,
        _three(photo["mean"]),
        _three(photo["std"]),
        resize="squash" if photo["crop_mode"] == "squash" else "crop",
        crop=min(1.0, float(photo["crop_pct"])),
        resample=photo["interpolation"] if photo["interpolation"] in _RESAMPLE else "bicubic",
    )
    if not weights:
        return image, random_network(config)
    if folder is None:
        hub = wanted.get("hf_hub_id")
        if not hub:
            raise ModelError(f"timm's {name!r} has no weights on the Hugging Face hub")
        folder = local_folder(str(hub))
    refuse_code(folder)
    local_folder(folder, (WEIGHTS,))
    # all that was published, classifier included, so that timm is strict about what is missing
    overlay = {"file": str(folder / WEIGHTS), "custom_load": False, "source": "file"}
    logging.getLogger("timm").setLevel(logging.WARNING)
    network = _create(
        config,
        pretrained=True,
        num_classes=int(wanted["num_classes"]),
        pretrained_cfg={**wanted, **overlay},
    )
    return image, _without_head(network, name)


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = map(float, values)
    return red, green, blue


_RESAMPLE = ("bilinear", "bicubic", "lanczos")


def _knows_size(config: TowerConfig) -> bool:
    """Whether positions are learned, so that the network must be told of another size."""
    return getattr(random_network(config), "pos_embed", None) is not None


def is_folder(folder: Path) -> bool:
    """Whether timm has saved a model there."""
    try:
        return "pretrained_cfg" in json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def _read(folder: Path) -> dict[str, Any]:
    about: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
    if "architecture" not in about:
        raise ModelError(f"{folder / 'config.json'} names no architecture")
    return about
