"""`export MODEL --out FILE.json`: what takes no training packages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.encoders.question_reader import Reader

from .conftest import Cli


def test_one_file_for_front_ends(cli: Cli, tiny_model: Path, tmp_path: Path) -> None:
    file = tmp_path / "questions.json"
    result = cli("export", tiny_model, "--out", file)
    assert (result.exit_code, result.stdout) == (0, "")
    assert f"{file}: the static text encoder of tiny-1-" in result.stderr
    said = cli("encode", "--text", "a DOG running. on the beach", "--model", tiny_model,
               "--format", "json")  # fmt: skip
    tokens = Reader.of_json(file).encode("a DOG running. on the beach")
    assert tokens == pytest.approx(json.loads(said.stdout)["tokens"], rel=1e-6)
    assert set(tokens) == {"dog", "run", "##ning", ".", "beach"}
    again = cli("export", tiny_model, "--out", file)
    assert again.exit_code == 2 and "is there already" in again.stderr


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("nothing", "--out", "x.json"), 4, "no model 'nothing'"),
        (("nothing", "--out", "x"), 2, "nothing is no folder"),
        (("starter", "--out", "x.npz", "--half"), 2, "are for a folder"),
        (("starter", "--out", "x"), 2, "starter is no folder"),
    ],
)
def test_what_cannot_be_exported(cli: Cli, args: tuple[str, ...], code: int, message: str) -> None:
    result = cli("export", *args)
    assert result.exit_code == code and message in result.stderr
    assert not Path(args[2]).exists()
