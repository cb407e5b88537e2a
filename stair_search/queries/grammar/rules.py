"""What an application lets a text ask for."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from stair_search.errors import UsageError
from stair_search.queries.grammar.asked import NAME

KEYWORDS = frozenset({"without", "require", "filter", "photo"})


def can_be_typed(name: str) -> bool:
    """Whether a text can name a field so.

    >>> can_be_typed("caption"), can_be_typed("@timestamp"), can_be_typed("Filter")
    (True, False, False)
    """
    return bool(re.fullmatch(NAME, name)) and name.lower() not in KEYWORDS


@dataclass(frozen=True, slots=True)
class Grammar:
    """What a text may ask for: fields by their public names, and photos by path or address.

    Names are given as a set or list, or as the keys of the mapping with which an application goes
    on from public names to its fields. No other name in a text becomes one of a field.

    >>> Grammar(text_fields={"caption": "photos.caption"}).text_fields
    frozenset({'caption'})
    """

    text_fields: Collection[str] = frozenset()
    filter_fields: Collection[str] = frozenset()
    photos: bool = False

    def __post_init__(self) -> None:
        for kind in ("text_fields", "filter_fields"):
            names = getattr(self, kind)
            if isinstance(names, str):
                raise UsageError(f"{kind} is a set of names, not the text {names!r}")
            object.__setattr__(self, kind, frozenset(names))
            for name in sorted(names):
                if not re.fullmatch(NAME, name):
                    raise UsageError(
                        f"{kind}: {name!r} cannot be typed as a field: a name is letters, digits, "
                        "_, . and -, with a letter or _ first"
                    )
        if taken := sorted(name for name in self.text_fields if name.lower() in KEYWORDS):
            raise UsageError(
                f"text_fields: {taken[0]!r} is a word of the grammar itself; give it another name"
            )
