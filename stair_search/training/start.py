"""A recipe's model as it is before its first step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor
from torch.nn import functional

from stair_search import encoders
from stair_search.errors import UsageError
from stair_search.models import (
    DualEncoder,
    ImageConfig,
    ModelConfig,
    TextConfig,
    build,
)
from stair_search.models.backbones import (
    ImageBackbone,
    TextBackbone,
    image_backbone,
    read_wordpiece,
    text_backbone,
)

from .recipe import ImageRecipe, ModelRecipe, Recipe
from .starter.lexicon import is_word, whole_words

BERT = Path(encoders.__file__).parent / "starter"
"""Holds BERT's uncased vocabulary, which comes with the package."""


def start(recipe: Recipe, captions: Sequence[str]) -> DualEncoder:
    """Published towers with their weights, all else random, the same for a recipe's seed.

    captions: what outputs are chosen from, where the recipe asks for that. Raises ModelError,
    UsageError.
    """
    wanted = recipe.model
    text = text_backbone(wanted.text.backbone) if wanted.text.backbone else None
    tokens = text.tokens if text else read_wordpiece(BERT)
    image = _image(wanted.image)
    config = image if isinstance(image, ImageConfig) else image.config
    model = ModelConfig(
        kind=wanted.kind,
        name=recipe.name,
        image=replace(config, head=wanted.image.head),
        text=_text(wanted, text),
        temperature=wanted.temperature,
        own_embeddings=wanted.own_embeddings,
    )
    built = build(
        model,
        tokens,
        outputs=_outputs(wanted, tokens, captions),
        seed=recipe.seed,
        image_tower=image.tower if isinstance(image, ImageBackbone) else None,
        text_tower=text.tower if text and model.text.tower else None,
    )
    if text and built.text_table is not None:
        _take_embeddings(built, text.tower.embeddings.weight.detach())
    return built


def _take_embeddings(model: DualEncoder, table: Tensor) -> None:
    """What a published tower knows of single tokens, where a model without one has room for it."""
    assert model.embeddings is not None and model.text_table is not None
    centred = functional.normalize(table - table.mean(dim=0), dim=1)
    own, vectors = model.embeddings.weight, model.text_table.vectors
    if own.shape[1] == table.shape[1]:
        own.data.copy_(table[model.outputs])
    if vectors is not None and vectors.weight.shape == table.shape:
        vectors.weight.data.copy_(centred)


def _image(wanted: ImageRecipe) -> ImageConfig | ImageBackbone:
    if (wanted.backbone is None) == (wanted.tower is None):
        raise UsageError("model.image: a recipe names a backbone or describes a tower")
    if wanted.backbone is not None:
        return image_backbone(wanted.backbone, wanted.grid, wanted.size)
    assert wanted.tower is not None
    if wanted.size is None or wanted.mean is None or wanted.deviation is None:
        raise UsageError("model.image: a tower at random weights needs size, mean and deviation")
    return ImageConfig(
        wanted.tower,
        wanted.size,
        wanted.mean,
        wanted.deviation,
        resize=wanted.resize,
        grid=wanted.grid,
    )


def _text(wanted: ModelRecipe, backbone: TextBackbone | None) -> TextConfig:
    text = wanted.text
    if text.table is not None:
        # the backbone gives its vocabulary alone
        return TextConfig(length=text.length, prompt=text.prompt, table=text.table)
    if (backbone is None) == (text.tower is None):
        raise UsageError("model.text: a recipe names a backbone, or describes a tower or a table")
    tower = backbone.config if backbone else text.tower
    return TextConfig(tower, text.length, text.prompt, text.head)


def _outputs(
    wanted: ModelRecipe, tokens: Sequence[str], captions: Sequence[str]
) -> list[int] | None:
    if wanted.least is None or wanted.kind == "clip":
        return None
    from stair_search.models.tokenise import Tokeniser

    tokenise = Tokeniser(tokens, wanted.text.length)
    counts: Counter[int] = Counter()
    for at in range(0, len(captions), 1024):
        ids, mask = tokenise(captions[at : at + 1024])
        for row, there in zip(ids, mask, strict=True):
            counts.update(set(whole_words(row[there].tolist(), tokens)))
    found = [i for i, n in counts.items() if n >= wanted.least and is_word(tokens[i])]
    if not found:
        raise UsageError(
            f"no word stands in {wanted.least} captions or more, and there are {len(captions)} "
            "captions: lower model.least (--set model.least=1)"
        )
    return sorted(found)
