"""Queries of every kind over a corpus, always the same for the same corpus."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from stair_search.queries import (
    All,
    Bool,
    Constant,
    HasToken,
    Ids,
    Match,
    Query,
    Term,
    Tokens,
    question,
)
from stair_search.vocabulary import unescape
from tests.engines.corpus import Corpus

EACH = 14


class Kind:
    """Makes queries of one kind after the other from random parts of the corpus."""

    def __init__(self, corpus: Corpus, seed: int = 11) -> None:
        self.corpus, self.chance = corpus, random.Random(seed)

    # --- parts ---

    def words(self) -> dict[str, float]:
        while not (tokens := self.corpus.asked(self.chance.choice(self.corpus.questions))):
            pass
        return tokens

    def image(self) -> dict[str, float]:
        (held,) = self.chance.choice(self.corpus.documents).fields["stair"]
        return {unescape(name): weight for name, weight in held.items()}

    def held(self) -> tuple[str, float]:
        return self.chance.choice(list(self.image().items()))

    def caption(self) -> str:
        return self.chance.choice(self.corpus.questions)

    def some_words(self) -> str:
        words = self.caption().split()
        return " ".join(self.chance.sample(words, min(len(words), self.chance.randint(1, 4))))

    def match(self) -> Match:
        return Match("caption", self.some_words(), round(self.chance.uniform(0.05, 3), 3))

    def filter(self) -> tuple[str, str]:
        return self.chance.choice(
            [
                ("split", self.chance.choice(["train", "val", "test"])),
                ("photographer", f"p{self.chance.randint(0, 7)}"),
                ("width", self.chance.choice(["200", "300", "400"])),
                ("image", self.chance.choice(self.corpus.documents).id),
            ]
        )

    # --- kinds ---

    def a_question(self) -> Query:
        return question(self.words(), model=self.corpus.model)

    def an_image(self) -> Query:
        return question(model=self.corpus.model, image_tokens=self.image())

    def question_and_image(self) -> Query:
        return question(self.words(), model=self.corpus.model, image_tokens=self.image())

    def without(self) -> Query:
        forbidden: dict[str, float | None] = {self.held()[0]: None for _ in range(2)}
        return question(self.words(), model=self.corpus.model, without=forbidden)

    def without_threshold(self) -> Query:
        token, weight = self.held()
        least = self.chance.choice([weight, weight / 2, weight * 1.001, 0.05])
        return question(self.words(), model=self.corpus.model, without={token: least})

    def require(self) -> Query:
        return question(self.words(), model=self.corpus.model, require=[self.held()[0]])

    def text_alone(self) -> Query:
        return question(model=self.corpus.model, match=[self.match()])

    def question_and_text(self) -> Query:
        return question(self.words(), model=self.corpus.model, match=[self.match()])

    def several_texts(self) -> Query:
        # a word twice, a field that has no word
        twice = Match("caption", f"{self.some_words()} a dog a dog", 0.7)
        return question(model=self.corpus.model, match=[self.match(), twice])

    def filtered(self) -> Query:
        return question(self.words(), model=self.corpus.model, filters=[self.filter()])

    def filters_alone(self) -> Query:
        return question(model=self.corpus.model, filters=[self.filter(), self.filter()])

    def without_alone(self) -> Query:
        return question(model=self.corpus.model, without={self.held()[0]: None})

    def all_together(self) -> Query:
        return question(
            self.words(),
            model=self.corpus.model,
            image_tokens=self.image(),
            match=[self.match(), self.match()],
            require=[self.held()[0]],
            without={self.held()[0]: 0.1, self.held()[0]: None},
            filters=[self.filter()],
        )

    def constant(self) -> Query:
        token, weight = self.held()
        return Bool(
            should=(
                Tokens.of(self.words(), self.corpus.model),
                Constant(HasToken(token, self.corpus.model, weight / 2), 0.4, "has"),
                Constant(Term(*self.filter()), 0.3, "is"),
                Constant(self.match(), 0.2, "says"),
            )
        )

    def nested(self) -> Query:
        tokens = Tokens.of(self.words(), self.corpus.model)
        ids = tuple(document.id for document in self.chance.sample(self.corpus.documents, 300))
        inner = Bool(
            must=(Tokens.of(self.image(), self.corpus.model, part="image"),),
            should=(Constant(Term(*self.filter()), 0.6, "inner"), self.match()),
            filter=(Bool(should=(Ids(ids), Term(*self.filter()))),),
            must_not=(Bool(must=(HasToken(self.held()[0], self.corpus.model), All())),),
        )
        # text that only filters adds nothing, nor does it to the reasons
        other = Bool(
            should=(tokens, Constant(Ids(ids[:100]), 0.1, "listed"), self.match()),
            filter=(Bool(should=(Ids(ids), self.match())),),
        )
        return Bool(should=(inner, other, Term(*self.filter())))

    def must(self) -> Query:
        return Bool(
            must=(Tokens.of(self.words(), self.corpus.model), self.match()),
            should=(Tokens.of(self.image(), self.corpus.model, part="image"),),
        )


TEXT = {"text_alone", "question_and_text", "several_texts", "all_together", "nested", "must"}
"""Kinds whose scores hang on the statistics of words: comparable on one shard only."""


def generated(corpus: Corpus) -> Iterator[tuple[str, Query]]:
    kinds = Kind(corpus)
    makers: list[Callable[[], Query]] = [
        kinds.a_question, kinds.an_image, kinds.question_and_image, kinds.without,
        kinds.without_threshold, kinds.require, kinds.text_alone, kinds.question_and_text,
        kinds.several_texts, kinds.filtered, kinds.filters_alone, kinds.without_alone,
        kinds.all_together, kinds.constant, kinds.nested, kinds.must,
    ]  # fmt: skip
    for maker in makers:
        for _ in range(EACH):
            yield maker.__name__, maker()
