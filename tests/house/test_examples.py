"""The examples in docstrings, of every module that has some."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import stair_search

HOME = Path(stair_search.__path__[0])
TORCH = ("models", "training")


def modules() -> list[object]:
    files = [file for file in sorted(HOME.rglob("*.py")) if ">>>" in file.read_text("utf-8")]
    names = [file.relative_to(HOME.parent).with_suffix("").parts for file in files]
    return [
        pytest.param(
            ".".join(name).removesuffix(".__init__"),
            marks=pytest.mark.train if name[1] in TORCH else (),
        )
        for name in names
    ]


@pytest.mark.parametrize("name", modules())
def test_examples(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted
    assert not result.failed
