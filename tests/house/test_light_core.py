"""An application server that only asks questions installs no deep-learning stack."""

import json
import subprocess
import sys

import pytest

HEAVY = ["torch", "transformers", "ray", "onnxruntime", "onnx", "PIL", "pyarrow", "scipy",
         "safetensors", "tokenizers", "skimage", "sklearn", "boto3"]  # fmt: skip
LIGHT = ["errors", "fields", "tokens", "vocabulary", "queries", "engines", "mappings"]

WITHOUT = """
import importlib, json, pkgutil, sys

heavy, light, then = json.loads(sys.argv[1])

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in heavy:
            raise ModuleNotFoundError(f"{name} is blocked: the light core must not need it")

sys.meta_path.insert(0, Blocker())
import stair_search

for room in light:
    module = importlib.import_module(f"stair_search.{room}")
    for found in pkgutil.walk_packages(getattr(module, "__path__", []), module.__name__ + "."):
        importlib.import_module(found.name)
exec(then)
"""


def without_the_heavy(light: list[str], then: str = "") -> str:
    """Import all modules of these rooms in a fresh Python where heavy packages cannot be had."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, json.dumps([HEAVY, light, then])],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("room", LIGHT)
def test_every_module_of_the_room_imports_without_them(room: str) -> None:
    without_the_heavy([room])


def test_the_static_encoder_turns_a_question_into_tokens_without_them() -> None:
    then = """
from stair_search import load_encoder
print(len(load_encoder("starter").encode_text("a dog on the beach")))
"""
    assert int(without_the_heavy([], then)) > 0


def test_the_command_line_starts_without_them() -> None:
    without_the_heavy([], "from stair_search.cli import main")


def test_the_blocker_blocks() -> None:
    with pytest.raises(AssertionError, match="PIL is blocked"):
        without_the_heavy([], "import PIL")
