"""A mistake in the text of a question, shown where it stands."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Collection
from typing import Any

from stair_search.errors import UsageError

_SHOWN = 36  # characters of the text on each side of the mistake


class GrammarError(UsageError):
    """`problem` says what is wrong at `column` (1-based, in characters) of `text`, and the remedy;
    `pointed` shows it, in two printable lines.

    >>> print(GrammarError('dog "red car', 5, "this quote is not closed; close it"))
    this quote is not closed; close it
      dog "red car
          ^
    """

    def __init__(self, text: str, column: int, problem: str) -> None:
        self.text, self.column, self.problem = text, column, problem
        self.pointed = _pointed(text, column)
        super().__init__(f"{printable(problem)}\n{self.pointed}")

    def __reduce__(self) -> tuple[Any, ...]:
        return GrammarError, (self.text, self.column, self.problem)


def printable(text: str) -> str:
    """Each character that moves a terminal's cursor, turns the reading direction or cannot be
    written as UTF-8 becomes one that does not.
    """
    return "".join(char if char.isprintable() else "�" for char in text)


def near(name: str, names: Collection[str]) -> str:
    """A hint at names for one that is none.

    >>> near("captoin", {"caption", "title"})
    '; near it: caption'
    """
    # Cut: the time is quadratic in the length.
    found = difflib.get_close_matches(name[:40].lower(), sorted(names), 3)
    if found:
        return f"; near it: {', '.join(found)}"
    known = sorted(names)
    more = f" and {len(known) - 8} more" if len(known) > 8 else ""
    return f"; there is {', '.join(known[:8])}{more}" if known else "; there is none"


def _pointed(text: str, column: int) -> str:
    first, last = max(column - 1 - _SHOWN, 0), column + _SHOWN
    before = ("…" if first else "") + printable(text[first : column - 1])
    after = printable(text[column - 1 : last]) + ("…" if last < len(text) else "")
    return f"  {before}{after}\n  {' ' * _cells(before)}^"


def _cells(text: str) -> int:
    """How many columns of a terminal it takes."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.combining(char) > 0 for char in text)
