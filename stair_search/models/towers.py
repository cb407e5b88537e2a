"""Feature extraction: photos and texts to states, by networks of transformers, timm and the
EfficientNet-Lite package.

All published towers come down to a prefix and a map: prefix [b, k, h] holds what stands for the
whole photo ([CLS], registers; none for a convolutional tower), the map [b, h, y, x] what stands for
its parts. Prefix states count as positions of the head like all others: [CLS] has seen the most.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from stair_search.errors import ModelError

from .config import ImageConfig, TowerConfig
from .states import States


class _Tower(nn.Module):
    """A frozen tower stays in evaluation: no dropout, and batch statistics that do not drift."""

    def train(self, mode: bool = True) -> _Tower:
        super().train(mode and any(p.requires_grad for p in self.parameters()))
        return self


class ImageTower(_Tower):
    """network: pixels to (prefix, map), see `image_network`."""

    def __init__(self, config: ImageConfig) -> None:
        super().__init__()
        self.grid = config.grid
        self.network = image_network(config.tower, config.size)
        self.hidden: int = self.network.hidden

    def forward(self, pixels: torch.Tensor) -> States:
        """Float [b, 3, s, s], normalised, to states [b, p, h]; all positions are there."""
        prefix, seen = self.network(pixels)
        parts = [prefix]
        if self.grid is None:
            parts.append(seen.flatten(2).transpose(1, 2))
        else:
            parts.append(seen.mean(dim=(2, 3))[:, None])
            parts.append(functional.adaptive_avg_pool2d(seen, self.grid).flatten(2).transpose(1, 2))
        hidden = torch.cat(parts, dim=1)
        return States(hidden, torch.ones(hidden.shape[:2], dtype=torch.bool, device=hidden.device))


class TextTower(_Tower):
    """A transformer over the vocabulary, from transformers."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        if config.library != "transformers":
            raise ModelError(
                f"a text tower comes from transformers, not {config.library!r} "
                f"({config.architecture})"
            )
        self.network = transformers_network(config)
        self.hidden = int(self.network.config.hidden_size)

    @property
    def embeddings(self) -> nn.Embedding:
        """The table [v, h] that the token heads are tied to."""
        table: nn.Embedding = self.network.get_input_embeddings()
        return table

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> States:
        """Ids int64 [b, t], mask bool [b, t]."""
        hidden = self.network(input_ids=ids, attention_mask=mask.to(torch.int64)).last_hidden_state
        return States(hidden, mask)


def image_network(config: TowerConfig, size: int) -> nn.Module:
    """A network with random weights, as a module with .hidden that gives (prefix, map)."""
    kinds: dict[str, Callable[[TowerConfig, int], nn.Module]] = {
        "transformers": _Transformers,
        "timm": _Timm,
        "lite": _Lite,
    }
    return kinds[config.library](config, size)


def transformers_network(config: TowerConfig) -> Any:
    """A network of transformers with random weights in float32, without its pooler."""
    from transformers import AutoModel

    return without_pooler(AutoModel.from_config(transformers_config(config), dtype=torch.float32))


def transformers_config(config: TowerConfig) -> Any:
    """A configuration of transformers; raises ModelError for what the installed one lacks."""
    from transformers import AutoConfig

    settings = dict(config.settings)
    if config.architecture in ("siglip_vision_model", "siglip2_vision_model"):
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


def without_pooler(network: Any) -> Any:
    """What follows the states would never get a gradient. A pooler without weights may stay."""
    pooler = getattr(network, "pooler", None)
    if pooler is not None and any(True for _ in pooler.parameters()):
        network.pooler = None
    return network


