"""Networks of transformers: built with random weights, or read from what was published."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stair_search.errors import ModelError

from .config import ImageConfig, TowerConfig
from .hub import local_folder, refuse_code
from .preprocessing import Preprocessing, read_preprocessing
from .states import split_prefix

WEIGHTS, SHARDS = "model.safetensors", "model.safetensors.index.json"
_SIGLIP = ("siglip_vision_model", "siglip2_vision_model")


class TransformersImages(nn.Module):
    """An image network of transformers as (prefix, map). size: pixels a side that it will see."""

    def __init__(self, network: Any, size: int) -> None:
        super().__init__()
        self.network = network
        settings = network.config
        self.architecture = str(settings.model_type)
        # EfficientNet says hidden_dim
        hidden = getattr(settings, "hidden_size", None) or getattr(settings, "hidden_dim", None)
        if not isinstance(hidden, int):
            raise ModelError(f"a {self.architecture!r} names no hidden_size: it is not supported")
        self.hidden = hidden
        patch = getattr(settings, "patch_size", None)
        self.patch: int | None = patch if isinstance(patch, int) else None
        if self.patch is not None and size < self.patch:
            raise ModelError(f"image.size {size} is less than one patch of {self.patch} pixels")
        takes = inspect.signature(network.forward).parameters
        # CLIP, SigLIP and ViT hold to the size of their training unless told otherwise
        other = "interpolate_pos_encoding" in takes and size != settings.image_size
        self._options = {"interpolate_pos_encoding": True} if other else {}

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if self.architecture == "siglip2_vision_model":
            hidden = self._patches(pixels)
        else:
            hidden = self.network(pixel_values=pixels, **self._options).last_hidden_state
        if self.architecture == "clip_vision_model":
            # CLIP norms its [CLS] alone, after the network; unnormed states grow with depth
            hidden = self.network.post_layernorm(hidden)
        if hidden.dim() == 4:
            return hidden.new_zeros(len(hidden), 0, hidden.shape[1]), hidden
        return split_prefix(hidden, pixels.shape[-1], self.patch, self.architecture)

    def _patches(self, pixels: torch.Tensor) -> torch.Tensor:
        """SigLIP 2 of any shape (NaFlex) takes a list of patches: here all of a square, by rows."""
        b, s = len(pixels), pixels.shape[-1]
        assert self.patch is not None
        side = s // self.patch
        cut = pixels[:, :, : side * self.patch, : side * self.patch]
        cut = cut.unflatten(3, (side, self.patch)).unflatten(2, (side, self.patch))
        patches = cut.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
        there = torch.ones(patches.shape[:2], dtype=torch.int64, device=pixels.device)
        shapes = torch.full((b, 2), side, dtype=torch.int64, device=pixels.device)
        hidden: torch.Tensor = self.network(
            pixel_values=patches, pixel_attention_mask=there, spatial_shapes=shapes
        ).last_hidden_state
        return hidden


def random_network(config: TowerConfig) -> Any:
    """A network in float32, without its pooler. Raises ModelError."""
    from transformers import AutoModel

    settings = _configuration(config)
    try:
        network = AutoModel.from_config(settings, dtype=torch.float32)
    except Exception as error:  # sizes that do not go together: of many kinds
        raise ModelError(
            f"transformers cannot make a {config.architecture!r} of these settings: {error}"
        ) from None
    return _without_pooler(network)


def _configuration(config: TowerConfig) -> Any:
    """Raises ModelError for names and settings that the installed transformers does not know."""
    from transformers import AutoConfig

    settings = dict(config.settings)
    if config.architecture in _SIGLIP:
        settings["vision_use_head"] = False  # its pooler
    try:
        made = AutoConfig.for_model(config.architecture, **settings)
        known = type(made)().to_dict()
    except Exception as error:  # its checks raise errors of many kinds
        raise ModelError(
            f"transformers cannot make a {config.architecture!r} of these settings: {error}"
        ) from None
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ModelError(
            f"the transformers that is installed knows no {config.architecture!r} with "
            f"{', '.join(unknown)}"
        )
    return made


def _without_pooler(network: Any) -> Any:
    """What follows the states would never get a gradient. A pooler without weights may stay."""
    pooler = getattr(network, "pooler", None)
    if pooler is not None and any(True for _ in pooler.parameters()):
        network.pooler = None
    return network


def published_images(
    folder: Path, size: int | None, weights: bool
) -> tuple[ImageConfig, TransformersImages]:
    """The image network in a folder as transformers saves it, and how it wants its photos.

    Of a model of two towers (CLIP, SigLIP) the image tower. size: pixels a side, None for the
    published ones. Raises ModelError.
    """
    settings = _read_configuration(folder)
    settings = getattr(settings, "vision_config", settings)
    config = _tower_config(settings)
    if not {"image_size", "patch_size", "num_channels"} & set(config.settings):
        raise ModelError(f"{folder} holds a {config.architecture!r}: it sees no photos")
    seen: Preprocessing = read_preprocessing(folder, getattr(settings, "patch_size", None))
    image = ImageConfig(
        config,
        size or seen.size,
        seen.mean,
        seen.deviation,
        resize=seen.resize,
        crop=seen.crop,
        resample=seen.resample,
    )
    network = _read_network(folder, config) if weights else random_network(config)
    return image, TransformersImages(network, image.size)


def published_texts(folder: Path) -> tuple[TowerConfig, Any]:
    """The text network in a folder as transformers saves it. Raises ModelError."""
    config = _tower_config(_read_configuration(folder))
    return config, _read_network(folder, config)


def _read_configuration(folder: Path) -> Any:
    from transformers import AutoConfig

    refuse_code(folder)
    local_folder(folder, ("config.json",))
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # of many kinds
        reason = str(error).strip().split("\n")[0]
        raise ModelError(
            f"{folder / 'config.json'} describes no model that transformers knows: {reason}"
        ) from None


def _tower_config(settings: Any) -> TowerConfig:
    """What the kind of network adds to all that transformers says of any model."""
    from transformers import PreTrainedConfig

    common = set(PreTrainedConfig().to_dict())
    plain = json.loads(json.dumps(settings.to_dict()))
    known = set(type(settings)().to_dict())
    return TowerConfig(
        "transformers",
        str(settings.model_type),
        {key: value for key, value in plain.items() if key not in common and key in known},
    )


@contextmanager
def _no_bar() -> Iterator[None]:
    """Without transformers' bar over weights that are read in a moment."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _read_network(folder: Path, config: TowerConfig) -> Any:
    from transformers import AutoModel

    if not (folder / SHARDS).is_file():
        local_folder(folder, (WEIGHTS,))
    try:
        with _no_bar():
            network, found = AutoModel.from_pretrained(
                folder,
                config=_configuration(config),
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                ignore_mismatched_sizes=True,  # told below, in one line
                output_loading_info=True,
            )
    except Exception as error:  # of many kinds
        raise ModelError(f"{folder} cannot be read by transformers: {error}") from None
    missing = sorted(key for key in found["missing_keys"] if not key.startswith("pooler."))
    wrong = sorted(found["mismatched_keys"])
    if missing:
        raise ModelError(f"the weights in {folder} lack {missing[0]} ({len(missing)} in all)")
    if wrong:
        name, stored, wanted = wrong[0]
        raise ModelError(
            f"the weights in {folder} do not fit its config.json: {name} is {list(stored)}, "
            f"expected {list(wanted)}"
        )
    return _without_pooler(network)
