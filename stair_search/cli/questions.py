"""What a person asks on the command line, and the query tree that it becomes.

`search` and `explain` share it. The text of single options is parsed in `clauses`.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from ..engines.checks import MOST_CLAUSES
from ..engines.fit import fitted
from ..engines.parts import nodes
from ..errors import UsageError
from ..fields import Fields
from ..mappings import STRING_TYPES, TEXT_TYPES, TOKEN_TYPES
from ..queries import BestPhoto, Bool, HasToken, Match, Query, Range, question
from ..queries.grammar import Asked as Said
from ..queries.grammar import (
    Grammar,
    Part,
    Photo,
    Require,
    Text,
    Where,
    Without,
    Words,
    as_query,
    can_be_typed,
    parse,
)
from ..queries.pruning import token_count
from . import clauses
from .command import model_option, text_encoder_option, utf8
from .output import warn
from .places import document_of
from .policies import held_to

if TYPE_CHECKING:
    from ..encoders import Encoder
    from ..engines.base import Engine
    from ..vocabulary import Vocabulary

PHOTO_NAMES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Asked:
    """The options as given."""

    words: str
    image: tuple[str, ...]
    without: tuple[str, ...]
    require: tuple[str, ...]
    match: tuple[str, ...]
    filter: tuple[str, ...]
    model: str
    text_encoder: str | None = None
    strict: bool = False
    policy: Path | None = None
    like: str | None = None

    @property
    def needs_model(self) -> bool:
        return bool(self.words or self.image or self.without or self.require)


class Question(NamedTuple):
    """fields: of the index that is asked."""

    query: Bool
    fields: Fields


def question_options(command: F) -> F:
    """Adds the options of a question; the command gets them as `asked`."""

    @functools.wraps(command)
    def with_question(
        *args: Any,
        question: tuple[str, ...],
        image: tuple[str, ...],
        like: str | None,
        without: tuple[str, ...],
        require: tuple[str, ...],
        match: tuple[str, ...],
        filter: tuple[str, ...],
        model: str,
        text_encoder: str | None,
        strict: bool,
        policy: Path | None,
        **kwargs: Any,
    ) -> Any:
        words = " ".join(question).strip()
        asked = Asked(
            words, image, without, require, match, filter, model, text_encoder, strict, policy, like
        )
        if not (asked.needs_model or like or match or filter):
            raise UsageError(
                "nothing is asked: give words, --image, --like, --match, --filter, --require or "
                "--without"
            )
        return command(*args, asked=asked, **kwargs)

    for option in reversed(_OPTIONS):
        with_question = option(with_question)
    return with_question  # type: ignore[return-value]


_OPTIONS = (
    click.argument("question", nargs=-1),
    click.option(
        "--image", multiple=True, metavar="PATH", help="Photos like this one, or like all of these."
    ),
    click.option(
        "--like",
        callback=utf8,
        metavar="ID",
        help="Others like this document of the index: its id, or the path of its photo.",
    ),
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
    click.option("--strict", is_flag=True, help="Refuse what is not understood of QUESTION."),
    click.option(
        "--policy",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Which tokens may be asked for, with which weights, and what no hit may hold.",
    ),
    text_encoder_option,
    model_option("The model that encodes the question: the one that wrote the index."),
)


def build(asked: Asked, engine: Engine, index: str) -> Question:
    """The question as a query of this index. Warns on stderr of what may not be what was meant.

    What the index cannot answer (no such field, another model) is the engine's to refuse.
    """
    from ..mappings import fields_of, photos_in, types_of

    matches = [clauses.match(text) for text in asked.match]
    filters = [clauses.value(text) for text in asked.filter]
    encoder = None
    if asked.needs_model or asked.policy:  # a policy speaks of the model's tokens
        from ..encoders import load_encoder

        encoder = load_encoder(asked.model, text=asked.text_encoder)
    mapping = engine.mapping(index)  # a model that fits no index is told before
    fields, photos = fields_of(mapping), photos_in(mapping)
    types = types_of(mapping.get("properties", {}))
    matches = [replace(one, field=_whole(one.field, photos, types)) for one in matches]
    filters = [(_whole(name, photos, types), value) for name, value in filters]
    if encoder is None:
        query = question(model="", match=matches, filters=filters, photos=photos)
        return Question(_with_like(query, asked.like, engine, index), fields)
    said = _with_flags(asked, matches, filters, _parsed(asked, types, photos), encoder.vocabulary)
    names = {name: _whole(name, photos, types) for name in [*types, *_below(photos, types)]}

    def encode(part: Words | Photo) -> dict[str, float]:
        match part:
            case Words(text):
                return _word_tokens(text, encoder)
            case Photo(place) if asked.strict or place in asked.image or _is_photo(place):
                return _image_tokens(place, encoder)
            case Photo(place):
                warn(f"{place}: no such file, so it is taken for words")
                return _word_tokens(place, encoder)

    query = as_query(
        said,
        encode,
        model=encoder.fingerprint,
        fields=names,
        field=fields.token,
        photos=photos,
    )
    _warn_of_rules(query, engine, index, encoder.vocabulary, photos, asked.strict)
    _warn_of_ranges(query, types)
    query = _with_like(query, asked.like, engine, index)
    if asked.policy:
        query = held_to(asked.policy, query, encoder, engine, index, fields, photos)
    return Question(_fitting(query, types), fields)


def _with_like(query: Bool, like: str | None, engine: Engine, index: str) -> Bool:
    """The query with a document of the index asked for, too."""
    if like is None:
        return query
    from ..engines.like import more_like

    other = more_like(engine, index, document_of(engine, index, like))
    return replace(
        query,
        should=(*query.should, *other.should),
        must_not=(*query.must_not, *other.must_not),
    )


def _fitting(query: Bool, types: Mapping[str, Mapping[str, Any]]) -> Bool:
    """The query with as many tokens as an engine takes. Warns of the others."""
    fits, dropped = fitted(query, types)
    if dropped:
        every = token_count(query)
        warn(
            f"engines take {MOST_CLAUSES:,} clauses: of {every:,} tokens that are asked for the "
            f"{dropped:,} weakest are left out"
        )
    return fits if isinstance(fits, Bool) else Bool(must=(fits,))


def _parsed(asked: Asked, types: Mapping[str, Mapping[str, Any]], photos: str | None) -> Said:
    """The parts of QUESTION. A field of the photos can be called by its own name. Where it is too
    long for the grammar it is words, as somebody pastes them.
    """
    whole_text = Said((Words(asked.words),) if asked.words else ())
    whole = _below(photos, types) | {name: name for name in types}
    whole = {name: field for name, field in whole.items() if can_be_typed(name)}
    text = {name for name, field in whole.items() if types[field]["type"] in TEXT_TYPES}
    hidden = {*TOKEN_TYPES, "nested"}
    others = {name for name, field in whole.items() if types[field]["type"] not in hidden}
    grammar = Grammar(text_fields=text, filter_fields=others - text, photos=True)
    try:
        said = parse(asked.words, grammar, strict=asked.strict)
    except UsageError:
        if asked.strict:
            raise
        return whole_text
    return said if said.parts else whole_text  # a sign alone asks for something, not for all


def _below(photos: str | None, types: Iterable[str]) -> dict[str, str]:
    """Fields of the photos by their own names."""
    start = f"{photos}."
    return {name.removeprefix(start): name for name in types if name.startswith(start)}


def _with_flags(
    asked: Asked,
    matches: Sequence[Match],
    filters: Sequence[tuple[str, str]],
    said: Said,
    vocabulary: Vocabulary,
) -> Said:
    """The parts of QUESTION and those of the options, which stand beside it."""
    parts: list[Part] = [*said.parts]
    parts += map(Photo, asked.image)
    parts += [Text(one.field, (one.text,), one.every, one.boost) for one in matches]
    parts += [Require(text.strip()) for text in asked.require]
    parts += [Without(*clauses.without(text, vocabulary)) for text in asked.without]
    parts += [Where(name, "=", value) for name, value in filters]
    return Said(tuple(parts))


def _whole(name: str, photos: str | None, types: Container[str]) -> str:
    """A field's whole name: what a document lacks may be its photos'."""
    below = f"{photos}.{name}"
    return below if photos and name not in types and below in types else name


def _word_tokens(words: str, encoder: Encoder) -> dict[str, float]:
    tokens = encoder.vocabulary.to_dict(encoder.encode_text(words))
    if not tokens:
        shown = words if len(words) <= 60 else f"{words[:60]}…"
        unknown = [word for word in words.lower().split()[:5] if word not in encoder.vocabulary]
        warn(f"{shown!r} says nothing to the model{_near(unknown, encoder.vocabulary)}")
    return tokens


def _is_photo(place: str) -> bool:
    """Whether what may be a photo's place is meant as one: it is there, or is called like one."""
    if Path(place).suffix.lower() in PHOTO_NAMES:
        if "://" in place:
            raise UsageError(
                f"{place}: photos to search by are files of this machine: save it first"
            )
        return True
    return "://" not in place and os.path.exists(place)  # noqa: PTH110 - any bytes


