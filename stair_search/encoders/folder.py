"""A light model as a folder: `model.json` and the files that it names, each with its sha256.

    model.json   name, version, description, image and text settings, files: {name: sha256}
    image.onnx   pixels uint8 [n, S, S, 3] -> weights float32 [n, T], ids int32 [T]
    text.npz     the static text encoder, see `static_text`
    text.onnx    the neural one: tokens int64 [n, t], mask bool [n, t] -> weights float32 [n, T],
                 ids int32 [T]; of the two at least one
    vocab.txt    one token a line

Weights of text.onnx may lie outside the folder, in an installed package that model.json names with
the file's sha256 (`text.tower`): a published network need not be shipped twice. model.json may
record a `fingerprint`: that of the torch model which was exported, so that an index which the one
form wrote can be asked with the other. Reads and checks; runs nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast, get_args

from stair_search.errors import ModelError
from stair_search.pixels import Resample, Resize, View

SHIPPED = Path(__file__).parent
MODEL_FILE = "model.json"
TEXT_FILES = {"static": "text.npz", "neural": "text.onnx"}
"""Text encoder -> the file that it is in."""

LARGEST_IMAGE = 4096
LONGEST_TEXT = 4096


def shipped_models() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{MODEL_FILE}"))


class ImageSettings(NamedTuple):
    """top_k: most tokens that a photo keeps, None: all."""

    view: View
    top_k: int | None


class Source(NamedTuple):
    """A file inside an installed package, `file` being its path from the package's folder."""

    package: str
    file: str
    sha256: str


class TextSettings(NamedTuple):
    """default: "static" or "neural". top_k: most tokens that a question keeps, None for all.

    ratio: of the static encoder, that keeps none below this share of the strongest. Of the neural
    one: length, of a text in tokens, what is beyond is cut off; prompt, put before each text;
    tower, where the weights are that text.onnx lacks.
    """

    top_k: int | None
    ratio: float
    default: str
    length: int
    prompt: str
    tower: Source | None


class ModelFolder(NamedTuple):
    """fingerprint: `name-version-` and 12 hex digits that change with any byte of the model, or
    what model.json records.
    """

    path: Path
    name: str
    fingerprint: str
    image: ImageSettings
    text: TextSettings
    files: dict[str, str]

    @property
    def text_encoders(self) -> list[str]:
        """What there is of "static" and "neural"."""
        return [kind for kind, file in TEXT_FILES.items() if file in self.files]

    def file(self, name: str) -> Path:
        """A file of the model, refused where its content is not what model.json recorded."""
        path = self.path / name
        recorded = self.files.get(name)
        if recorded is None:
            raise ModelError(f"model {self.name}: its {MODEL_FILE} records no sha256 of {name}")
        try:
            found = sha256(path)
        except OSError as error:
            raise ModelError(f"model {self.name}: {path}: {error.strerror or error}") from None
        if found != recorded:
            raise ModelError(
                f"model {self.name}: {path} is not the file that {MODEL_FILE} names: "
                f"sha256 {found[:12]}…, recorded {recorded[:12]}…; install it again"
            )
        return path


def sha256(path: Path) -> str:
    """Hex digest of a file's content. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_folder(name: str) -> ModelFolder:
    """The folder of a shipped model, or the folder at a path. Raises ModelError."""
    path = SHIPPED / name if name in shipped_models() else Path(name)
    try:
        raw = (path / MODEL_FILE).read_bytes()
    except (OSError, ValueError):
        raise ModelError(
            f"no model {name!r}: known are {', '.join(shipped_models())}, "
            f"or give a folder that holds a {MODEL_FILE}"
        ) from None
    try:
        about: dict[str, Any] = json.loads(raw)
        return _folder(path, about, hashlib.sha256(raw).hexdigest()[:12])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(f"{path / MODEL_FILE} describes no model: {error!r}") from None


def _folder(path: Path, about: Mapping[str, Any], own: str) -> ModelFolder:
    files = {str(name): str(digest) for name, digest in dict(about["files"]).items()}
    for name in files:
        if name in ("", ".", "..") or set(name) & set("/\\:\0"):
            raise ValueError(f"files: {name!r} is no name of a file beside {MODEL_FILE}")
    folder = ModelFolder(
        path,
        str(about["name"]),
        str(about.get("fingerprint") or f"{about['name']}-{about['version']}-{own}"),
        _image(**about["image"]),
        _text(**about["text"]),
        files,
    )
    if folder.text.default not in TEXT_FILES:
        raise ValueError(f"text: default is {folder.text.default!r}, not static or neural")
    if TEXT_FILES[folder.text.default] not in files:
        raise ValueError(
            f"files: no sha256 of {TEXT_FILES[folder.text.default]}, the default text encoder"
        )
    return folder


def _image(
    *,
    size: int,
    top_k: int | None,
    resize: str = "squash",
    crop: float = 1.0,
    resample: str = "bicubic",
) -> ImageSettings:
    for name, value, known in (("resize", resize, Resize), ("resample", resample, Resample)):
        if value not in get_args(known):
            raise ValueError(f"image: {name} is {value!r}, not of {', '.join(get_args(known))}")
    if not 0 < crop <= 1:
        raise ValueError(f"image: crop is a share above 0 and at most 1, not {crop}")
    view = View(
        _whole("image: size", size, LARGEST_IMAGE),
        cast(Resize, resize),
        float(crop),
        cast(Resample, resample),
    )
    return ImageSettings(view, _top_k("image: top_k", top_k))


def _text(
    *,
    top_k: int | None,
    ratio: float,
    default: str = "static",
    length: int = 76,
    prompt: str = "",
    tower: Mapping[str, str] | None = None,
) -> TextSettings:
    if not 0 <= ratio <= 1:
        raise ValueError(f"text: ratio is a share from 0 to 1, not {ratio}")
    return TextSettings(
        _top_k("text: top_k", top_k),
        float(ratio),
        default,
        _whole("text: length", length, LONGEST_TEXT, least=3),
        str(prompt),
        None if tower is None else Source(**tower),
    )


def _top_k(name: str, value: int | None) -> int | None:
    return None if value is None else _whole(name, value, 2**31 - 1)


def _whole(name: str, value: int, most: int, least: int = 1) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{name} is a whole number from {least} to {most}, not {value!r}")
    return value
