"""Text to words as the `standard` analyzer of Elasticsearch and OpenSearch splits it.

Unicode's word boundaries (UAX #29) with Lucene's additions: words and numbers, runs of South-East
Asian script, single Han and Hiragana characters, emoji; everything else is dropped. The grammar is
that of Lucene's StandardTokenizer; tests hold it against `_analyze` of real nodes.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from functools import cache
from html import escape
from typing import Any

LONGEST = 255  # UTF-16 units; the analyzer's max_token_length
# Extended_Pictographic as Lucene's tables have it; Unicode has taken symbols out of it since.
_PICTOGRAPHS = (
    r"©®\u203C\u2049\u2122\u2139\u2194-\u2199\u21A9\u21AA\u231A\u231B\u2328\u2388\u23CF"
    r"\u23E9-\u23F3\u23F8-\u23FA\u24C2\u25AA\u25AB\u25B6\u25C0\u25FB-\u25FE\u2600-\u2605"
    r"\u2607-\u2612\u2614-\u2685\u2690-\u2705\u2708-\u2712\u2714\u2716\u271D\u2721\u2728"
    r"\u2733\u2734\u2744\u2747\u274C\u274E\u2753-\u2755\u2757\u2763-\u2767\u2795-\u2797"
    r"\u27A1\u27B0\u27BF\u2934\u2935\u2B05-\u2B07\u2B1B\u2B1C\u2B50\u2B55\u3297\u3299"
    r"\U0001F000-\U0001F0FF\U0001F10D-\U0001F10F\U0001F12F\U0001F16C-\U0001F171"
    r"\U0001F17E\U0001F17F\U0001F18E\U0001F191-\U0001F19A\U0001F1AD-\U0001F1E5"
    r"\U0001F201-\U0001F20F\U0001F21A\U0001F22F\U0001F232-\U0001F23A\U0001F23C-\U0001F23F"
    r"\U0001F249-\U0001F3FA\U0001F400-\U0001F53D\U0001F546-\U0001F64F\U0001F680-\U0001F6FF"
    r"\U0001F774-\U0001F77F\U0001F7D5-\U0001F7FF\U0001F80C-\U0001F80F\U0001F848-\U0001F84F"
    r"\U0001F85A-\U0001F85F\U0001F888-\U0001F88F\U0001F8AE-\U0001F8FF\U0001F90C-\U0001F93A"
    r"\U0001F93C-\U0001F945\U0001F947-\U0001FFFD"
)


def words(text: str) -> list[str]:
    """The words of a text, lower case, in their order.

    >>> words("Don't count 3.5 foo_bar, café!")
    ["don't", 'count', '3.5', 'foo_bar', 'café']
    """
    found = (match.group() for match in _grammar().finditer(text))
    return [piece for word in found for piece in _pieces(_lower(word))]


def marked(text: str, wanted: Container[str]) -> str | None:
    """The text as HTML with these words in <em>, None where it holds none of them.

    >>> marked("A <b>dog's Dog", {"dog"})
    'A &lt;b&gt;dog&#x27;s <em>Dog</em>'
    """
    shown, end = [], 0
    for match in _grammar().finditer(text):
        if any(piece in wanted for piece in _pieces(_lower(match.group()))):
            shown += [escape(text[end : match.start()]), f"<em>{escape(match.group())}</em>"]
            end = match.end()
    return "".join([*shown, escape(text[end:])]) if shown else None


def _pieces(word: str) -> Iterator[str]:
    """A word beyond the longest is cut, not dropped."""
    if len(word) * 2 <= LONGEST or len(word.encode("utf-16-le")) // 2 <= LONGEST:
        yield word
        return
    piece, units = "", 0
    for character in word:
        size = 2 if ord(character) > 0xFFFF else 1
        if units + size > LONGEST:
            yield piece
            piece, units = "", 0
        piece, units = piece + character, units + size
    yield piece


def _lower(word: str) -> str:
    """Character by character, as Java does: str.lower() gives a final sigma another form."""
    if word.isascii():
        return word.lower()
    return "".join(character.lower()[0] for character in word)


@cache
def _grammar() -> Any:
    import regex  # knows the Unicode properties that `re` lacks; 15 ms that not all need

    extends = r"[\p{WB=Format}\p{WB=Extend}\p{WB=ZWJ}]"
    extend = f"{extends}*"
    hebrew = rf"\p{{WB=Hebrew_Letter}}{extend}"
    digit = rf"(?:\p{{WB=Numeric}}|[\uFF10-\uFF19]){extend}"
    katakana = rf"\p{{WB=Katakana}}{extend}"
    mid_letter = rf"[\p{{WB=MidLetter}}\p{{WB=MidNumLet}}\p{{WB=Single_Quote}}]{extend}"
    mid_digit = rf"[\p{{WB=MidNum}}\p{{WB=MidNumLet}}\p{{WB=Single_Quote}}]{extend}"
    low_line = rf"\p{{WB=ExtendNumLet}}{extend}"
    single_quote = rf"\p{{WB=Single_Quote}}{extend}"
    double_quote = rf"\p{{WB=Double_Quote}}{extend}"
    # Lucene's scanner takes the longest match, `regex` the first: a letter must not take what the
    # longer Hebrew form needs
    quoted = rf"{hebrew}(?:{double_quote}{hebrew}|{single_quote})"
    any_letter = rf"[\p{{WB=ALetter}}\p{{WB=Hebrew_Letter}}]{extend}"
    letter = rf"(?!{quoted}){any_letter}"
    run = (
        rf"(?:{katakana}(?:(?:{low_line})*{katakana})*"
        rf"|(?:{quoted}|{letter}(?:(?:{low_line})*{letter}|{mid_letter}{any_letter})*"
        rf"|{digit}(?:(?:(?:{low_line})*|{mid_digit}){digit})*)+)"
    )
    word = rf"(?:{low_line})*{run}(?:(?:{low_line})+{run})*(?:{low_line})*"

    sans_selector = rf"[{extends}--[\uFE0E\uFE0F]]*"
    picture = (
        rf"[{_PICTOGRAPHS}"
        r"[\p{Emoji}--[\p{WB=Regional_Indicator}\p{Emoji_Modifier}0-9#*©®™\u3030\u303D]]]"
    )
    modified = rf"(?:\p{{WB=ZWJ}}*\p{{Emoji_Modifier_Base}}{sans_selector})?\p{{Emoji_Modifier}}"
    emoji = rf"(?:{modified}{sans_selector}|\p{{WB=ZWJ}}*{picture}{sans_selector}\uFE0F?)"
    sequence = (
        rf"{emoji}(?:[\U000E0020-\U000E007E]+\U000E007F|(?:(?:\p{{WB=ZWJ}}|(?<=\p{{WB=ZWJ}})){emoji})*)"
        rf"|[0-9#*]{sans_selector}\uFE0F?\u20E3{sans_selector}"
        rf"|(?:\p{{WB=Regional_Indicator}}{extend}){{2}}"
    )
    others = (
        rf"(?:\p{{LB=Complex_Context}}{extend})+|[\p{{Script=Han}}\p{{Script=Hiragana}}]{extend}"
    )
    return regex.compile(f"{word}|{sequence}|{others}", regex.V1)
