"""The names under which a document keeps its parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass


def model_field(field: str) -> str:
    """The keyword field that names the model which wrote the token field.

    >>> model_field("stair")
    'stair_model'
    """
    return f"{field}_model"


@dataclass(frozen=True, slots=True)
class Fields:
    """Field names of an index; the token field's companions follow its name.

    >>> Fields(token="look").strongest
    'look_tokens'
    """

    token: str = "stair"
    image: str = "image"
    caption: str = "caption"
    width: str = "width"
    height: str = "height"

    @property
    def strongest(self) -> str:
        return f"{self.token}_tokens"

    @property
    def model(self) -> str:
        return model_field(self.token)

    @property
    def hash(self) -> str:
        return f"{self.token}_hash"

    def to_dict(self) -> dict[str, str]:
        return asdict(self)

    @classmethod
    def from_dict(cls, names: Mapping[str, str]) -> Fields:
        return cls(**names)
