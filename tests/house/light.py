"""Imports whole rooms of the package in a fresh Python where heavy packages cannot be had."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HEAVY = ["torch", "transformers", "ray", "onnxruntime", "onnx", "PIL", "pyarrow", "scipy",
         "safetensors", "tokenizers", "skimage", "sklearn", "boto3", "aiohttp",
         "prometheus_client", "google"]  # fmt: skip
LIGHT = ["errors", "fields", "pixels", "tokens", "vocabulary", "queries", "engines", "mappings"]

WITHOUT = """
import importlib, json, pkgutil, sys

heavy, rooms, then = json.loads(sys.argv[1])

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in heavy:
            raise ModuleNotFoundError(f"{name} is blocked: the light core must not need it")

sys.meta_path.insert(0, Blocker())
import stair_search

for room in rooms:
    module = importlib.import_module(f"stair_search.{room}")
    for found in pkgutil.walk_packages(getattr(module, "__path__", []), module.__name__ + "."):
        importlib.import_module(found.name)
exec(then)
"""


def without_the_heavy(
    rooms: list[str], then: str = "", python: str = sys.executable, cwd: Path | None = None
) -> str:
    """Import every module of these rooms, then run `then`; return what it printed."""
    done = subprocess.run(
        [python, "-c", WITHOUT, json.dumps([HEAVY, rooms, then])],
        cwd=cwd,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
