"""Queries of every kind over a corpus, always the same for the same corpus."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count, islice
from typing import Literal

from stair_search.engines.checks import check_size
from stair_search.errors import UsageError
from stair_search.queries import (
    All,
    BestPhoto,
    Bool,
    Boosted,
    Constant,
    Decay,
    Exists,
    FieldValue,
    GeoBox,
    GeoDistance,
    HasToken,
    Ids,
    Match,
    MaxOf,
    Query,
    QueryPolicy,
    Range,
    Term,
    Terms,
    TokenField,
    Tokens,
    When,
    all_of,
    any_of,
    at_least,
    filtered,
    no_photo_with,
    photo_with,
    photo_without,
    question,
)
from stair_search.vocabulary import unescape
from tests.engines.corpus import Corpus

EACH = 14
TREES = int(os.environ.get("STAIR_TEST_TREES") or 15)


class Kind:
    """Makes queries of one kind after the other from random parts of the corpus.

    below: of the nested field whose photos are asked ("photos."), where documents have several.
    """

    def __init__(self, corpus: Corpus, seed: int = 11, below: str = "") -> None:
        self.corpus, self.chance, self.below = corpus, random.Random(seed), below

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
        field = f"{self.below}caption"
        return Match(field, self.some_words(), round(self.chance.uniform(0.05, 3), 3))

    def tokens(self, weights: dict[str, float]) -> Tokens:
        return Tokens.of(weights, self.corpus.model, f"{self.below}stair")

    def filter(self) -> tuple[str, str]:
        field, value = self.chance.choice(
            [
                ("split", self.chance.choice(["train", "val", "test"])),
                ("photographer", f"p{self.chance.randint(0, 7)}"),
                ("width", self.chance.choice(["200", "300", "400"])),
                ("image", self.chance.choice(self.corpus.documents).id),
            ]
        )
        return self.below + field, value

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

    # --- trees of anything ---

    def date(self) -> str | int:
        day = f"20{self.chance.randint(9, 27):02}-{self.chance.randint(1, 12):02}"
        forms: list[str | int] = [day, day[:4], f"{day}-11", f"{day}-03T04"]
        return self.chance.choice([*forms, f"{day}-05T06:07:08.5Z", 1_500_000_000_000])

    def within(self) -> Range:
        field, value = self.chance.choice(
            [
                ("taken", self.date),
                ("likes", lambda: self.chance.choice([-3, 0, 7, 7.5, 100, 5_000])),
                ("price", lambda: round(self.chance.uniform(-2, 102), 2)),
                ("width", lambda: self.chance.choice([200, 250, 300, 400])),
                ("photographer", lambda: self.chance.choice(["p1", "p3", "p", "q"])),
                ("image", lambda: self.chance.choice(self.corpus.documents).id),
            ]
        )
        names = self.chance.choice([["gte"], ["gt"], ["lte"], ["lt"], ["gte", "lt"], ["gt", "lte"]])
        return Range(self.below + field, **{name: value() for name in names})

    def somewhere(self) -> Query:
        lat, lon = self.chance.choice([(48.0, 11.0), (-30.0, 179.0), (60.0, -100.0)])
        if self.chance.random() < 0.5:
            return GeoDistance(f"{self.below}place", lat, lon, 10 ** self.chance.uniform(3, 7))
        high, wide = self.chance.uniform(0.01, 60), self.chance.uniform(0.01, 170)
        west, east = lon - wide, lon + wide
        return GeoBox(
            f"{self.below}place", min(lat + high, 90), west if west >= -180 else west + 360,
            max(lat - high, -90), east if east <= 180 else east - 360,
        )  # fmt: skip

    def rule(self) -> Query:
        """What does not score."""
        return self.chance.choice(self.rules())()

    def rules(self) -> list[Callable[[], Query]]:
        token, weight = self.held()
        least = self.chance.choice([None, weight])
        found = self.rules_of_columns()
        found += [lambda: HasToken(token, self.corpus.model, least, f"{self.below}stair")]
        if not self.below:
            found += [
                lambda: Ids(tuple(d.id for d in self.chance.sample(self.corpus.documents, 200)))
            ]
        return found

    def rules_of_columns(self) -> list[Callable[[], Query]]:
        columns = ["taken", "place", "likes", "price", "caption", "split"]
        return [
            lambda: Term(*self.filter()),
            lambda: Terms(f"{self.below}split", ("test", "nowhere", "val")),
            lambda: Terms(f"{self.below}width", ("200", "300")),
            lambda: Terms(f"{self.below}taken", ("2015-06", "2020", "2011-03-04")),
            lambda: Term(f"{self.below}taken", str(self.date())),
            self.within,
            self.within,
            self.somewhere,
            lambda: Exists(self.below + self.chance.choice(columns)),
            All,
        ]

    def curve(self) -> Literal["gauss", "exp", "linear"]:
        return self.chance.choice(["gauss", "exp", "linear"])

    def factor(self) -> FieldValue | Decay | When:
        choices: list[Callable[[], FieldValue | Decay | When]] = [
            lambda: FieldValue(
                self.below + self.chance.choice(["likes", "price", "width"]),
                round(self.chance.uniform(0.01, 3), 2),
                self.chance.choice(["none", "sqrt", "ln1p", "ln2p"]),
                self.chance.choice([0, 1, 0.3]),
            ),
            lambda: Decay(
                self.below + self.chance.choice(["likes", "price"]), 5, self.chance.uniform(1, 100),
                self.chance.choice([0, 10]), 0.3, self.curve(),
            ),
            lambda: Decay(
                f"{self.below}taken", f"{self.date()}"[:10],
                86_400_000.0 * self.chance.randint(1, 5_000),
                self.chance.choice([0, 86_400_000]), 0.5, self.curve(),
            ),
            lambda: When(self.rule(), self.chance.choice([0.1, 0.5, 3])),
        ]  # fmt: skip
        return self.chance.choice(choices)()

    def leaves(self, text: bool) -> list[Callable[[], Query]]:
        """What scores and has no query below that does."""
        words, image = self.tokens(self.words()), self.tokens(self.image())
        found: list[Callable[[], Query]] = [
            lambda: words,
            lambda: words + image * 0.4,
            lambda: image - words * 0.5,
            lambda: MaxOf((words * 2, image)),
            lambda: Constant(self.rule(), round(self.chance.uniform(0.1, 2), 2), "is"),
        ]
        if text:
            found.append(lambda: replace(self.match(), every=self.chance.random() < 0.3))
        return found

    def scored(self, depth: int, text: bool) -> Query:
        leaves = self.leaves(text)
        if not depth:
            return self.chance.choice(leaves)()

        def some(most: int = 3) -> list[Query]:
            return [self.scored(depth - 1, text) for _ in range(self.chance.randint(1, most))]

        choices: list[Callable[[], Query]] = [
            *leaves,
            lambda: any_of(*some()),
            lambda: all_of(self.scored(depth - 1, text), self.rule()),
            lambda: filtered(any_of(*some()), self.rule()) & ~self.rule(),
            lambda: at_least(2, *some(), *some(2)),
            lambda: Boosted(self.scored(depth - 1, text), self.factor()),
            lambda: 2.5 * any_of(*some(2)),
            lambda: Bool(
                must=tuple(some(1)),
                should=(*some(2), self.rule()),
                filter=(any_of(self.rule(), self.rule()),),
                must_not=(all_of(self.rule(), self.rule()),),
            ),
        ]
        return self.chance.choice(choices)()

    def a_tree(self) -> Query:
        return self.scored(self.chance.randint(1, 3), text=False)

    def a_tree_with_text(self) -> Query:
        return self.scored(self.chance.randint(1, 3), text=True)

    def rules_alone(self) -> Query:
        choices: list[Callable[[], Query]] = [
            self.rule,
            lambda: self.rule() & self.rule(),
            lambda: self.rule() | ~self.rule(),
            lambda: at_least(2, self.rule(), self.rule(), self.rule()),
        ]
        return self.chance.choice(choices)()

    def under_a_policy(self) -> Query:
        (first, _), (second, weight) = self.held(), self.held()
        policy = QueryPolicy(
            "some",
            forbid={first: None, second: self.chance.choice([None, weight / 2])},
            bias={self.held()[0]: 3},
            most_tokens=20,
            most_weight=0.4,
            rules=(self.rule(),),
            held_in=(TokenField(self.corpus.model),),
        )
        return policy.apply(self.chance.choice([self.a_tree, self.rules_alone])())


class Several(Kind):
    """Trees over documents of several photos: rules and words of the document, and photos."""

    def __init__(self, corpus: Corpus, photos: Corpus, seed: int = 12) -> None:
        super().__init__(corpus, seed)
        self.photo = Kind(photos, seed, "photos.")

    def rules(self) -> list[Callable[[], Query]]:
        of_photos = [
            lambda: photo_with(self.photo.rule()),
            lambda: photo_without(self.photo.rule()),
            lambda: no_photo_with(self.photo.rule()),
            lambda: photo_with(self.photo.rule() & ~self.photo.rule()),
            lambda: no_photo_with(at_least(2, *(self.photo.rule() for _ in range(3)))),
        ]
        ids = [d.id for d in self.chance.sample(self.corpus.documents, 90)]
        return [*self.rules_of_columns(), *of_photos, lambda: Ids(tuple(ids))]

    def leaves(self, text: bool) -> list[Callable[[], Query]]:
        def best() -> Query:
            return BestPhoto(self.photo.scored(self.chance.randint(0, 2), text))

        rule = Constant(self.rule(), round(self.chance.uniform(0.1, 2), 2), "is")
        found: list[Callable[[], Query]] = [best, best, best, lambda: rule]
        return [*found, self.match] if text else found


TEXT = {
    "text_alone",
    "question_and_text",
    "several_texts",
    "all_together",
    "nested",
    "must",
    "a_tree_with_text",
}
"""Kinds whose scores hang on the statistics of words: comparable on one shard only."""


def generated(corpus: Corpus, trees: int = TREES) -> Iterator[tuple[str, Query]]:
    """trees: of each of the kinds that are made of anything."""
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
    anything = (kinds.a_tree, kinds.a_tree_with_text, kinds.rules_alone, kinds.under_a_policy)
    yield from _trees(anything, trees)


def of_several(
    documents: Corpus, photos: Corpus, trees: int = TREES
) -> Iterator[tuple[str, Query]]:
    """The three kinds made of anything, over `corpus.grouped`."""
    kinds = Several(documents, photos)
    yield from _trees((kinds.a_tree, kinds.a_tree_with_text, kinds.rules_alone), trees)


def _trees(makers: Sequence[Callable[[], Query]], each: int) -> Iterator[tuple[str, Query]]:
    for maker in makers:
        queries = (maker() for _ in count())
        for query in islice(filter(_can_be_sent, queries), each):
            yield maker.__name__, query


def _can_be_sent(query: Query) -> bool:
    try:
        check_size(query, {name: {"type": "date"} for name in ("taken", "photos.taken")})
    except UsageError:  # more than 1,024 clauses
        return False
    return True
