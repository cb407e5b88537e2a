"""Two towers, two heads, one space: STAIR, its dense rival, and STAIR without a text network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from stair_search.errors import ModelError
from stair_search.pixels import prepare_image

from .config import HeadConfig, ModelConfig
from .dense_head import DenseHead
from .own_tokens import OwnTokens
from .states import States
from .text_table import TextTable
from .token_head import TokenHead
from .tokenise import Tokeniser, check_tokens
from .towers import ImageTower, TextTower

if TYPE_CHECKING:
    from PIL.Image import Image

LARGEST_SCALE = 100.0
"""1/temperature beyond which CLIP found training unstable (arXiv 2103.00020, 2.5)."""


class DualEncoder(nn.Module):
    """See `build`. The vectors that come out have any length and are compared by cosine.

    config; tokens: the vocabulary; outputs: int64 [o], the vocabulary ids of the columns that token
    heads and tables give (None of a dense model).
    """

    def __init__(
        self,
        config: ModelConfig,
        tokens: Sequence[str],
        outputs: torch.Tensor | None,
        image_tower: ImageTower,
        text_tower: TextTower | None,
    ) -> None:
        super().__init__()
        self.config = config
        self.tokens = tuple(tokens)
        self.image_tower, self.text_tower = image_tower, text_tower
        self.embeddings: nn.Embedding | None = None
        self.text_head: nn.Module | None = None
        self.text_table: TextTable | None = None
        self.own_tokens: OwnTokens | None = None
        if config.kind == "clip":
            outputs = None
        elif outputs is None:
            outputs = torch.arange(len(tokens))
        self.register_buffer("outputs", outputs)
        if outputs is not None:
            self.own_tokens = OwnTokens(self.tokens, outputs)
        if text_tower is None:
            assert outputs is not None
            self.embeddings = nn.Embedding(len(outputs), config.image.head.dimensions)
        elif config.own_embeddings:
            # of the outputs alone: a twentieth of the vocabulary where photos are few
            rows = text_tower.embeddings.weight.detach()
            self.embeddings = nn.Embedding.from_pretrained(rows[outputs].clone(), freeze=False)
        self.image_head = self._head(image_tower.hidden, config.image.head)
        if text_tower is not None:
            assert config.text.head is not None
            self.text_head = self._head(text_tower.hidden, config.text.head)
        else:
            assert self.own_tokens is not None and config.text.table is not None
            self.text_table = TextTable(self.own_tokens, config.text.table)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(config.temperature)))
        for name in ("mean", "deviation"):
            value = torch.tensor(getattr(config.image, name)).view(3, 1, 1)
            self.register_buffer(name, value, persistent=False)

    def _head(self, hidden: int, config: HeadConfig) -> nn.Module:
        if config.kind == "dense":
            return DenseHead(hidden, config)
        assert self.outputs is not None
        # None spares the head a copy of the whole table
        whole = self.embeddings is not None or len(self.outputs) == len(self.tokens)
        return TokenHead(hidden, self._embeddings(), None if whole else self.outputs, config)

    def _embeddings(self) -> nn.Embedding:
        if self.embeddings is not None:
            return self.embeddings
        assert self.text_tower is not None
        return self.text_tower.embeddings

    # --- photos ---------------------------------------------------------------------------------

    def prepare_image(self, image: Image) -> NDArray[np.uint8]:
        """An upright RGB photo as the model wants it, uint8 [s, s, 3]."""
        return prepare_image(image, self.config.image.view)

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """uint8 [b, s, s, 3] to float [b, 3, s, s], on the device that they are on."""
        scaled = pixels.permute(0, 3, 1, 2).to(self.mean.dtype) / 255
        return (scaled - self.mean) / self.deviation

    def image_states(self, pixels: torch.Tensor) -> States:
        """The tower alone, float [b, 3, s, s]: what is worth keeping where it is frozen."""
        states: States = self.image_tower(pixels)
        return states

    def encode_image(self, states: States) -> torch.Tensor:
        """[b, o] weights of tokens, or [b, d]."""
        encoded: torch.Tensor = self.image_head(states)
        return encoded

    # --- texts ----------------------------------------------------------------------------------

    @cached_property
    def _tokeniser(self) -> Tokeniser:
        return Tokeniser(self.tokens, self.config.text.length)

    def tokenise(
        self, texts: Sequence[str], prompt: str | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids int64 [b, t] and mask bool [b, t]; longer texts are cut to the model's length.

        prompt: put before each text; None for the model's own (see `TextConfig`).
        """
        if prompt is None:
            # to a table the prompt's words are words as any other: each text would ask for them
            prompt = "" if self.text_tower is None else self.config.text.prompt
        return self._tokeniser([prompt + text for text in texts])

    def text_states(self, ids: torch.Tensor, mask: torch.Tensor) -> States | None:
        """The tower alone; None where there is none."""
        if self.text_tower is None:
            return None
        states: States = self.text_tower(ids, mask)
        return states

    def encode_text(
        self,
        states: States | None,
        ids: torch.Tensor,
        mask: torch.Tensor,
        own_only: bool = False,
    ) -> torch.Tensor:
        """[b, o] weights of tokens, or [b, d]. own_only: those of the text's own tokens (Eq. 8)."""
        if self.text_table is not None:
            encoded: torch.Tensor = self.text_table(ids, mask)
            return encoded * self.own_mask(ids, mask) if own_only else encoded
        assert self.text_head is not None and states is not None
        if own_only:
            if self.own_tokens is None:
                raise ModelError(f"{self.config.name} is dense: it has no tokens to mask")
            encoded = self.text_head.own(states, *self.own_tokens.columns(ids, mask))
        else:
            encoded = self.text_head(states)
        return encoded

    def own_mask(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Eq. 8's mask(y), bool [b, o]: the text's tokens, special ones left out."""
        if self.own_tokens is None:
            raise ModelError(f"{self.config.name} is dense: it has no tokens to mask")
        own: torch.Tensor = self.own_tokens.mask(ids, mask)
        return own

    # --- training -------------------------------------------------------------------------------

    @property
    def temperature(self) -> torch.Tensor:
        """At least 1/100, by holding the parameter there: a clamped value would get no gradient."""
        with torch.no_grad():
            self.log_temperature.clamp_(min=-math.log(LARGEST_SCALE))
        return self.log_temperature.exp()

    def parts(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by the names that a stage freezes.

        "image" is "image_tower" and "image_head", "text" is "text_tower", "text_head" or the table,
        and "embeddings" (the tower's, unless the model has its own). A token head of the image side
        is tied to "embeddings" too: the image side as a whole stands still only where these are
        frozen as well. Without a text tower they are on neither side. "image_tower_last" and
        "text_tower_last" are the last blocks of the towers (see `towers`).
        """
        image_tower, image_head = self.image_tower.parameters(), self.image_head.parameters()
        found: dict[str, list[nn.Parameter]] = {
            "image_tower": list(image_tower),
            "image_head": list(image_head),
            "image_tower_last": self.image_tower.last(),
            "text_tower": [] if self.text_tower is None else list(self.text_tower.parameters()),
            "text_tower_last": [] if self.text_tower is None else self.text_tower.last(),
            "text_head": [
                parameter
                for part in (self.text_head, self.text_table)
                if part is not None
                for parameter in part.parameters()
            ],
            "embeddings": [self._embeddings().weight],
            "temperature": [self.log_temperature],
        }
        found["image"] = found["image_tower"] + found["image_head"]
        found["text"] = found["text_tower"] + found["text_head"]
        if self.text_tower is not None and self.embeddings is not None:
            found["text"] += found["embeddings"]
        return found


def build(
    config: ModelConfig,
    tokens: Sequence[str],
    outputs: Sequence[int] | torch.Tensor | NDArray[np.integer] | None = None,
    seed: int = 0,
    image_tower: ImageTower | None = None,
    text_tower: TextTower | None = None,
    device: str = "cpu",
) -> DualEncoder:
    """A model with random weights, the same for the same seed; given towers are used as they are.

    tokens: the vocabulary. outputs: the ids that may come out, None for all. device: "meta" for
    shapes alone, without memory. Raises ModelError where they do not fit the towers.
    """
    check_tokens(tokens)
    # the CPU's numbers alone: weights are made there, and a GPU's stay where they were
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        if image_tower is None:
            with torch.device(device):
                image_tower = ImageTower(config.image)
        elif image_tower.grid != config.image.grid:
            raise ModelError(
                f"image.grid is {config.image.grid}, the tower given was made for "
                f"{image_tower.grid}"
            )
        if text_tower is None and config.text.tower is not None:
            with torch.device(device):
                text_tower = TextTower(config.text.tower)
        if text_tower is not None:
            _check_fit(config, text_tower, len(tokens))
        ids = _output_ids(outputs, len(tokens))
        with torch.device(device):
            return DualEncoder(config, tokens, ids, image_tower, text_tower)


def _check_fit(config: ModelConfig, tower: TextTower, vocabulary: int) -> None:
    rows = tower.embeddings.num_embeddings
    if rows != vocabulary:
        raise ModelError(
            f"the vocabulary of {vocabulary} tokens does not fit the text tower, whose table has "
            f"{rows} rows: take the vocab.txt that the tower was trained with"
        )
    longest = getattr(tower.network.config, "max_position_embeddings", None)
    if longest is not None and longest < config.text.length:
        raise ModelError(
            f"text.length {config.text.length} is beyond the {longest} positions of the text tower"
        )


def _output_ids(
    outputs: Sequence[int] | torch.Tensor | NDArray[np.integer] | None, vocabulary: int
) -> torch.Tensor | None:
    if outputs is None:
        return None
    ids = torch.as_tensor(outputs, dtype=torch.int64).flatten()
    if not len(ids):
        raise ModelError("outputs: no id at all; a model has to say something")
    if len(ids.unique()) < len(ids):
        raise ModelError("outputs: an id stands there twice")
    if int(ids.min()) < 0 or int(ids.max()) >= vocabulary:
        wrong = next(int(i) for i in ids if not 0 <= i < vocabulary)
        raise ModelError(f"outputs: id {wrong} is none of a vocabulary of {vocabulary} tokens")
    if len(ids) == vocabulary and not bool((ids == torch.arange(vocabulary)).all()):
        raise ModelError("outputs: where all ids come out they have their own order, or are None")
    return ids
