"""What a person asks in one line of text, as a tree of plain values, and that tree as text again.

It knows no engine, model, encoder or grammar: names of fields are the public ones that were typed,
tokens may be none, photos may not be there. `grammar` reads it; whoever asks the engine gives it
its meaning.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, get_args

from stair_search.errors import UsageError

Comparison = Literal["=", "!=", ">=", "<=", ">", "<"]
COMPARISONS: tuple[str, ...] = get_args(Comparison)

# Of weights, boosts and least weights. A larger one is a slip of the finger, or an attack on
# float32 sums.
MOST_WEIGHT = 1000.0

NAME = r"[^\W\d][\w.\-]*"  # what can stand before a colon as a field or a keyword

# The start of what is a photo's place without being called one: ./a, ../a, ~/a, /a/b, /a.jpg, C:\a
# and addresses. A bare name (ref.jpg) may be words, and so may the /o of "w /o".
PLACE = re.compile(
    r"(?: \.{1,2}[/\\] | ~[/\\] | [A-Za-z]:\\ | /(?=\S*[/.]) | (?i:https?|s3|gs|file):// )"
    r"(?=\S*\w)\S+",
    re.VERBOSE,
)

_CURLY = "“”„"
CURLY_QUOTES = str.maketrans(_CURLY, '"""')

# A word that would be read as something else, or refused in strict mode, if it stood outside
# quotes: a sign, a quote, a field, a weight. Whether a grammar has that field is not asked: the
# tree prints the same for all.
_OPERATOR = re.compile(
    rf"""[+\-"] | {NAME}: | \.?[0-9][^:]*:(?![0-9]) | \S*[:=<>(]" | \S*[{_CURLY}]
    | (?:AND|OR|NOT)\Z | \w+\^[0-9.]+\Z""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Words:
    """Words to be encoded together as tokens, one space between them; a negative weight takes
    them away.
    """

    text: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        _check("weight", abs(self.weight))

    def __str__(self) -> str:
        if self.weight == 1:
            words = self.text.split()
            plain = words and not any(_OPERATOR.match(word) or PLACE.match(word) for word in words)
            return self.text if plain else quoted(self.text)
        # Glued to a weight or sign, only what starts with a letter is sure to be seen as a word.
        plain = self.text[:1].isalpha() and not _OPERATOR.match(self.text)
        plain = plain and not PLACE.match(self.text) and not re.search(r"\s", self.text)
        return _factor(self.weight) + (self.text if plain else quoted(self.text))


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo to be encoded, by its path or address; a negative weight takes its tokens away."""

    place: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        _check("weight", abs(self.weight))

    def __str__(self) -> str:
        plain = PLACE.fullmatch(self.place) and not set(_CURLY) & set(self.place)
        return _factor(self.weight) + (self.place if plain else f"photo:{quoted(self.place)}")


@dataclass(frozen=True, slots=True)
class Without:
    """No photo that holds the token, at weight `minimum` or more if one is given."""

    token: str
    minimum: float | None = None

    def __post_init__(self) -> None:
        _check("least weight", self.minimum)

    def __str__(self) -> str:
        return f"without:{_token(self.token, self.minimum)}"


@dataclass(frozen=True, slots=True)
class Require:
    """Only photos that hold the token, at weight `minimum` or more if one is given."""

    token: str
    minimum: float | None = None

    def __post_init__(self) -> None:
        _check("least weight", self.minimum)

    def __str__(self) -> str:
        return f"require:{_token(self.token, self.minimum)}"


@dataclass(frozen=True, slots=True)
class Text:
    """Documents whose text field holds one of the words (all of them where `every`), by BM25.

    What was quoted is one element of `words` with spaces in it. It means its words, not a phrase,
    as long as the query tree has none. `every` is False where there is but one element.
    """

    field: str
    words: tuple[str, ...]
    every: bool = False
    boost: float = 1.0

    def __post_init__(self) -> None:
        _check("boost", self.boost)

    def __str__(self) -> str:
        words = [word if _TEXT.fullmatch(word) else quoted(word) for word in self.words]
        told = words[0] if len(words) == 1 else f"({(' OR ', ' AND ')[self.every].join(words)})"
        return f"{self.field}:{told}" + (f"^{_decimal(self.boost)}" if self.boost != 1 else "")


@dataclass(frozen=True, slots=True)
class Where:
    """Documents whose field compares so with the value, which is the text as typed."""

    field: str
    comparison: Comparison
    value: str

    def __str__(self) -> str:
        plain = re.fullmatch(rf'[^\s"=!<>~:{_CURLY}][^\s{_CURLY}]*', self.value)
        value = self.value if plain else quoted(self.value)
        return f"filter:{self.field}{self.comparison}{value}"


Part = Words | Photo | Without | Require | Text | Where


@dataclass(frozen=True, slots=True)
class Asked:
    """All parts of a question, in the order in which they were typed.

    As text it is what `parse` reads as an equal tree, with the same grammar.

    >>> str(Asked((Words("sand dunes", 2), Words("person", -1), Where("place", "=", "New York"))))
    '2:"sand dunes" -person filter:place="New York"'
    """

    parts: tuple[Part, ...] = ()

    def __str__(self) -> str:
        lines: list[str] = []
        for before, part in zip((None, *self.parts), self.parts, strict=False):
            # Words that follow on words would be encoded with them.
            joined = isinstance(before, Words) and isinstance(part, Words) and part.weight == 1
            lines.append(f"+ {part}" if joined else str(part))
        return " ".join(lines)


def quoted(text: str) -> str:
    r"""Text that is nothing but text.

    >>> print(quoted('a 12" print'))
    "a 12\" print"
    """
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def number(text: str) -> float | None:
    """A weight, boost or least weight; None for what is none.

    >>> number("0.5"), number("0"), number("1e3"), number("5000")
    (0.5, None, None, None)
    """
    if not re.fullmatch(r"[0-9]+(?:\.[0-9]+)?|\.[0-9]+", text):
        return None
    value = float(text)
    return value if 0 < value <= MOST_WEIGHT else None


_TEXT = re.compile(rf'(?!(?:AND|OR)\Z)[^\s"()^+\-{_CURLY}][^\s"()^{_CURLY}]*')


def _token(token: str, minimum: float | None) -> str:
    told = token if re.fullmatch(rf'[^\s":{_CURLY}]+', token) else quoted(token)
    return told if minimum is None else f"{told}:{_decimal(minimum)}"


def _factor(weight: float) -> str:
    sign = "-" if weight < 0 else ""
    return sign if abs(weight) == 1 else f"{sign}{_decimal(abs(weight))}:"


def _decimal(value: float) -> str:
    """Never 1e-07, which is no weight."""
    return format(Decimal(repr(float(value))), "f").removesuffix(".0")


def _check(what: str, value: float | None) -> None:
    if value is not None and not (math.isfinite(value) and 0 < value <= MOST_WEIGHT):
        raise UsageError(f"a {what} is above 0 and at most {MOST_WEIGHT:g}, not {value:g}")