def _image_tokens(path: str, encoder: Encoder) -> dict[str, float]:
    from .photos import encode_photo

    return encoder.vocabulary.to_dict(encode_photo(path, encoder))


def _warn_of_rules(
    query: Bool,
    engine: Engine,
    index: str,
    vocabulary: Vocabulary,
    photos: str | None,
    strict: bool,
) -> None:
    """Says of each token in a rule that is none, or that no photo of the index holds. Raises
    UsageError for the first of these where it is to be strict.
    """
    for place, rules in (("require", query.filter), ("without", query.must_not)):
        for rule in _token_rules(rules):
            effect = "so nothing can match" if place == "require" else "so it leaves nothing out"
            near = _near([rule.token], vocabulary)
            if rule.token not in vocabulary:
                problem = f"{place} {rule.token}: the model has no such token, {effect}{near}"
                if strict:
                    raise UsageError(problem)
                warn(problem)
            elif not _held(rule, engine, index, photos):
                warn(f"{place} {rule.token}: no photo in {index!r} holds it, {effect}{near}")


def _warn_of_ranges(query: Query, types: Mapping[str, Mapping[str, Any]]) -> None:
    """Says where numbers are compared as texts are: 9 is more than 10."""
    for node in nodes(query):
        if isinstance(node, Range) and types.get(node.field, {}).get("type") in STRING_TYPES:
            bounds = [str(value) for value in node.bounds.values()]
            if any(re.fullmatch(r"-?[0-9.]+", bound) for bound in bounds):
                warn(
                    f"{node.field} is kept as text, so that 9 is more than 10: an index made with "
                    f'{node.field} = "long" in a --columns file compares numbers'
                )


def _token_rules(rules: Iterable[Query]) -> Iterator[HasToken]:
    """The tokens in rules on documents, or on one of their photos."""
    for rule in rules:
        match rule:
            case HasToken():
                yield rule
            case BestPhoto(Bool(filter=inner)):
                yield from _token_rules(inner)
            case BestPhoto(inner):
                yield from _token_rules([inner])


def _held(rule: HasToken, engine: Engine, index: str, photos: str | None) -> bool:
    any_weight = replace(rule, minimum=None)
    query = BestPhoto(any_weight, photos) if photos else any_weight
    return bool(engine.search(index, Bool(filter=(query,)), 1, why=False).hits)


def _near(words: Sequence[str], vocabulary: Vocabulary) -> str:
    """A hint at tokens for what is none: words of a phrase that are, else those spelled alike."""
    pieces = [piece for word in words for piece in word.lower().split()]
    near = [piece for piece in pieces if piece in vocabulary] if len(pieces) > 1 else []
    near = near or [token for piece in pieces for token in vocabulary.similar(piece, 4)]
    near = [token for token in near if token not in words]
    return f"; near it: {', '.join(near[:5])}" if near else ""