class _Transformers(nn.Module):
    def __init__(self, config: TowerConfig, size: int) -> None:
        super().__init__()
        self.network = transformers_network(config)
        settings = self.network.config
        self.architecture = config.architecture
        if hasattr(settings, "hidden_size"):
            self.hidden = int(settings.hidden_size)
        elif hasattr(settings, "hidden_dim"):  # EfficientNet
            self.hidden = int(settings.hidden_dim)
        else:
            raise ModelError(f"a {config.architecture!r} has no hidden_size: not supported")
        self.patch: int | None = getattr(settings, "patch_size", None)
        self.options: dict[str, Any] = {}
        takes = inspect.signature(self.network.forward).parameters
        # CLIP, SigLIP and ViT know the size that they were trained at; DINO asks nobody
        if "interpolate_pos_encoding" in takes and size != settings.image_size:
            self.options["interpolate_pos_encoding"] = True
        if self.patch is not None and size < self.patch:
            raise ModelError(f"image.size {size} is less than one patch of {self.patch} pixels")

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if self.architecture == "siglip2_vision_model":
            hidden = self._naflex(pixels)
        else:
            hidden = self.network(pixel_values=pixels, **self.options).last_hidden_state
        if self.architecture == "clip_vision_model":
            # CLIP norms its [CLS] alone, after the network; unnormed states grow with depth
            hidden = self.network.post_layernorm(hidden)
        if hidden.dim() == 4:
            return hidden.new_zeros(len(hidden), 0, hidden.shape[1]), hidden
        return split_prefix(hidden, pixels.shape[-1], self.patch, self.architecture)

    def _naflex(self, pixels: torch.Tensor) -> torch.Tensor:
        """SigLIP 2 of any shape takes patches: here all of a square, in rows."""
        b, _, s, _ = pixels.shape
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


def split_prefix(
    hidden: torch.Tensor, size: int, patch: int | None, name: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """States [b, p, h] of a vision transformer as (prefix, map): its last are the patches."""
    b, p, h = hidden.shape
    side = size // patch if patch else int(p**0.5)
    if side * side > p:
        raise ModelError(
            f"{name} gives {p} states for photos of {size} pixels: fewer than the {side} x {side} "
            f"patches of {patch} pixels"
        )
    prefix, patches = hidden[:, : p - side * side], hidden[:, p - side * side :]
    return prefix, patches.transpose(1, 2).reshape(b, h, side, side)


class _Timm(nn.Module):
    def __init__(self, config: TowerConfig, size: int) -> None:
        super().__init__()
        self.network = timm_network(config)
        self.hidden = int(self.network.num_features)
        self.name = config.architecture

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.network.forward_features(pixels)
        if hidden.dim() == 4:
            if getattr(self.network, "output_fmt", None) == "NHWC":  # Swin and its kin
                hidden = hidden.permute(0, 3, 1, 2)
            return hidden.new_zeros(len(hidden), 0, hidden.shape[1]), hidden
        # a network that was trained on means of states norms the mean, not the states
        hidden = getattr(self.network, "fc_norm", nn.Identity())(hidden)
        patch = getattr(getattr(self.network, "patch_embed", None), "patch_size", None)
        return split_prefix(hidden, pixels.shape[-1], patch[0] if patch else None, self.name)


UNUSED_TIMM_PARTS = ("head", "head_drop", "head_dist", "classifier", "fc", "attn_pool")
"""What `forward_features` of timm's networks never reaches."""


def timm_network(config: TowerConfig) -> Any:
    """A network of timm with random weights, without classifier and pooling."""
    import timm

    settings = {**config.settings, "pretrained": False, "num_classes": 0}
    try:
        network = timm.create_model(config.architecture, **settings)
    except (RuntimeError, TypeError, ValueError, AssertionError) as error:
        raise ModelError(
            f"timm cannot make {config.architecture!r} with {config.settings}: {error}"
        ) from None
    if not hasattr(network, "forward_features"):
        raise ModelError(f"timm's {config.architecture!r} gives no features")
    for part in UNUSED_TIMM_PARTS:
        if isinstance(getattr(network, part, None), nn.Module):
            setattr(network, part, nn.Identity())
    return network


class _Lite(nn.Module):
    """EfficientNet-Lite as TensorFlow pads it: SAME, hence unevenly, by the photo's size."""

    def __init__(self, config: TowerConfig, size: int) -> None:
        super().__init__()
        self.network = lite_network(config.architecture, size)
        self.hidden = int(self.network._conv_head.out_channels)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        seen = self.network.extract_features(pixels)
        return seen.new_zeros(len(seen), 0, seen.shape[1]), seen


LITE = ("efficientnet-lite0", "efficientnet-lite2")


def lite_network(architecture: str, size: int) -> Any:
    if architecture not in LITE:
        raise ModelError(f"no lite tower {architecture!r}: known are {', '.join(LITE)}")
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise ModelError(
            f"{architecture} needs efficientnet-lite-pytorch: pip install 'stair-search[train]'"
        ) from error
    network = EfficientNet.from_name(architecture, image_size=size)
    network._fc = network._dropout = nn.Identity()
    return network
