"""What a person asks on the command line, and the query tree that it becomes.

`search` and `explain` share it. The text of single options is parsed in `clauses`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..errors import UsageError
from ..fields import Fields
from ..queries import Bool, question
from . import clauses
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
        text_encoder: str,
        **kwargs: Any,
    ) -> Any:
        words = " ".join(question).strip()
        asked = Asked(words, image, without, require, match, filter, model)
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
        multiple=True,
        metavar="TOKEN[:MIN]",
        help="No photo that holds the token (at weight MIN or more).",
    ),
    click.option(
        "--require", multiple=True, metavar="TOKEN", help="Only photos that hold the token."
    ),
    click.option(
        "--match",
        multiple=True,
        metavar="FIELD:TEXT[^B]",
        help="Words of a text field (BM25), times boost B.",
    ),
    click.option(
        "--filter",
        multiple=True,
        metavar="FIELD=VALUE",
        help="Only photos with exactly this value.",
    ),
    click.option(
        "--text-encoder",
        type=click.Choice(["static"]),
        default="static",
        show_default=True,
        help="How words become tokens.",
    ),
    click.option(
        "--model",
        envvar="STAIR_SEARCH_MODEL",
        default="starter",
        show_default=True,
        metavar="NAME",
        help="The model that encodes the question: the one that wrote the index.",
    ),
)


def build(asked: Asked, engine: Engine, index: str) -> Question:
    """The question as a query of this index. Warns on stderr of what may not be what was meant.

    What the index cannot answer (no such field, another model) is the engine's to refuse.
    """
    from ..mappings import fields_of

    fields = fields_of(engine.mapping(index))
    matches = [clauses.match(text) for text in asked.match]
    filters = [clauses.value(text) for text in asked.filter]
    if not asked.needs_model:
        return Question(question(model="", match=matches, filters=filters), fields)
    from ..encoders import load_encoder

    encoder = load_encoder(asked.model)
    words, image = _word_tokens(asked.words, encoder), _image_tokens(asked.image, encoder)
    query = question(
        words,
        model=encoder.fingerprint,
        image_tokens=image,
        match=matches,
        require=_required(asked.require, encoder.vocabulary),
        without=_forbidden(asked.without, encoder.vocabulary),
        filters=filters,
        field=fields.token,
    )
    return Question(query, fields, {**image, **words})


def _word_tokens(words: str, encoder: Encoder) -> dict[str, float]:
    if not words:
        return {}
    tokens = encoder.vocabulary.to_dict(encoder.encode_text(words))
    if not tokens:
        shown = words if len(words) <= 60 else f"{words[:60]}…"
        warn(f"the model knows no word of {shown!r}{_near(words.split()[:5], encoder.vocabulary)}")
    return tokens


def _image_tokens(path: str | None, encoder: Encoder) -> dict[str, float]:
    if path is None:
        return {}
    from .photos import encode_photo

    return encoder.vocabulary.to_dict(encode_photo(path, encoder))


def _required(given: Iterable[str], vocabulary: Vocabulary) -> list[str]:
    tokens = [text.strip().lower() for text in given]
    for token in tokens:
        if token not in vocabulary:
            warn(
                f"--require {token}: no token of the model, so nothing can match"
                f"{_near([token], vocabulary)}"
            )
    return tokens


def _forbidden(given: Iterable[str], vocabulary: Vocabulary) -> dict[str, float | None]:
    rules = dict(clauses.without(text, vocabulary) for text in given)
    for token in rules:
        if token not in vocabulary:
            warn(
                f"--without {token}: no token of the model, so nothing is left out"
                f"{_near([token], vocabulary)}"
            )
    return rules


def _near(words: Iterable[str], vocabulary: Vocabulary) -> str:
    """A hint at tokens for what is none: words of a phrase that are, else those spelled alike."""
    pieces = [piece for word in words for piece in word.lower().split()]
    known = [piece for piece in pieces if piece in vocabulary]
    near = known or [token for piece in pieces for token in vocabulary.similar(piece)]
    return f"; near it: {', '.join(near[:5])}" if near else ""
