"""The text of a question, item by item.

From left to right over items that spaces separate, in time linear in the text: nothing is looked
ahead for but the end of a quote or a parenthesis. A parsing library has one grammar and one error;
here most texts are meant to fail a rule and be words.
"""

from __future__ import annotations

import re

from stair_search.errors import UsageError
from stair_search.queries.grammar.asked import (
    PLACE,
    Asked,
    Part,
    Photo,
    Text,
    Where,
    Words,
    number,
)
from stair_search.queries.grammar.clauses import NAMED, clause
from stair_search.queries.grammar.rules import Grammar
from stair_search.queries.grammar.source import (
    A_NUMBER,
    QUOTE_IT,
    QUOTED,
    Source,
    one_spaced,
    short,
    unescaped,
)

MOST_CHARACTERS = 4096
MOST_PARTS = 256  # and words of text fields, each of which is a clause: engines take 1,024

_START = re.compile(r"\S")
_OPERATORS = {
    "AND": "all words are asked for together, and require:TOKEN demands one",
    "OR": "of words that stand side by side any may match",
    "NOT": "without:TOKEN leaves photos out, - takes words away",
}
_BOOSTED = re.compile(r"\w+\^[0-9.]+")
_WEIGHT = re.compile(r'(\.?[0-9][^\s:"]*):')


def parse(text: str, grammar: Grammar, strict: bool = False) -> Asked:
    """What the text asks for.

    UsageError where it is too long; with `strict`, a GrammarError at the first thing that looks
    like more than words and is not understood.

    >>> [str(part) for part in parse('red car -person foo:bar "- x"', Grammar()).parts]
    ['red car', '-person', '"foo:bar - x"']
    """
    _limit("characters", len(text), MOST_CHARACTERS)
    asked = Asked(_Parser(Source(text, grammar, strict)).parts())
    count = sum(len(part.words) if isinstance(part, Text) else 1 for part in asked.parts)
    _limit("parts (each word of a text field is one)", count, MOST_PARTS)
    # What is printed can be read again.
    _limit("characters with all quotes that it needs", len(str(asked)), MOST_CHARACTERS)
    return asked


class _Parser:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.text = source.text
        self.found: list[Part] = []
        self.run: list[str] = []  # plain words that are encoded together
        self.run_sign = ""  # … and the sign before them
        self.sign = ""  # one that nothing has followed yet
        self.sign_at = 0

    def parts(self) -> tuple[Part, ...]:
        at = 0
        while start := _START.search(self.text, at):
            at = self.item(start.start())
        self.end_run()
        self.end_sign()
        return tuple(self.found)

    def item(self, start: int) -> int:
        """Takes the sign, part or plain word that starts here. Returns where it ends."""
        sign = self.text[start] if self.text[start] in "+-" else ""
        if sign and not self.text[start + 1 : start + 2].strip():
            self.end_run()
            self.new_sign(sign, start)
            return start + 1
        at = start
        if sign and self.operand(start + 1):
            self.new_sign(sign, start)
            at += 1
        elif sign:
            self.source.wrong(start, f"{sign} is glued to no word, quote or photo{QUOTE_IT}")
        weight, at = self.weight(at)
        if photo := self.photo(at):
            place, end = photo
            self.end_run()
            self.found.append(Photo(place, self.factor(weight)))
            return end
        if told := clause(self.source, at):
            part, end = told
            if part and weight is None and self.sign != "-":
                self.end_run()
                self.sign = ""  # a plus changes nothing
                self.found.append(part)
                return end
            if part:
                self.refuse_factor(self.sign_at if self.sign else start, part, weight)
            words = self.text[at:end]
        elif quote := QUOTED.match(self.text, at):
            words, end = unescaped(quote[1]), quote.end()
            if not words.strip():
                self.source.wrong(at, "nothing is between these quotes; leave them out")
        else:
            if self.text[at] == '"':
                self.source.unclosed_quote(at)
            end = self.source.unknown(at)
            words = self.text[at:end]
            self.check_word(at, words)
        self.words(one_spaced(words), weight, glued=at > start)
        return end

    def check_word(self, at: int, word: str) -> None:
        """What means more in other grammars is a word here, and OR alone may be Oregon."""
        if word in _OPERATORS and word != self.text.strip():
            self.source.wrong(at, f"{word} is a word here; {_OPERATORS[word]}{QUOTE_IT}")
        elif _BOOSTED.fullmatch(word):
            self.source.wrong(at, f"a weight stands before what it is for, like 2:dog{QUOTE_IT}")

    def words(self, text: str, weight: float | None, glued: bool) -> None:
        """A weight or sign that is glued to a word binds it alone; else words run on."""
        if glued:
            self.end_run()
            factor = self.factor(weight)
            if text:
                self.found.append(Words(text, factor))
        elif text:
            if not self.run:
                self.run_sign, self.sign = self.sign, ""
            self.run.append(text)

    def end_run(self) -> None:
        if self.run:
            weight = -1.0 if self.run_sign == "-" else 1.0
            self.found.append(Words(" ".join(self.run), weight))
            self.run = []

    def new_sign(self, sign: str, at: int) -> None:
        self.end_sign()
        self.sign, self.sign_at = sign, at

    def end_sign(self) -> None:
        if self.sign:
            self.source.wrong(self.sign_at, f"nothing follows this {self.sign}; leave it out")
            self.sign = ""

    def factor(self, weight: float | None) -> float:
        """The weight with the sign before it, which is used up."""
        sign, self.sign = self.sign, ""
        return (1.0 if weight is None else weight) * (-1 if sign == "-" else 1)

    def operand(self, at: int) -> bool:
        """Whether a sign or weight just before it is its own: not so in --, -> and -)."""
        char = self.text[at]
        other = not char.isascii() and not char.isspace()  # emoji
        return char.isalnum() or char == '"' or other or bool(PLACE.match(self.text, at))

    def weight(self, at: int) -> tuple[float | None, int]:
        """The weight that stands here, and where it ends."""
        found = _WEIGHT.match(self.text, at)
        end = found.end() if found else len(self.text)
        if not found or end == len(self.text) or self.text[end].isdigit() or not self.operand(end):
            return None, at  # 16:9
        weight = number(found[1])
        if weight is None:
            self.source.wrong(at, f"{short(found[1])} is no weight; {A_NUMBER}{QUOTE_IT}")
            return None, at
        return weight, end

    def photo(self, at: int) -> tuple[str, int] | None:
        """The place of the photo that is asked for here, and where it ends."""
        named = NAMED.match(self.text, at)
        called = named and named[1].lower() == "photo"
        place = PLACE.match(self.text, at)
        if (called or place) and not self.source.grammar.photos:
            self.source.wrong(at, f"photos cannot be asked for here{QUOTE_IT}")
        elif named and called:
            return self.source.value(named.end(), at, "photo:./ref.jpg")
        elif place:
            return place[0], place.end()
        return None

    def refuse_factor(self, at: int, part: Part, weight: float | None) -> None:
        if weight is not None:
            problem = "a weight stands before words and photos; behind a text field it is ^2"
        elif isinstance(part, Where):
            problem = f"a filter has no minus; write filter:{part.field}!=…"
        else:
            problem = "only words and photos have a minus; leave a token out with without:TOKEN"
        self.source.wrong(at, problem)


def _limit(what: str, count: int, most: int) -> None:
    if count > most:
        raise UsageError(f"the question has {count:,} {what}; the most is {most:,}")
