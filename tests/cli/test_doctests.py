"""The examples in the docstrings of the command line's modules."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import stair_search.cli

MODULES = sorted(
    path.stem
    for path in Path(stair_search.cli.__path__[0]).glob("*.py")
    if ">>>" in path.read_text("utf-8")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    module = importlib.import_module(f"stair_search.cli.{name}")
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed
