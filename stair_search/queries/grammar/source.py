"""The text of a question, and the little pieces that it is read in."""

from __future__ import annotations

import re

from stair_search.queries.grammar.asked import CURLY_QUOTES, MOST_WEIGHT
from stair_search.queries.grammar.mistakes import GrammarError
from stair_search.queries.grammar.rules import Grammar

QUOTED = re.compile(r'"((?:[^"\\]|\\.)*+)"', re.DOTALL)
_BARE = re.compile(r"\S+")
# What is not understood. A quote inside it that stands where a value could keeps its spaces.
_UNKNOWN = re.compile(rf"(?:(?<=[:=<>(]){QUOTED.pattern}|\S)++", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")

# Ends of messages.
A_NUMBER = f"it is a decimal number above 0 and at most {MOST_WEIGHT:g}"
QUOTE_IT = '; in "…" it is words'


class Source:
    """A text, what it may ask for, and whether mistakes are told (`strict`).

    text: as typed, with what no engine, log or terminal is to see replaced, one character for one,
    so that columns hold. Quotes as a telephone makes them are quotes where there is no plain one.
    """

    def __init__(self, typed: str, grammar: Grammar, strict: bool) -> None:
        self.typed = typed
        plain = typed if '"' in typed else typed.translate(CURLY_QUOTES)
        self.text = _SURROGATE.sub("\ufffd", _CONTROL.sub(" ", plain))
        self.grammar = grammar
        self.strict = strict
        self.last_parenthesis = self.text.rfind(")")

    def value(self, start: int, at: int, like: str, empty: bool = False) -> tuple[str, int] | None:
        """The text of what starts here, quoted or not, and where it ends; None if there is none.

        at: where the clause starts. empty: whether `""` is a value.
        """
        if quote := QUOTED.match(self.text, start):
            if empty or quote[1].strip():
                return unescaped(quote[1]), quote.end()
        elif self.text.startswith('"', start):
            self.unclosed_quote(start)
            return None
        elif bare := _BARE.match(self.text, start):
            return bare[0], bare.end()
        self.wrong(at, f"a value is missing; it is like {like}")
        return None

    def unknown(self, at: int) -> int:
        """Where the text ends that starts here and is only words."""
        found = _UNKNOWN.match(self.text, at)
        return found.end() if found else len(self.text)

    def unclosed_quote(self, at: int) -> None:
        self.wrong(at, r'this quote is not closed; close it with ", or write "\"" for the sign')

    def wrong(self, at: int, problem: str) -> None:
        """A mistake at the character `at`, counted from 0."""
        if self.strict:
            raise GrammarError(self.typed, at + 1, problem)


def unescaped(text: str) -> str:
    r"""What stands between quotes. `\"` is a quote, `\\` a backslash, any other backslash itself.

    >>> print(unescaped(r'C:\new \"a\"'))
    C:\new "a"
    """
    return re.sub(r'\\(["\\])', r"\1", text)


def one_spaced(text: str) -> str:
    return " ".join(text.split())


def short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}…")
