"""What a model is made of, as frozen dataclasses, and their way from and to JSON.

    >>> from_dict(HeadConfig, {"kind": "dense", "dimensions": 64}).dimensions
    64

A configuration is complete: with it alone, and no hub, a model of the same shapes can be built.
Knows no torch.
"""

from __future__ import annotations

import dataclasses
import math
import types
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from stair_search.errors import ModelError
from stair_search.pixels import Resample, Resize, View

T = TypeVar("T")


@dataclass(frozen=True)
class TowerConfig:
    """library and architecture name the network, settings its sizes.

    transformers: architecture is a `model_type` that AutoConfig knows ("vit", "clip_vision_model",
    "siglip_vision_model", "siglip2_vision_model", "dinov2", "dinov3_vit", "efficientnet", "bert"),
    settings what that configuration holds. timm: a name that timm.create_model knows, settings its
    arguments. lite: "efficientnet-lite0" or "efficientnet-lite2", no
    settings.
    """

    library: Literal["transformers", "timm", "lite"]
    architecture: str
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class HeadConfig:
    """How states become a vector.

    dimensions: d of a dense head; for a token head without a text tower, h of the embeddings that
    the model then owns. top_k: weights that a token head keeps, None for all. chunk: columns of the
    vocabulary whose scores exist at once, 0 for all (see `max_logits`). embeddings: "centred" takes
    the mean row from each row of e and brings it to length 1 (see `TokenHead`). pooling: of a dense
    head; "first" is the [CLS] of a transformer.
    """

    kind: Literal["token", "dense"] = "token"
    dimensions: int = 512
    top_k: int | None = None
    chunk: int = 4096
    dropout: float = 0.0
    embeddings: Literal["plain", "centred"] = "plain"
    pooling: Literal["mean", "first"] = "mean"


@dataclass(frozen=True)
class TableConfig:
    """A text side without a network, see `TextTable`.

    rank: of the expansion's low-rank rows. dropout: share of a text's tokens that training leaves
    out, so that a text does not hang on one word. words_only: stop words, punctuation and single
    letters say nothing.
    """

    kind: Literal["mask", "weights", "expansion"]
    top_k: int | None = None
    rank: int = 128
    dropout: float = 0.0
    words_only: bool = False


@dataclass(frozen=True)
class ImageConfig:
    """size: pixels a side; mean, deviation: of each channel, on a scale of 0 to 1.

    resize, crop, resample: see `stair_search.pixels.View`. grid: None for the tower's own
    positions; otherwise the tower's prefix ([CLS], registers), the mean of its map, then the means
    over grid x grid parts of it.
    """

    tower: TowerConfig
    size: int
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    resize: Resize = "squash"
    crop: float = 1.0
    resample: Resample = "bicubic"
    grid: int | None = None
    head: HeadConfig = field(default_factory=HeadConfig)

    @property
    def view(self) -> View:
        """How a photo becomes pixels."""
        return View(self.size, self.resize, self.crop, self.resample)


@dataclass(frozen=True)
class TextConfig:
    """tower and head, or a table. length: most tokens of a text, [CLS] and [SEP] among them.

    prompt: put before a caption or question that is encoded, as the paper does when it evaluates
    retrieval. Training puts none before its captions, and what is no caption has none either: a
    text that a template of zero-shot classification made, a token of the vocabulary. A table takes
    none.
    """

    tower: TowerConfig | None = None
    length: int = 76
    prompt: str = ""
    head: HeadConfig | None = None
    table: TableConfig | None = None


