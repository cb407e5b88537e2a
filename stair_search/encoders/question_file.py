"""A static text encoder as one file, for front ends in other languages. docs/front-ends.md says
what is in it, and how a question's words become tokens by it.

    .json   all of it; the table's arrays as base64 of little-endian numbers
    .npz    arrays starts, ids, weights; and about: the JSON without them, as UTF-8 bytes

Holds questions with their tokens, by which a port checks itself.
"""

from __future__ import annotations

import base64
import io
import json
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stair_search.errors import ModelError, UsageError
from stair_search.files import whole_file

from .folder import MODEL_FILE, open_folder
from .light import load_light
from .static_text import LEAST_SUM
from .wordpiece import LONGEST_WORD, WordPiece

FORMAT = "stair-search question encoder"
VERSION = 1
SUFFIXES = (".json", ".npz")

TYPES = {"starts": "<i4", "ids": "<u2", "weights": "<f2"}
WIDE = {"ids": "<i4", "weights": "<f4"}  # of what the types above cannot hold
NAMES = {"<i4": "int32", "<u2": "uint16", "<f2": "float16", "<f4": "float32"}

QUESTIONS = (
    "dog on the beach",
    "A man rides a wave on a surfboard.",
    "two puppies",
    "red red bus bus",
    "unaffable snowboarders frisbee",
    "the of and",
    "",
    "Café CRÈME brûlée, naïve Ångström",
    "e\u0301 dogs\u0301 \u0301alone",
    "ΣΊΣΥΦΟΣ και ΟΔΟΣ",
    "İstanbul ß ﬁne cat",
    "a狗dog 犬が走っている",
    "snow☃man dog 🐕‍🦺 cat 👩🏽‍🚀",
    "zero\u200bwidth do\u00adg\ufeffs\ufffd sea",
    "nul\0in do\x01g\x7f \x1cca\x1ft\x0b\x85s bus",
    "\u2028beach\u2029sea\u3000dog\u00a0cat\u1680bus\u205ftree",
    "$100 ^_^ ~`|<>= red+bus=c @home #tag 50%",
    "##ing [UNK] [CLS] ... __ constructor",
    "it\u2019s \u201cgood\u201d \u2013 isn't it\u2026",
    "dog " + "x" * 100 + " " + "x" * 101 + " cat",
    "٣٤ ² ½ Ⅷ street",
)


def write_question_file(model: str, out: Path) -> str:
    """Writes the file and returns the model's fingerprint.

    model: a name or a light folder, as for `load_encoder`. Raises ModelError where it is none or
    has no static text encoder, UsageError where `out` is there or is of another kind.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{out}: the name must end in {' or '.join(SUFFIXES)}")
    if out.exists():
        raise UsageError(f"{out} is there already: name another file")
    about, arrays = question_file(model)
    if out.suffix.lower() == ".json":
        table = {name: _as_text(array) for name, array in arrays.items()}
        with whole_file(out, UsageError) as file:
            json.dump({**about, "table": table}, file, ensure_ascii=True, indent=0)
        return str(about["model"]["fingerprint"])
    raw = np.frombuffer(json.dumps(about).encode(), np.uint8)
    packed = io.BytesIO()
    np.savez_compressed(packed, allow_pickle=False, about=raw, **arrays)
    part = out.with_name(f".{out.name}.part")
    try:
        part.write_bytes(packed.getvalue())
        part.replace(out)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UsageError(f"{out} cannot be written: {error.strerror or error}") from None
    return str(about["model"]["fingerprint"])


def question_file(model: str) -> tuple[dict[str, Any], Mapping[str, NDArray[Any]]]:
    """What the file says, and the three arrays of the table."""
    if (Path(model) / "config.json").is_file() and not (Path(model) / MODEL_FILE).exists():
        raise ModelError(
            f"{model} is a model in torch: make it light first, with a static text encoder: "
            f"stair-search export {model} --out DIR --captions FILE"
        )
    encoder = load_light(model, None, None, "static")
    vocabulary, settings = encoder.vocabulary, open_folder(model).text
    pieces = WordPiece.of(vocabulary.tokens)
    tests = [
        {
            "text": text,
            "pieces": pieces.encode(text),
            "tokens": {t: round(w, 9) for t, w in vocabulary.to_dict(tokens).items()},
        }
        for text, tokens in zip(QUESTIONS, encoder.encode_texts(QUESTIONS), strict=True)
    ]
    about = {
        "format": FORMAT,
        "version": VERSION,
        "model": {"name": encoder.name, "fingerprint": encoder.fingerprint},
        "unicode": unicodedata.unidata_version,
        "words": {"longest": LONGEST_WORD, "inside": "##"},
        "prune": {"above": LEAST_SUM, "ratio": settings.ratio, "top_k": settings.top_k},
        "escape": {".": "__"},
        "vocabulary": list(vocabulary.tokens),
        "tests": tests,
    }
    with np.load(open_folder(model).file("text.npz"), allow_pickle=False) as table:
        return about, {name: _narrow(name, table[name]) for name in TYPES}


def _narrow(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """In the type of the format, or in the wider one where that would change a number."""
    narrow = array.astype(TYPES[name])
    if name in WIDE and not np.array_equal(narrow.astype(array.dtype), array):
        return array.astype(WIDE[name])
    return narrow


def _as_text(array: NDArray[Any]) -> dict[str, str]:
    return {"type": NAMES[array.dtype.str], "base64": base64.b64encode(array.tobytes()).decode()}
