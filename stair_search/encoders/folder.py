"""A model as a folder: `model.json` and the files that it names, each with its sha256.

    model.json   name, version, description, image and text settings, files: {name: sha256}
    image.onnx   pixels uint8 [n, S, S, 3] -> weights float32 [n, T], ids int32 [T]
    text.npz     see `static_text`
    vocab.txt    one token a line

Reads and checks; runs nothing.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from stair_search.errors import ModelError

SHIPPED = Path(__file__).parent
MODEL_FILE = "model.json"


def shipped_models() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{MODEL_FILE}"))


class ImageSettings(NamedTuple):
    """size: pixels a side that the tower sees; top_k: most tokens that a photo keeps."""

    size: int
    top_k: int


class TextSettings(NamedTuple):
    """top_k: most tokens that a question keeps; ratio: none below this share of the strongest."""

    top_k: int
    ratio: float


class ModelFolder(NamedTuple):
    """fingerprint: `name-version-` and 12 hex digits that change with any byte of the model."""

    path: Path
    name: str
    fingerprint: str
    image: ImageSettings
    text: TextSettings
    files: dict[str, str]

    def file(self, name: str) -> Path:
        """A file of the model, refused where its content is not what model.json recorded."""
        path = self.path / name
        recorded = self.files.get(name)
        if recorded is None:
            raise ModelError(f"model {self.name}: its {MODEL_FILE} records no sha256 of {name}")
        try:
            found = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise ModelError(f"model {self.name}: {path}: {error.strerror or error}") from None
        if found != recorded:
            raise ModelError(
                f"model {self.name}: {path} is not the file that {MODEL_FILE} names: "
                f"sha256 {found[:12]}…, recorded {recorded[:12]}…; install it again"
            )
        return path


def open_folder(name: str) -> ModelFolder:
    """The folder of a shipped model, or the folder at a path. Raises ModelError."""
    path = SHIPPED / name if name in shipped_models() else Path(name)
    try:
        raw = (path / MODEL_FILE).read_bytes()
    except (OSError, ValueError):
        known = ", ".join(shipped_models())
        raise ModelError(
            f"no model {name!r}: known are {known}, or give a folder that holds a {MODEL_FILE}"
        ) from None
    try:
        about: dict[str, Any] = json.loads(raw)
        own = hashlib.sha256(raw).hexdigest()[:12]
        return ModelFolder(
            path,
            str(about["name"]),
            f"{about['name']}-{about['version']}-{own}",
            ImageSettings(**about["image"]),
            TextSettings(**about["text"]),
            {name: str(digest) for name, digest in dict(about["files"]).items()},
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path / MODEL_FILE} describes no model: {error!r}") from None
