"""What docs/front-ends.md says, once more and on its own: nothing of the package is imported."""

from __future__ import annotations

import base64
import json
import math
import struct
import unicodedata
from pathlib import Path
from typing import Any

SPACES = {0x9, 0xA, 0xD, 0x20, 0xA0, 0x1680, *range(0x2000, 0x200B),
          0x2028, 0x2029, 0x202F, 0x205F, 0x3000}  # fmt: skip
CHINESE = [(0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2A6DF),
           (0x2A700, 0x2B73F), (0x2B740, 0x2B81F), (0x2B920, 0x2CEAF),
           (0x2F800, 0x2FA1F)]  # fmt: skip
MARKS = [(0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E)]
CODES = {"int32": ("i", 4), "uint16": ("H", 2), "float16": ("e", 2), "float32": ("f", 4)}


def among(ranges: list[tuple[int, int]], character: str) -> bool:
    return any(first <= ord(character) <= last for first, last in ranges)


def split(text: str) -> list[str]:
    clean = ""
    for c in text:
        if ord(c) in SPACES:
            clean += " "
        elif c != "\ufffd" and unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co"):
            clean += f" {c} " if among(CHINESE, c) else c
    plain = ""
    for c in unicodedata.normalize("NFD", clean):
        for low in c.lower() if unicodedata.category(c) != "Mn" else "":
            mark = among(MARKS, low) or unicodedata.category(low)[0] == "P"
            plain += f" {low} " if mark else low
    return [word for word in plain.split(" ") if word]


def single(value: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


class Reader:
    def __init__(self, about: dict[str, Any], arrays: dict[str, list[Any]]) -> None:
        assert (about["format"], about["version"]) == ("stair-search question encoder", 1)
        self.about, self.arrays = about, arrays
        self.ids = {token: place for place, token in enumerate(about["vocabulary"])}

    @classmethod
    def of_json(cls, file: Path) -> Reader:
        about = json.loads(file.read_text("utf-8"))
        arrays = {}
        for name, array in about["table"].items():
            (code, size), raw = CODES[array["type"]], base64.b64decode(array["base64"])
            arrays[name] = list(struct.unpack(f"<{len(raw) // size}{code}", raw))
        return cls(about, arrays)

    def pieces(self, text: str) -> list[int]:
        return [piece for word in split(text) for piece in self.cut(word)]

    def cut(self, word: str) -> list[int]:
        found: list[int] = []
        start = 0 if len(word) <= self.about["words"]["longest"] else None
        while start is not None and start < len(word):
            inside = self.about["words"]["inside"] if start else ""
            ends = range(len(word), start, -1)
            end = next((end for end in ends if inside + word[start:end] in self.ids), None)
            if end is None:
                return []
            found.append(self.ids[inside + word[start:end]])
            start = end
        return found

    def encode(self, text: str) -> dict[str, float]:
        starts, ids, weights = (self.arrays[name] for name in ("starts", "ids", "weights"))
        sums: dict[int, float] = {}
        for row in sorted(set(self.pieces(text))):
            for at in range(starts[row], starts[row + 1]):
                sums[ids[at]] = sums.get(ids[at], 0.0) + weights[at]
        prune = self.about["prune"]
        kept = [(-single(total), one) for one, total in sums.items() if total > prune["above"]]
        found = [(one, -weight) for weight, one in sorted(kept)]
        if not found:
            return {}
        least = single(single(prune["ratio"]) * found[0][1])
        found = [one for one in found if one[1] >= least][: prune["top_k"]]
        scale = single(1 / math.sqrt(sum(weight**2 for _, weight in found)))
        return {self.about["vocabulary"][one]: single(weight * scale) for one, weight in found}
