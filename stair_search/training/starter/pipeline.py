"""`python -m stair_search.training.starter`: makes the weights of the starter model.

Stages: words and captions to vectors (frozen MiniLM), photos to features (frozen
EfficientNet-Lite2), dense teachers, sparse student, class names, export. Vectors and features are
kept in a cache folder; the rest takes minutes on two cores.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from stair_search.encoders.wordpiece import WordPiece
from stair_search.vocabulary import Vocabulary

from .captions import Captioned, join, read_captioned
from .class_names import class_tokens
from .data import Examples
from .dense import train_dense
from .export import image_model, prune_row, text_table, write_folder
from .features import photo_features
from .lexicon import ALIKE, Lexicon, bags, implications, is_word, make_lexicon
from .sentences import minilm_folder, sentence_vectors
from .sparse import (
    IMAGE_TOKENS,
    TEXT_TOKENS,
    ImageSide,
    Sparse,
    Teacher,
    TextSide,
    token_vectors,
    train_sparse,
)
from .tower import IMAGE_SIZE, load_lite2

log = logging.getLogger(__name__)

DATA_SETS = ("flickr8k", "coco-captions")
VIEWS = ("plain", "flip")
CACHE = Path("~/.cache/stair-search/features")

LEAST_CAPTIONS = 12
TEXT_RATIO = 0.1
"""Of the strongest token of a question: what is weaker costs clauses and readers, and finds nothing
more (mR on the validation splits with it 47.5 and 75.2, without it 47.5 and 74.8)."""
TEACHERS = 3
ROW_SEEN = 128
ROW_UNSEEN = 24
NEAR = 0.75
"""Cosine of two words' vectors from which one asks for the other's photos."""
OUTSIDE = 0.05
"""Own weight of a word that no photo carries: named among a question's tokens, hardly counted."""

ABOUT = {
    "name": "starter",
    "version": "v0",
    "description": "EfficientNet-Lite2 photos and static text as weights of BERT tokens",
    "image": {"size": IMAGE_SIZE, "top_k": IMAGE_TOKENS},
    "text": {"top_k": TEXT_TOKENS, "ratio": TEXT_RATIO},
}


class Statistics(NamedTuple):
    """Mean and deviation of the features, float32 [f]."""

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]


class Words(NamedTuple):
    """vectors: float32 [V, 384], every token of the vocabulary alone, centred, at length 1."""

    tokens: tuple[str, ...]
    wordpiece: WordPiece
    vectors: NDArray[np.float32]


