"""WordPiece in plain Python against the tokenizers library."""

from __future__ import annotations

import random
import sys
import unicodedata
from functools import cache
from pathlib import Path

import pytest

import stair_search.encoders
from stair_search.encoders.wordpiece import WordPiece, split_words
from stair_search.vocabulary import Vocabulary

VOCAB = Path(stair_search.encoders.__file__).parent / "starter" / "vocab.txt"
UNKNOWN = 100

HOSTILE = [
    "",
    " \t\n\r ",
    "A dog's life -- it's (mostly) good!",
    "Café CRÈME brûlée, naïve Ångström",
    "ΣΊΣΥΦΟΣ και ΟΔΟΣ",
    "İstanbul ırmak ß ẞ ﬁne ǅ",
    "犬が走っている a狗b 강아지",
    "snow☃man 🐕‍🦺 👩🏽‍🚀 🇫🇷",
    "zero\u200bwidth\u200djoin\u00adsoft\ufeffbom\ufffdreplace",
    "nul\0in\x01side\x7f\x85 \x1cfile\x1fsep\x0b\x0c",
    "e\u0301 a\u0308\u0323 \u0301alone",
    "$100 ^_^ ~`|<>= a+b=c @home #tag 50%",
    "##ing [unused5]",
    "x" * 100 + " " + "x" * 101,
    "ab" * 400,
    "\u2028line\u2029para\u3000wide\u00a0nbsp\u1680ogham",
    "٣٤ ² ½ Ⅷ",
    "unaffable electroencephalogram pneumonoultramicroscopic",
]


@cache
def wordpiece() -> WordPiece:
    tokens = Vocabulary.from_file(VOCAB).tokens
    return WordPiece({token: i for i, token in enumerate(tokens)})


def hostile() -> list[str]:
    chance = random.Random(7)
    # tables of Unicode differ between Python and tokenizers: only what was old when both were made
    usual = [
        chr(code)
        for code in range(0x3000)
        if not unicodedata.category(chr(code)).startswith(("Cn", "Cs"))
        and unicodedata.ucd_3_2_0.category(chr(code)) == unicodedata.category(chr(code))
    ]
    return HOSTILE + ["".join(chance.choices(usual, k=60)) for _ in range(1000)]


@pytest.mark.train
def test_it_cuts_as_the_tokenizers_library() -> None:
    from tokenizers import BertWordPieceTokenizer

    library = BertWordPieceTokenizer(str(VOCAB), lowercase=True)
    for text in hostile():
        expected = library.encode(text, add_special_tokens=False).ids
        assert wordpiece().encode(text) == [i for i in expected if i != UNKNOWN], repr(text)


def test_words_and_pieces() -> None:
    tokens = Vocabulary.from_file(VOCAB).tokens
    assert [tokens[i] for i in wordpiece().encode("Unaffable DOGS, très bien")] == [
        *("una", "##ffa", "##ble"),
        *("dogs", ",", "tres", "bien"),
    ]


def test_the_names_of_special_tokens_are_plain_text() -> None:
    assert split_words("[CLS]") == ["[", "cls", "]"]


def test_a_final_sigma_is_a_sigma() -> None:
    assert split_words("ΟΔΟΣ") == ["οδοσ"]


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\0" * 50, "\U0010ffff"])
def test_what_is_no_text_does_no_harm(text: str) -> None:
    wordpiece().encode(text)


def test_a_long_text_is_quick_and_the_cache_has_an_end() -> None:
    pieces = WordPiece({"a": 0})
    pieces.encode(" ".join(f"a{i}" for i in range(60_000)))
    assert sys.getsizeof(pieces._cache) < 10 * 2**20
