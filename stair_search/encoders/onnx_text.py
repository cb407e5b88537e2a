"""Text to tokens by a network on ONNX Runtime: word order counts, every word costs time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stair_search.errors import ModelError
from stair_search.tokens import TokenWeights

from .folder import TextSettings
from .session import check_ids, open_session, strongest
from .wordpiece import WordPiece, split_words

MISSING = "the neural text encoder needs {}: pip install 'stair-search[starter]'"
BATCH = 32


class Sentences:
    """Text to the ids that a BERT tower is given: `[CLS] prompt text [SEP]`, cut to `length`.

    Raises ModelError for a vocabulary without BERT's special tokens.
    """

    def __init__(self, vocabulary: Mapping[str, int], length: int, prompt: str = "") -> None:
        missing = [name for name in ("[CLS]", "[SEP]", "[UNK]") if name not in vocabulary]
        if missing:
            raise ModelError(f"the vocabulary has no {', '.join(missing)}: it is not BERT's")
        self._pieces = WordPiece(vocabulary)
        self._start, self._end = vocabulary["[CLS]"], vocabulary["[SEP]"]
        self._unknown = vocabulary["[UNK]"]
        self._length, self._prompt = length, prompt

    def says_nothing(self, text: str) -> bool:
        """Whether no word of it is known."""
        return not self._pieces.encode(text)

    def encode(self, text: str, prompted: bool = True) -> list[int]:
        """prompted: False for a text without the prompt before it."""
        inside: list[int] = []
        for word in split_words(self._prompt + text if prompted else text):
            inside += self._pieces.word(word) or (self._unknown,)
        return [self._start, *inside[: self._length - 2], self._end]


class OnnxText:
    """A session over `text.onnx`. weights: the folder of those that it does not hold."""

    def __init__(
        self,
        path: Path,
        vocabulary: Mapping[str, int],
        settings: TextSettings,
        *,
        threads: int | None = None,
        device: str | None = None,
        weights: Path | None = None,
    ) -> None:
        self._sentences = Sentences(vocabulary, settings.length, settings.prompt)
        self._session: Any = open_session(
            path,
            ["tokens", "mask"],
            threads=threads,
            device=device,
            missing=MISSING,
            weights=weights,
        )
        self._path, self._settings, self._vocabulary = path, settings, len(vocabulary)
        self._checked = False

    def encode(self, text: str) -> TokenWeights:
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str], prompted: bool = True) -> list[TokenWeights]:
        """At most `top_k` tokens each at Euclidean length 1; none for a text that says nothing.

        prompted: see `Encoder.encode_texts`.
        """
        found = [TokenWeights.empty()] * len(texts)
        inputs = {
            at: self._sentences.encode(text, prompted)
            for at, text in enumerate(texts)
            if not self._sentences.says_nothing(text)
        }
        # texts of one length side by side: less padding
        order = sorted(inputs, key=lambda at: len(inputs[at]))
        for start in range(0, len(order), BATCH):
            part = order[start : start + BATCH]
            for at, tokens in zip(part, self._run([inputs[at] for at in part]), strict=True):
                found[at] = tokens
        return found

    def _run(self, inputs: Sequence[Sequence[int]]) -> list[TokenWeights]:
        tokens, mask = padded(inputs)
        weights, ids = self._session.run(["weights", "ids"], {"tokens": tokens, "mask": mask})
        if not self._checked:
            check_ids(self._path, ids, weights.shape[1], self._vocabulary)
            self._checked = True
        return strongest(weights, ids, self._settings.top_k)


def padded(rows: Sequence[Sequence[int]]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Rows of ids as int64 [n, t], zeros after each, and what is no padding, bool [n, t]."""
    longest = max(map(len, rows))
    tokens = np.zeros((len(rows), longest), np.int64)
    mask = np.zeros((len(rows), longest), np.bool_)
    for place, row in enumerate(rows):
        tokens[place, : len(row)] = row
        mask[place, : len(row)] = True
    return tokens, mask