def read_words(cache: Path) -> Words:
    tokens = Vocabulary.from_file(minilm_folder() / "vocab.txt").tokens
    vectors = sentence_vectors([token.removeprefix("##") for token in tokens], cache)
    vectors = vectors - vectors.mean(0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Words(tokens, WordPiece.of(tokens), vectors)


def examples(
    data: Captioned,
    views: Sequence[str],
    words: Words,
    lexicon: Lexicon,
    cache: Path,
    statistics: Statistics | None = None,
) -> tuple[Examples, Statistics]:
    """statistics: of the training photos; None for the training photos themselves."""
    seen = [photo_features(data.photos, view, cache) for view in views]
    statistics = statistics or Statistics(seen[0].mean(0), seen[0].std(0) + 1e-3)
    made = Examples(
        [torch.tensor((x - statistics.mean) / statistics.deviation) for x in seen],
        torch.tensor(bags(words.wordpiece, data.captions, lexicon.seen)),
        torch.tensor(sentence_vectors(data.captions, cache)),
        data.owner,
    )
    return made, statistics


def text_rows(
    texts: TextSide, words: Words, lexicon: Lexicon, classes: NDArray[np.int64]
) -> dict[int, dict[int, float]]:
    """The table's row of every word: as trained where captions held it, else from MiniLM alone.

    classes: tokens that photos carry beside the lexicon's. A word of nearly the same meaning asks
    for them too ("bananas" for "banana").
    """
    with torch.no_grad():
        own = texts.own.numpy()
        seen = texts.rows(torch.arange(len(own))).numpy()
        unseen = words.vectors @ texts.expansion.weight.numpy().T
        alike = words.vectors @ words.vectors[lexicon.outputs].T >= ALIKE
        unseen = np.where(alike, unseen, unseen.clip(max=0))
    outputs = set(lexicon.outputs.tolist())
    place = {token: i for i, token in enumerate(lexicon.seen.tolist())}
    usual = float(own[lexicon.place].mean())
    near = words.vectors @ words.vectors[classes].T
    rows = {}
    for token, name in enumerate(words.tokens):
        if token in place:
            i = place[token]
            kept = float(own[i]) if token in outputs else OUTSIDE
            entries = prune_row(lexicon.outputs, seen[i], ROW_SEEN)
        elif is_word(name) and not name.startswith("##"):
            kept = OUTSIDE
            entries = prune_row(lexicon.outputs, unseen[token], ROW_UNSEEN)
        else:
            continue
        entries[token] = entries.get(token, 0.0) + kept
        if is_word(name) and not name.startswith("##"):
            for column in np.flatnonzero(near[token] >= NEAR):
                entries[int(classes[column])] = usual * float(near[token, column])
        rows[token] = entries
    return rows


def head(model: Sparse, statistics: Statistics) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weight [f, o] and bias [o] of the image side on features that are not standardised."""
    weight = model.images.head.weight.detach().numpy().astype(np.float64).T
    bias = model.images.head.bias.detach().numpy().astype(np.float64)
    weight = weight / statistics.deviation[:, None]
    return weight.astype(np.float32), (bias - statistics.mean @ weight).astype(np.float32)


class Trained(NamedTuple):
    """features: float32 [n, f], of the training photos, as the tower gives them."""

    sparse: Sparse
    words: Words
    lexicon: Lexicon
    statistics: Statistics
    features: NDArray[np.float32]


def train(
    training: Captioned,
    validation: Captioned,
    cache: Path,
    *,
    least: int = LEAST_CAPTIONS,
    epochs: int = 24,
) -> Trained:
    """All stages but the export."""
    log.info("words: MiniLM on every token of the vocabulary")
    words = read_words(cache)
    lexicon = make_lexicon(words.tokens, words.wordpiece, training.captions, least)
    log.info("  %d output tokens of %d seen", len(lexicon.outputs), len(lexicon.seen))
    log.info("features: %d photos in %d views", len(training.photos), len(VIEWS))
    data, statistics = examples(training, VIEWS, words, lexicon, cache)
    held_out, _ = examples(validation, VIEWS[:1], words, lexicon, cache, statistics)
    features = data.views[0].numpy() * statistics.deviation + statistics.mean
    log.info("dense teachers: %d", TEACHERS)
    dense = [train_dense(data, seed=seed) for seed in range(TEACHERS)]
    log.info("sparse student")
    vectors = token_vectors(words.vectors[lexicon.seen], data)
    likeness = words.vectors[lexicon.seen] @ words.vectors[lexicon.outputs].T
    implied = implications(data.bag.numpy(), data.owner, lexicon, likeness)
    log.info("  %.1f tokens implied by a token", implied.sum(1).mean())
    sparse = Sparse(ImageSide(data, lexicon), TextSide(vectors, data, lexicon, implied))
    train_sparse(sparse, data, lexicon, Teacher(dense, data), held_out, epochs)
    return Trained(sparse, words, lexicon, statistics, features)


def export(trained: Trained, out: Path) -> None:
    outputs = trained.lexicon.outputs
    tokens = trained.words.tokens
    classes = class_tokens(load_lite2()._fc, trained.features, tokens, set(outputs.tolist()))
    log.info("class names: %d tokens", len(classes.ids))
    weight, bias = head(trained.sparse, trained.statistics)
    rows = text_rows(trained.sparse.texts, trained.words, trained.lexicon, classes.ids)
    write_folder(
        out,
        ABOUT,
        image_model(
            np.concatenate([weight, classes.weight], 1),
            np.concatenate([bias, classes.bias]),
            np.concatenate([outputs, classes.ids]),
        ),
        text_table(rows, len(tokens)),
        tokens,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes the weights of the starter model.")
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data"), help="holds flickr8k and coco-captions"
    )
    parser.add_argument("--out", type=Path, default=Path("stair_search/encoders/starter"))
    parser.add_argument("--cache", type=Path, default=CACHE, help="features are kept here")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(2)
    splits = [
        join([read_captioned(arguments.data / name, split) for name in DATA_SETS])
        for split in ("train", "val")
    ]
    export(train(splits[0], splits[1], arguments.cache.expanduser()), arguments.out)
    log.info("written: %s", arguments.out)
