"""`without:leash`, `require:dog`, `caption:(sunset OR dusk)^2`, `filter:licence=cc0`.

Each function gets where its clause starts (`at`) and where its value does (`start`), and returns
what the clause says and where it ends. No part: it is not understood, and words up to there.
"""

from __future__ import annotations

import re
from typing import cast

from stair_search.queries.grammar.asked import (
    COMPARISONS,
    NAME,
    Comparison,
    Part,
    Require,
    Text,
    Where,
    Without,
    number,
)
from stair_search.queries.grammar.mistakes import near
from stair_search.queries.grammar.rules import KEYWORDS
from stair_search.queries.grammar.source import (
    A_NUMBER,
    QUOTE_IT,
    QUOTED,
    Source,
    one_spaced,
    short,
    unescaped,
)

Clause = tuple[Part | None, int]

NAMED = re.compile(rf"({NAME}):")
_LEAST = re.compile(r":(\S*)")
_BOOST = re.compile(r"\^(\S*)")
_FILTER = re.compile(rf"({NAME})([=!<>~:]+)")
_GROUPED = re.compile(rf"\s*+(?:{QUOTED.pattern}|([^\s()]+))", re.DOTALL)
_CLOSE = re.compile(r"\s*+\)")


def clause(source: Source, at: int) -> Clause | None:
    """None where no clause starts."""
    named = NAMED.match(source.text, at)
    if not named:
        return None
    name, start = named[1], named.end()
    # A telephone starts each sentence with a capital: "Without:leash" must not look for leashes.
    keyword = name.lower()
    if name in source.grammar.text_fields:
        return _text(source, name, at, start)
    if keyword in ("without", "require"):
        return _token(source, Without if keyword == "without" else Require, at, start)
    if keyword == "filter":
        return _filter(source, at, start)
    if keyword != "photo" and re.match(r'[\w"(]', source.text[start : start + 1]):
        names = {*source.grammar.text_fields, *KEYWORDS}
        if not source.grammar.photos:
            names.remove("photo")
        source.wrong(at, f"there is no {short(name)} here{near(name, names)}{QUOTE_IT}")
    return None


def _token(source: Source, kind: type[Without | Require], at: int, start: int) -> Clause:
    value = source.value(start, at, f"{kind.__name__.lower()}:dog")
    if not value:
        return None, source.unknown(at)
    token, end = value
    behind = end
    if source.text[start] == '"':
        found = _LEAST.match(source.text, end)
        least = found[1] if found else ""
        behind = found.end() if found else end
        rest = token
    else:
        # A colon can be a token, and the least weight stands behind the last one.
        rest, _, least = token.rpartition(":")
        least = least if rest else ""
    minimum = number(least)
    if minimum is not None:
        return kind(one_spaced(rest), minimum), behind
    if least:
        source.wrong(behind - len(least), f"{short(least)} is no least weight; {A_NUMBER}")
    return kind(one_spaced(token)), end


def _text(source: Source, field: str, at: int, start: int) -> Clause:
    like = f"{field}:sunset"
    if source.text.startswith("(", start):
        return _group(source, field, at, start)
    value = source.value(start, at, like)
    if not value:
        return None, source.unknown(at)
    word, end = value
    if source.text[start] == '"':
        boost, end = _boost(source, end)
        return Text(field, (one_spaced(word),), False, boost), end
    before, hat, after = word.rpartition("^")
    found = number(after) if before else None
    if found is not None:
        return Text(field, (before,), False, found), end
    if hat:
        source.wrong(end - len(after) - 1, f"{short(after)} is no boost; {A_NUMBER}{QUOTE_IT}")
    return Text(field, (word,)), end


def _group(source: Source, field: str, at: int, start: int) -> Clause:
    """Words in parentheses. Groups are not nested: one that opens inside ends this one."""
    like = f"{field}:(sunset OR dusk)"
    words: list[str] = []
    between: list[str] = []  # "AND", "OR", or "" where words follow on each other
    operator, end = "", start + 1
    if start > source.last_parenthesis:  # else a text full of them took quadratic time
        source.wrong(start, f"this parenthesis is not closed; it is like {like}")
        return None, source.unknown(at)
    while not (closed := _CLOSE.match(source.text, end)):
        item = _GROUPED.match(source.text, end)
        if not item:
            source.wrong(
                start, f"this parenthesis is not closed before the next; it is like {like}"
            )
            return None, source.unknown(at)
        quote, word = item.groups()
        first, end = item.start() + len(item[0]) - len(item[0].lstrip()), item.end()
        if word in ("AND", "OR"):
            if operator or not words:
                source.wrong(first, f"{word} stands between two words{QUOTE_IT}")
            operator = word
            continue
        if word and word[0] in "+-":
            source.wrong(first, f"there is no {word[0]} in parentheses{QUOTE_IT}")
        if word and word[0] == '"':
            source.unclosed_quote(first)
        text = word or one_spaced(unescaped(quote))
        if text:
            if words:
                between.append(operator)
            words.append(text)
            operator = ""
    end = closed.end()
    if operator:
        source.wrong(end - 1, f"a word is missing behind {operator}")
    if not words:
        source.wrong(start, f"nothing is in these parentheses; it is like {like}")
        return None, end
    every = "AND" in between
    if every and set(between) != {"AND"}:
        source.wrong(start, "words are joined by AND or by OR, not by both; write two clauses")
        return None, end
    boost, end = _boost(source, end)
    return Text(field, tuple(words), every, boost), end


def _boost(source: Source, at: int) -> tuple[float, int]:
    """Of the clause that ended here, and where it ends with it."""
    found = _BOOST.match(source.text, at)
    if not found:
        return 1.0, at
    boost = number(found[1])
    if boost is None:
        source.wrong(at, f"{short(found[1])} is no boost; {A_NUMBER}")
        return 1.0, at
    return boost, found.end()


def _filter(source: Source, at: int, start: int) -> Clause:
    like, signs = "filter:licence=cc0", " ".join(COMPARISONS)
    found = _FILTER.match(source.text, start)
    if not found:
        source.wrong(at, f"a filter is a field, one of {signs} and a value, like {like}")
        return None, source.unknown(at)
    name, comparison = found.groups()
    if name not in source.grammar.filter_fields:
        hint = near(name, source.grammar.filter_fields)
        source.wrong(start, f"there is no field {short(name)} to filter by{hint}")
        return None, source.unknown(at)
    if comparison not in COMPARISONS:
        source.wrong(found.start(2), f"{comparison[:9]!r} compares nothing; there is {signs}")
        return None, source.unknown(at)
    value = source.value(found.end(), at, like, empty=True)
    if not value:
        return None, source.unknown(at)
    return Where(name, cast(Comparison, comparison), value[0]), value[1]
