"""Text for a terminal: nothing in it can move the cursor, and it fits the width."""

from __future__ import annotations

import shutil
import textwrap
import unicodedata


def printable(text: str) -> str:
    r"""Controls, escape sequences, text-direction marks and stray bytes shown instead of obeyed.

    >>> print(printable("a\x1b[31mb\udcff"))
    a\x1b[31mb\udcff
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def one_line(text: str) -> str:
    r"""Printable, with every run of white space as one blank.

    >>> one_line("a\n  b")
    'a b'
    """
    return printable(" ".join(text.split()))


def width(text: str) -> int:
    """Columns that the text takes: wide letters two, marks that join the letter before none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def cut(text: str, columns: int) -> str:
    """At most so many columns, with an ellipsis where something is left out.

    >>> cut("a long caption", 7)
    'a long…'
    """
    if width(text) <= columns:
        return text
    while text and width(text) > columns - 1:
        text = text[:-1]
    return f"{text.rstrip()}…"


def wrapped(text: str, indent: str = "    ") -> list[str]:
    """The text in lines that fit the terminal."""
    return textwrap.wrap(text, terminal_width(), initial_indent=indent, subsequent_indent=indent)


def terminal_width() -> int:
    """Columns to fill: the terminal's, 100 where there is none, never fewer than 40."""
    return max(40, shutil.get_terminal_size((100, 24)).columns)