@dataclass(frozen=True)
class ModelConfig:
    """kind: "stair" (two token heads), "clip" (two dense heads), "stair-image" (a text table).

    temperature: the one that training starts with. own_embeddings: the token heads' e is a table of
    the model's own, a row for each output, which starts as the text tower's: it can be trained
    while the tower is frozen and its states are kept. (A model without a text tower has its own
    table in any case.)
    """

    kind: Literal["stair", "clip", "stair-image"]
    name: str
    image: ImageConfig
    text: TextConfig
    temperature: float = 0.07
    own_embeddings: bool = False

    def __post_init__(self) -> None:
        image, text = self.image, self.text
        wanted = "dense" if self.kind == "clip" else "token"
        _demand(
            image.head.kind == wanted,
            f"kind {self.kind!r} has a {wanted} head on the image side, not {image.head.kind!r}",
        )
        if self.kind == "stair-image":
            _demand(
                text.table is not None and text.tower is None and text.head is None,
                "kind 'stair-image' has text.table, and neither text.tower nor text.head",
            )
        else:
            _demand(
                text.tower is not None and text.head is not None and text.table is None,
                f"kind {self.kind!r} has text.tower and text.head, and no text.table",
            )
            assert text.head is not None
            _demand(
                text.head.kind == wanted,
                f"kind {self.kind!r} has a {wanted} head on the text side, not {text.head.kind!r}",
            )
            _demand(
                wanted == "token" or text.head.dimensions == image.head.dimensions,
                f"the dense heads give {image.head.dimensions} and {text.head.dimensions} "
                "dimensions: both sides need the same",
            )
        _demand(
            not self.own_embeddings or self.kind == "stair",
            f"own_embeddings is for kind 'stair', not {self.kind!r}",
        )
        _demand(text.length >= 3, f"text.length {text.length}: [CLS], [SEP] and one token are 3")
        _demand(image.size > 0, f"image.size {image.size}: a photo has at least one pixel")
        _demand(0 < image.crop <= 1, f"image.crop {image.crop} is a share, above 0 and at most 1")
        _demand(image.grid is None or image.grid > 0, f"image.grid {image.grid}: at least 1")
        _demand(all(x > 0 for x in image.deviation), f"image.deviation {image.deviation}: above 0")
        _demand(self.temperature > 0, f"temperature {self.temperature}: above 0")
        for place, part in (("image.head", image.head), ("text.head", text.head)):
            if part is not None:
                _demand(part.dimensions > 0, f"{place}.dimensions {part.dimensions}: at least 1")
                _demand(
                    part.top_k is None or part.top_k > 0, f"{place}.top_k {part.top_k}: at least 1"
                )
                _demand(part.chunk >= 0, f"{place}.chunk {part.chunk}: at least 0")
                _demand(0 <= part.dropout < 1, f"{place}.dropout {part.dropout}: from 0 to below 1")
        if text.table is not None:
            top_k, rank, dropout = text.table.top_k, text.table.rank, text.table.dropout
            _demand(top_k is None or top_k > 0, f"text.table.top_k {top_k}: at least 1")
            _demand(rank > 0, f"text.table.rank {rank}: at least 1")
            _demand(0 <= dropout < 1, f"text.table.dropout {dropout}: from 0 to below 1")


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ModelError(otherwise)


def to_dict(config: Any) -> dict[str, Any]:
    """Plain values only, as JSON has them."""
    plain: dict[str, Any] = _plain(dataclasses.asdict(config))
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def from_dict(kind: type[T], data: Any, place: str = "") -> T:
    """A dataclass from plain values. Raises ModelError: the key, its value, what is known there."""
    if not isinstance(data, dict):
        raise ModelError(f"{place or kind.__name__}: expected settings by name, not {data!r}")
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    hints = get_type_hints(kind)
    for key, value in data.items():
        if key not in fields:
            raise ModelError(
                f"unknown setting {_join(place, key)} = {value!r}; known are {', '.join(fields)}"
            )
    for name, one in fields.items():
        if (
            name not in data
            and one.default is dataclasses.MISSING
            and one.default_factory is dataclasses.MISSING
        ):
            raise ModelError(f"setting {_join(place, name)} is missing")
    return kind(
        **{key: _value(hints[key], value, _join(place, str(key))) for key, value in data.items()}
    )


def _join(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key


def _value(wanted: Any, value: Any, place: str) -> Any:
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin in (Union, types.UnionType):  # only X | None occurs
        return None if value is None else _value(inner[0], value, place)
    if origin is Literal:
        if value not in inner:
            raise ModelError(f"{place} = {value!r}; known are {', '.join(map(repr, inner))}")
        return value
    if origin is tuple and inner[-1] is Ellipsis:
        if not isinstance(value, list | tuple):
            raise ModelError(f"{place} = {value!r}: expected a list")
        return tuple(_value(inner[0], item, f"{place}.{i}") for i, item in enumerate(value))
    if origin is tuple:
        if not isinstance(value, list | tuple) or len(value) != len(inner):
            raise ModelError(f"{place} = {value!r}: expected {len(inner)} values")
        return tuple(_value(one, item, place) for one, item in zip(inner, value, strict=True))
    if dataclasses.is_dataclass(wanted):
        assert isinstance(wanted, type)
        return from_dict(wanted, value, place)
    if origin is dict:
        if not isinstance(value, dict):
            raise ModelError(f"{place} = {value!r}: expected settings by name")
        return value
    if wanted is float and isinstance(value, int | float) and not isinstance(value, bool):
        with suppress(OverflowError):  # of an int that no float can hold
            if math.isfinite(value):
                return float(value)
        raise ModelError(f"{place} = {value!r}: expected a finite number")
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        raise ModelError(f"{place} = {value!r}: expected {wanted.__name__}")
    return value
