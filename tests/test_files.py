from __future__ import annotations

import json
import math
from contextlib import suppress
from pathlib import Path

import pytest

from stair_search.errors import DestinationError, TrainingError, UsageError
from stair_search.files import whole_file, write_csv, write_json
from stair_search.toml import read_toml

ODD = "caf\udce9.jpg"
"""A name whose last letter is a byte that is no UTF-8."""


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    write_json(file, {"photo": ODD}, TrainingError)
    assert json.loads(file.read_text("utf-8")) == {"photo": ODD}
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(file, {"loss": [1.0] * 10_000 + [math.nan]}, TrainingError)
    assert json.loads(file.read_text("utf-8")) == {"photo": ODD}
    with suppress(KeyboardInterrupt), whole_file(file, TrainingError) as out:
        out.write("half of")
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_path_in_a_csv_keeps_its_bytes(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", ["image", "caption"], [[ODD, "a, dog"]], TrainingError)
    assert (tmp_path / "a.csv").read_bytes() == b'image,caption\r\ncaf\xe9.jpg,"a, dog"\r\n'


def test_what_cannot_be_written_is_the_callers_kind_of_error(tmp_path: Path) -> None:
    (tmp_path / "a.json").mkdir()
    for failure in (DestinationError, TrainingError):
        with pytest.raises(failure, match=r"a\.json cannot be written: Is a directory"):
            write_json(tmp_path / "a.json", {}, failure)
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    "data", [b"a = ", b"\xff", b"a = " + b"[" * 100_000, b"a = 1\na = 2\n"], ids=len
)
def test_a_bad_toml_file_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.toml").write_bytes(data)
    with pytest.raises(UsageError, match=r"a\.toml cannot be read: "):
        read_toml(tmp_path / "a.toml")
    with pytest.raises(UsageError, match=r"none\.toml cannot be read: "):
        read_toml(tmp_path / "none.toml")
