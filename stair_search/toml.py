"""The files that people write for us."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from stair_search.errors import UsageError


def read_toml(file: Path) -> dict[str, Any]:
    """A TOML file's table. Raises UsageError."""
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from None


def is_texts(value: Any) -> bool:
    """Whether it is a list of texts."""
    return isinstance(value, list) and all(isinstance(one, str) for one in value)
