"""The sparse model: photos and texts as weights of readable tokens, cosine similarity.

Photo: log(1 + relu(W features + b)), its strongest (STAIR's activation, arXiv 2301.13081, on
pooled features). Text: relu(sum over its tokens t of own[t] at t + P(vector[t])), its strongest: no
network beyond a look-up, so that what is trained is what is shipped.

Tokens stay readable because both sides start at them: W from a ridge regression onto the words of a
photo's captions, the text at its own tokens; and because a part of the loss is these words. Most of
it is the similarities of dense teachers.

Axes: n photos, m texts, f features, i input tokens, o output tokens.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from stair_search.evaluation.retrieval import Recalls, mean_recall, ranks
from stair_search.models.token_head import strongest

from ..losses import Scores, contrastive, distillation, grounding, scores
from .data import Batches, Examples
from .dense import Dense
from .lexicon import Lexicon

log = logging.getLogger(__name__)

IMAGE_TOKENS = 96
TEXT_TOKENS = 32

RIDGE = 3840.0
TEACHER_TEMPERATURE = 0.05
TEACHER_SHARE = 0.9
GROUNDING = 0.02
SHARPNESS = 1.5
"""Of a weight as log odds, over a token's prior."""
EXPANSION = 0.001
EXPANSION_START = 0.5
RIDGE_TEXT = 100.0


def ridge(x: NDArray[np.float32], y: NDArray[np.float32], strength: float) -> NDArray[np.float32]:
    """The w of least |x w - y|^2 + strength |w|^2, float32 [f, o]."""
    gram = (x.T @ x).astype(np.float64) + strength * np.eye(x.shape[1])
    return np.asarray(np.linalg.solve(gram, (x.T @ y).astype(np.float64)), np.float32)


def photo_bags(data: Examples, lexicon: Lexicon) -> NDArray[np.float32]:
    """float32 [n, o]: the share of a photo's captions that hold a token."""
    bag = np.zeros((len(data.views[0]), len(lexicon.outputs)), np.float32)
    np.add.at(bag, data.owner, data.bag.numpy()[:, lexicon.place])
    return np.asarray(bag / np.bincount(data.owner)[:, None], np.float32)


class ImageSide(nn.Module):
    """Starts as the ridge regression onto captions' words, rarer words counting more (IDF)."""

    def __init__(self, data: Examples, lexicon: Lexicon) -> None:
        super().__init__()
        features = data.views[0].numpy()
        target = photo_bags(data, lexicon) * -np.log(lexicon.share[lexicon.place])
        weight = ridge(features, target - target.mean(0), RIDGE)
        scores = features @ weight
        tokens = min(IMAGE_TOKENS, len(lexicon.outputs) - 1)
        threshold = np.partition(scores, -tokens, axis=1)[:, -tokens].mean()
        scale = 0.5 / scores.std()
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(*weight.shape)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor(weight.T * scale))
            self.head.bias.fill_(float(-threshold * scale))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """float32 [n, f] to weights [n, o]."""
        scores = self.head(self.dropout(features))
        return strongest(torch.log1p(torch.relu(scores)), IMAGE_TOKENS)


def token_vectors(
    words: NDArray[np.float32], data: Examples, strength: float = 20.0
) -> NDArray[np.float32]:
    """A vector a token whose sum over a text is near MiniLM's vector of the text, float32 [i, 384].

    words: MiniLM's vectors of the tokens taken alone. What the sum of these lacks is added by a
    ridge regression over the captions; tokens that are rare there stay what they were.
    """
    bag, sentences = data.bag.numpy(), data.sentences.numpy()
    sentences = sentences - sentences.mean(0)
    base = bag @ words
    share = float((base * sentences).sum() / (base * base).sum())
    return words + ridge(bag, sentences / share - base, strength)


