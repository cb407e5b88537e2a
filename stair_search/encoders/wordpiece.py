"""BERT's uncased tokenizer in plain Python: text to the ids of WordPiece tokens.

Equal to `tokenizers.BertWordPieceTokenizer` (a test compares them), without its dependency: clean,
split at white space, punctuation and Chinese characters, lower-case, strip accents, then cut each
word greedily into the longest known pieces. Adds no special tokens; a word that cannot be cut gives
no id rather than `[UNK]`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence

LONGEST_WORD = 100
"""Characters beyond which BERT gives a word up."""

_CACHED_WORDS = 50_000

_CHINESE = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


def _is_chinese(character: str) -> bool:
    code = ord(character)
    return any(first <= code <= last for first, last in _CHINESE)


def _is_punctuation(character: str) -> bool:
    code = ord(character)
    # BERT counts all of ASCII's symbols; to Unicode $ and ^ are no punctuation
    if 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126:
        return True
    return unicodedata.category(character).startswith("P")


def _is_dropped(character: str) -> bool:
    # unassigned code points (Cn) stay: they make their word unknown
    return character == "\ufffd" or unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co")


def split_words(text: str) -> list[str]:
    """Lower-case words and single punctuation marks.

    >>> split_words("Café-noir, 2 dogs!")
    ['cafe', '-', 'noir', ',', '2', 'dogs', '!']
    """
    spaced: list[str] = []
    for character in text:
        if character.isspace():
            # \\x1c to \\x1f are space to Python, control characters to BERT
            if character not in "\x1c\x1d\x1e\x1f\x0b\x0c\x85":
                spaced.append(" ")
        elif character.isascii() and character.isalnum():
            spaced.append(character)
        elif _is_dropped(character):
            continue
        elif _is_chinese(character):
            spaced.append(f" {character} ")
        else:
            spaced.append(character)
    plain = "".join(spaced)
    if not plain.isascii():
        plain = "".join(
            # one at a time: str.lower() on a whole word knows the final sigma, BERT does not
            character.lower()
            for character in unicodedata.normalize("NFD", plain)
            if unicodedata.category(character) != "Mn"
        )
    else:
        plain = plain.lower()
    return "".join(f" {c} " if not c.isalnum() and _is_punctuation(c) else c for c in plain).split()


class WordPiece:
    """Cuts text into known pieces.

    vocabulary: token to id; pieces inside a word start with `##`.
    """

    def __init__(self, vocabulary: Mapping[str, int]) -> None:
        self._vocabulary = vocabulary
        self._cache: dict[str, tuple[int, ...]] = {}

    @classmethod
    def of(cls, tokens: Sequence[str]) -> WordPiece:
        """For a vocabulary's tokens, whose ids are their places."""
        return cls({token: place for place, token in enumerate(tokens)})

    @property
    def size(self) -> int:
        """Tokens in the vocabulary."""
        return len(self._vocabulary)

    def encode(self, text: str) -> list[int]:
        """Ids of all pieces, in order."""
        return [piece for word in split_words(text) for piece in self.word(word)]

    def word(self, word: str) -> tuple[int, ...]:
        """Ids of one word's pieces; none where it cannot be cut into known ones."""
        pieces = self._cache.get(word)
        if pieces is None:
            pieces = self._cut(word)
            if len(self._cache) < _CACHED_WORDS:
                self._cache[word] = pieces
        return pieces

    def _cut(self, word: str) -> tuple[int, ...]:
        if len(word) > LONGEST_WORD:
            return ()
        pieces: list[int] = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            for end in range(len(word), start, -1):
                piece = self._vocabulary.get(prefix + word[start:end])
                if piece is not None:
                    pieces.append(piece)
                    start = end
                    break
            else:
                return ()
        return tuple(pieces)
