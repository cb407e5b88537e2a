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

    photos: the nested field of an index whose documents have several photos each; all others are
    then fields of a photo.

    >>> Fields(token="look").strongest
    'look_tokens'
    """

    token: str = "stair"
    image: str = "image"
    caption: str = "caption"
    width: str = "width"
    height: str = "height"
    photos: str = "photos"

    @property
    def strongest(self) -> str:
        return f"{self.token}_tokens"

    @property
    def model(self) -> str:
        return model_field(self.token)

    @property
    def hash(self) -> str:
        return f"{self.token}_hash"

    @property
    def own(self) -> set[str]:
        """All that stair-search fills itself."""
        return {*self.to_dict().values(), self.strongest, self.model, self.hash}

    def in_photos(self) -> Fields:
        """The names as a query calls those of a photo in the nested field.

        >>> Fields().in_photos().model
        'photos.stair_model'
        """
        names = self.to_dict()
        return Fields(**{k: v if k == "photos" else f"{self.photos}.{v}" for k, v in names.items()})

    def to_dict(self) -> dict[str, str]:
        return asdict(self)

    @classmethod
    def from_dict(cls, names: Mapping[str, str]) -> Fields:
        return cls(**names)
