"""The file for front ends in other languages: what readers make of it by its page alone is what the
encoder says.
"""

from __future__ import annotations

import csv
import json
import random
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stair_search import load_encoder
from stair_search.encoders.question_file import QUESTIONS, write_question_file
from stair_search.engines.lucene.compile import compiled
from stair_search.errors import ModelError, UsageError
from stair_search.queries import Tokens
from tests.encoders.question_reader import Reader
from tests.encoders.test_wordpiece import HOSTILE, hostile

PAGE = Path(__file__).parents[2] / "docs" / "front-ends.md"
NODE = shutil.which("node")
RUN = """
const fs = require("fs");
const encoder = new QuestionEncoder(JSON.parse(fs.readFileSync(process.argv[2], "utf8")));
encoder.check();
const texts = JSON.parse(fs.readFileSync(0, "utf8"));
const told = (text) => ({ tokens: [...encoder.encode(text)], query: encoder.query(text) });
console.log(JSON.stringify(texts.map(told)));
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("questions") / "questions.json"
    assert write_question_file("starter", file) == load_encoder("starter").fingerprint
    return file


def captions() -> list[str]:
    """Some hundred of words that the table knows, and odd ones."""
    chance, tokens = random.Random(3), load_encoder("starter").vocabulary.tokens
    whole = [token for token in tokens if token.isalpha()]
    said = [" ".join(chance.choices(whole, k=chance.randint(1, 12))) for _ in range(300)]
    mixed = [f"{chance.choice(said)} {odd} {chance.choice(whole)}" for odd in hostile()[:200]]
    return [*said, *mixed, *HOSTILE, *QUESTIONS, "\ud800dog \udfff a\udc00b"]


def expected(texts: list[str]) -> list[dict[str, float]]:
    encoder = load_encoder("starter", text="static")
    return [encoder.vocabulary.to_dict(one) for one in encoder.encode_texts(texts)]


def same(mine: dict[str, float], wanted: dict[str, float], text: str) -> None:
    assert list(mine) == list(wanted), repr(text)
    assert list(mine.values()) == pytest.approx(list(wanted.values()), rel=1e-6), repr(text)


def test_a_reader_by_the_page_says_what_the_encoder_says(file: Path) -> None:
    reader, texts = Reader.of_json(file), captions()
    for text, wanted in zip(texts, expected(texts), strict=True):
        same(reader.encode(text), wanted, text)


@pytest.mark.slow
def test_captions_of_people(file: Path, shared_data: Path) -> None:
    with (shared_data / "coco-captions" / "captions.csv").open(encoding="utf-8") as lines:
        texts = [row["caption"] for row in csv.DictReader(lines)][:500]
    reader = Reader.of_json(file)
    for text, wanted in zip(texts, expected(texts), strict=True):
        same(reader.encode(text), wanted, text)


@pytest.mark.slow
@pytest.mark.parametrize("node", [NODE] if NODE else [])  # the header of a run tells
def test_the_javascript_of_the_page(file: Path, node: str, tmp_path: Path) -> None:
    (code,) = re.findall(r"```js\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    script = tmp_path / "reader.js"
    script.write_text(code + RUN, "utf-8")
    texts = captions()
    done = subprocess.run(
        [node, str(script), str(file)],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    model = load_encoder("starter").fingerprint
    for text, mine, wanted in zip(texts, json.loads(done.stdout), expected(texts), strict=True):
        same(dict(mine["tokens"]), wanted, text)
        (boosts, rest), (own, own_rest) = map(
            _apart, (compiled(Tokens.of(wanted, model)), mine["query"])
        )
        assert rest == own_rest
        assert own == pytest.approx(boosts, rel=1e-6)


def _apart(query: dict[str, Any]) -> tuple[dict[str, float], dict[str, Any]]:
    """The boost of each field, and the rest of the body."""
    boosts = {}
    for clause in query.get("bool", {}).get("should", []):
        boosts[clause["rank_feature"]["field"]] = clause["rank_feature"].pop("boost", 1.0)
    return boosts, query


def test_the_questions_in_the_file_are_right_and_odd_enough(file: Path) -> None:
    reader = Reader.of_json(file)
    tests = reader.about["tests"]
    assert [one["text"] for one in tests] == list(QUESTIONS)
    for one in tests:
        assert reader.pieces(one["text"]) == one["pieces"]
        assert reader.encode(one["text"]) == pytest.approx(one["tokens"], abs=2e-6)
    assert any(not one["pieces"] for one in tests)
    assert any(one["pieces"] and not one["tokens"] for one in tests)


def test_the_keys_are_those_of_the_page(file: Path) -> None:
    about = json.loads(file.read_text("utf-8"))
    told = re.findall(r"^\| (`.*?) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    assert {name for cell in told for name in re.findall(r"`(\w+)`", cell)} == set(about)


@pytest.mark.slow
def test_npz_is_the_same(file: Path, tmp_path: Path) -> None:
    packed = tmp_path / "questions.NPZ"
    write_question_file("starter", packed)
    with np.load(packed, allow_pickle=False) as arrays:
        about = json.loads(arrays["about"].tobytes())
        table = {name: arrays[name].tolist() for name in ("starts", "ids", "weights")}
        assert len(arrays.files) == 4
    of_json = Reader.of_json(file)
    assert about == {name: value for name, value in of_json.about.items() if name != "table"}
    assert table == of_json.arrays
    assert [path.name for path in tmp_path.iterdir()] == [packed.name]


def test_a_table_that_half_precision_does_not_hold(tmp_path: Path) -> None:
    from stair_search.encoders.question_file import _narrow

    assert _narrow("weights", np.array([0.1], np.float32)).dtype == np.float32
    assert _narrow("weights", np.array([0.5], np.float32)).dtype == np.float16
    assert _narrow("ids", np.array([70_000], np.int32)).dtype == np.int32
    assert _narrow("ids", np.array([7], np.int32)).dtype == np.uint16


def test_what_cannot_be_written(tmp_path: Path) -> None:
    there = tmp_path / "there.json"
    there.write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        write_question_file("starter", there)
    assert there.read_text() == "mine"
    for name in ("none/x.json", "none/x.npz"):
        with pytest.raises(UsageError, match="cannot be written"):
            write_question_file("starter", tmp_path / name)
    with pytest.raises(UsageError, match=r"must end in \.json or \.npz"):
        write_question_file("starter", tmp_path / "x.txt")
    with pytest.raises(ModelError, match="no model 'nothing'"):
        write_question_file("nothing", tmp_path / "x.json")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="make it light first"):
        write_question_file(str(tmp_path), tmp_path / "x.json")
