"""What a person asks on the command line, and the query tree that it becomes.

`search` and `explain` share it. The text of single options is parsed in `clauses`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..errors import UsageError
from ..fields import Fields
from ..queries import Bool, HasToken, Ids, question
from . import clauses
from .command import model_option, text_encoder_option, utf8
from .output import warn

if TYPE_CHECKING:
    from ..encoders import Encoder
    from ..engines.base import Engine
    from ..vocabulary import Vocabulary

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Asked:
    """The options as given."""

    words: str
    image: str | None
    without: tuple[str, ...]
    require: tuple[str, ...]
    match: tuple[str, ...]
    filter: tuple[str, ...]
    model: str
    text_encoder: str | None = None

    @property
    def needs_model(self) -> bool:
        return bool(self.words or self.image or self.without or self.require)


@dataclass(frozen=True, slots=True)
class Question:
    """The query tree, and the tokens in it that score: token -> weight."""

    query: Bool
    fields: Fields
    tokens: dict[str, float] = field(default_factory=dict)


def question_options(command: F) -> F:
    """Adds the options of a question; the command gets them as `asked`."""

    @functools.wraps(command)
    def with_question(
        *args: Any,
        question: tuple[str, ...],
        image: str | None,
        without: tuple[str, ...],
        require: tuple[str, ...],
        match: tuple[str, ...],
        filter: tuple[str, ...],
        model: str,
        text_encoder: str | None,
        **kwargs: Any,
    ) -> Any:
        words = " ".join(question).strip()
        asked = Asked(words, image, without, require, match, filter, model, text_encoder)
        if not (asked.needs_model or match or filter):
            raise UsageError(
                "nothing is asked: give words, --image, --match, --filter, --require or --without"
            )
        return command(*args, asked=asked, **kwargs)

    for option in reversed(_OPTIONS):
        with_question = option(with_question)
    return with_question  # type: ignore[return-value]


_OPTIONS = (
    click.argument("question", nargs=-1),
    click.option("--image", metavar="PATH", help="Photos like this one."),
    click.option(
        "--without",
        callback=utf8,
        multiple=True,
        metavar="TOKEN[:MIN]",
        help="No photo that holds the token (at weight MIN or more).",
    ),
    click.option(
        "--require",
        callback=utf8,
        multiple=True,
        metavar="TOKEN",
        help="Only photos that hold the token.",
    ),
    click.option(
        "--match",
        callback=utf8,
        multiple=True,
        metavar="FIELD:TEXT[^B]",
        help="Words of a text field (BM25), times boost B.",
    ),
    click.option(
        "--filter",
        callback=utf8,
        multiple=True,
        metavar="FIELD=VALUE",
        help="Only photos with exactly this value.",
    ),
    text_encoder_option,
    model_option("The model that encodes the question: the one that wrote the index."),
)


def build(asked: Asked, engine: Engine, index: str) -> Question:
    """The question as a query of this index. Warns on stderr of what may not be what was meant.

    What the index cannot answer (no such field, another model) is the engine's to refuse.
    """
    from ..mappings import fields_of

    matches = [clauses.match(text) for text in asked.match]
    filters = [clauses.value(text) for text in asked.filter]
    if not asked.needs_model:
        fields = fields_of(engine.mapping(index))
        return Question(question(model="", match=matches, filters=filters), fields)
    from ..encoders import load_encoder

    encoder = load_encoder(asked.model, text=asked.text_encoder)
    fields = fields_of(engine.mapping(index))  # a model that fits no index is told before
    words, image = _word_tokens(asked.words, encoder), _image_tokens(asked.image, encoder)
    query = question(
        words,
        model=encoder.fingerprint,
        image_tokens=image,
        match=matches,
        require=[text.strip().lower() for text in asked.require],
        without=dict(clauses.without(text, encoder.vocabulary) for text in asked.without),
        filters=filters,
        field=fields.token,
    )
    if (asked.words or asked.image) and not query.should:
        # It was asked for something, and nothing can be that: without a clause all would be hits.
        query = replace(query, should=(Ids(()),))
    _warn_of_rules(query, engine, index, encoder.vocabulary)
    return Question(query, fields, {**image, **words})


def _word_tokens(words: str, encoder: Encoder) -> dict[str, float]:
    if not words:
        return {}
    tokens = encoder.vocabulary.to_dict(encoder.encode_text(words))
    if not tokens:
        shown = words if len(words) <= 60 else f"{words[:60]}…"
        unknown = [word for word in words.lower().split()[:5] if word not in encoder.vocabulary]
        warn(f"{shown!r} says nothing to the model{_near(unknown, encoder.vocabulary)}")
    return tokens


def _image_tokens(path: str | None, encoder: Encoder) -> dict[str, float]:
    if path is None:
        return {}
    from .photos import encode_photo

    return encoder.vocabulary.to_dict(encode_photo(path, encoder))


def _warn_of_rules(query: Bool, engine: Engine, index: str, vocabulary: Vocabulary) -> None:
    """Says of each token in a rule that is none, or that no photo of the index holds."""
    for place, rules in (("require", query.filter), ("without", query.must_not)):
        for rule in rules:
            if not isinstance(rule, HasToken):
                continue
            effect = "so nothing can match" if place == "require" else "so it leaves nothing out"
            near = _near([rule.token], vocabulary)
            if rule.token not in vocabulary:
                warn(f"--{place} {rule.token}: the model has no such token, {effect}{near}")
            elif not _held(replace(rule, minimum=None), engine, index):
                warn(f"--{place} {rule.token}: no photo in {index!r} holds it, {effect}{near}")


def _held(rule: HasToken, engine: Engine, index: str) -> bool:
    return bool(engine.search(index, Bool(filter=(rule,)), 1, why=False).hits)


def _near(words: Sequence[str], vocabulary: Vocabulary) -> str:
    """A hint at tokens for what is none: words of a phrase that are, else those spelled alike."""
    pieces = [piece for word in words for piece in word.lower().split()]
    near = [piece for piece in pieces if piece in vocabulary] if len(pieces) > 1 else []
    near = near or [token for piece in pieces for token in vocabulary.similar(piece, 4)]
    near = [token for token in near if token not in words]
    return f"; near it: {', '.join(near[:5])}" if near else ""