class TextSide(nn.Module):
    """own: float32 [i], a token's weight at itself; vectors: float32 [i, 384]; P: 384 to o.

    P starts as the ridge regression from a caption's vectors to the words of all captions of its
    photo: what a word implies is at first what is seen and said together with it.
    """

    def __init__(
        self,
        vectors: NDArray[np.float32],
        data: Examples,
        lexicon: Lexicon,
        implied: NDArray[np.bool_],
    ) -> None:
        super().__init__()
        rarity = -np.log(lexicon.share)
        said = photo_bags(data, lexicon)[data.owner] * rarity[lexicon.place]
        start = ridge(data.bag.numpy() @ vectors, said - said.mean(0), RIDGE_TEXT)
        self.own = nn.Parameter(torch.tensor(rarity / rarity.mean()))
        self.vectors = nn.Parameter(torch.tensor(vectors))
        self.expansion = nn.Linear(vectors.shape[1], len(lexicon.outputs), bias=False)
        with torch.no_grad():
            self.expansion.weight.copy_(torch.tensor(start.T * EXPANSION_START))
        self.implied = torch.tensor(implied)
        self.place = torch.tensor(lexicon.place)

    def forward(self, bag: torch.Tensor) -> torch.Tensor:
        """float32 [m, i] to weights [m, o]."""
        return self.strongest(bag, self.expand(bag))

    def expand(self, bag: torch.Tensor) -> torch.Tensor:
        """What the tokens imply, float32 [m, o], of both signs."""
        there = torch.nonzero(bag.any(0))[:, 0]
        return bag[:, there] @ self.rows(there)

    def rows(self, there: torch.Tensor) -> torch.Tensor:
        """Expansions of single tokens, float32 [k, o]; above 0 only where one implies the other."""
        rows: torch.Tensor = self.expansion(self.vectors[there])
        return torch.where(self.implied[there], rows, rows.clamp(max=0))

    def strongest(self, bag: torch.Tensor, expansion: torch.Tensor) -> torch.Tensor:
        """Own weights and expansion together, pruned."""
        total = expansion + (bag * self.own)[:, self.place]
        return strongest(torch.relu(total), TEXT_TOKENS)


class Sparse(nn.Module):
    def __init__(self, images: ImageSide, texts: TextSide) -> None:
        super().__init__()
        self.images, self.texts = images, texts
        self.log_scale = nn.Parameter(torch.tensor(math.log(20.0)))


class Teacher:
    """Similarity of photos and captions as the mean over several dense models."""

    def __init__(self, models: Sequence[Dense], data: Examples) -> None:
        with torch.no_grad():
            self._images = torch.cat([model.images(data.views[0]) for model in models], 1)
            self._texts = torch.cat([model.texts(data.sentences) for model in models], 1)

    def scores(self, photos: NDArray[np.int64], captions: NDArray[np.int64]) -> Scores:
        """Of b photos and b captions."""
        return scores(self._images[photos], self._texts[captions], 1 / TEACHER_TEMPERATURE)


def train_sparse(
    model: Sparse,
    data: Examples,
    lexicon: Lexicon,
    teacher: Teacher,
    validation: Examples,
    epochs: int = 24,
    seed: int = 0,
) -> Sparse:
    torch.manual_seed(seed)
    batches = Batches(data, 256, seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, 1e-3, total_steps=epochs * len(batches), pct_start=0.1
    )
    bag = torch.tensor(photo_bags(data, lexicon))
    prior = torch.logit(bag.mean(0), 1e-5)
    for epoch in range(epochs):
        model.train()
        total = 0.0
        for features, photos, captions in batches.epoch():
            weights = model.images(features)
            scale = model.log_scale.exp().clamp(max=60)
            # a text must not hang on one word
            words = data.bag[captions] * (torch.rand(len(captions), data.bag.shape[1]) > 0.1)
            expansion = model.texts.expand(words)
            of = scores(weights, model.texts.strongest(words, expansion), scale)
            loss = (1 - TEACHER_SHARE) * contrastive(of)
            loss = loss + TEACHER_SHARE * distillation(of, teacher.scores(photos, captions))
            # a word implies few: pruning its row then hardly hurts
            loss = loss + EXPANSION * expansion.abs().sum(1).mean()
            loss = loss + GROUNDING * grounding(SHARPNESS * weights, bag[photos], prior)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss.detach())
        model.eval()
        with torch.no_grad():
            images, texts = model.images(validation.views[0]), model.texts(validation.bag)
        found = ranks(images.numpy(), texts.numpy(), validation.owner.tolist())
        recall = mean_recall(Recalls.of(found.text_to_image), Recalls.of(found.image_to_text))
        mean = total / len(batches)
        log.info("  epoch %d of %d: loss %.3f, validation mR %.1f", epoch + 1, epochs, mean, recall)
    return model
