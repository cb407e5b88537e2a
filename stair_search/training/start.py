"""A recipe's model as it is before its first step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from stair_search import encoders
from stair_search.errors import UsageError
from stair_search.models import (
    DualEncoder,
    HeadConfig,
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
from stair_search.models.token_head import centred
from stair_search.models.words import is_word, whole_words

from .recipe import ImageRecipe, ModelRecipe, Recipe
from .step import chosen

BERT = Path(encoders.__file__).parent / "starter"
"""Holds BERT's uncased vocabulary, which comes with the package."""


def start(recipe: Recipe, captions: Sequence[str]) -> DualEncoder:
    """Published towers with their weights, the image side that `image.of` names; all else random,
    the same for a recipe's seed.

    captions: what outputs are chosen from, where the recipe asks for that. Raises ModelError,
    UsageError.
    """
    wanted = recipe.model
    text = text_backbone(wanted.text.backbone) if wanted.text.backbone else None
    tokens = text.tokens if text else read_wordpiece(BERT)
    given = _given(wanted, tokens)
    image = _image(wanted.image, given)
    config = image if isinstance(image, ImageConfig) else image.config
    model = ModelConfig(
        kind=wanted.kind,
        name=recipe.name,
        image=replace(config, head=_head(given) if given else wanted.image.head),
        text=_text(wanted, text),
        temperature=wanted.temperature,
        own_embeddings=wanted.own_embeddings,
    )
    built = build(
        model,
        tokens,
        outputs=given.outputs if given else _outputs(wanted, tokens, captions),
        seed=recipe.seed,
        image_tower=image.tower if isinstance(image, ImageBackbone) else None,
        text_tower=text.tower if text and model.text.tower else None,
    )
    if text and built.text_table is not None:
        _take_embeddings(built, text.tower.embeddings.weight.detach())
    if given:
        _take_image_side(built, given)
        _check_that_it_stays(built, recipe)
    return built


def _head(given: DualEncoder) -> HeadConfig:
    """With the width of its embeddings, which were the text tower's."""
    assert given.embeddings is not None
    return replace(given.config.image.head, dimensions=given.embeddings.embedding_dim)


def _given(wanted: ModelRecipe, tokens: Sequence[str]) -> DualEncoder | None:
    """The model whose image side is to be kept. Raises UsageError where it cannot be."""
    from stair_search.models.files import from_pretrained

    if wanted.image.of is None:
        return None
    given = from_pretrained(wanted.image.of)
    if given.embeddings is None or not (wanted.own_embeddings or wanted.text.table):
        raise UsageError(
            f"model.image.of {wanted.image.of}: both models need a table of embeddings of their "
            "own (own_embeddings): the image side would change with the other text tower"
        )
    if given.tokens != tuple(tokens):
        raise UsageError(f"model.image.of {wanted.image.of}: it has another vocabulary")
    return given


def _check_that_it_stays(model: DualEncoder, recipe: Recipe) -> None:
    parts = model.parts()
    image = {id(one) for one in (*parts["image"], *parts["embeddings"])}
    for stage in recipe.stages:
        if any(id(one) in image for one in chosen(model, stage)):
            raise UsageError(
                f"stage {stage.name} trains the image side that model.image.of gives: photos that "
                "are encoded already would no longer fit; leave image_tower, image_head and "
                "embeddings out of its trains"
            )


def _take_image_side(model: DualEncoder, given: DualEncoder) -> None:
    assert model.embeddings is not None and given.embeddings is not None
    if model.embeddings.weight.shape != given.embeddings.weight.shape:
        raise UsageError(
            f"model.image.of: its embeddings have {given.embeddings.embedding_dim} dimensions, "
            f"those of the text tower {model.embeddings.embedding_dim}"
        )
    model.embeddings.load_state_dict(given.embeddings.state_dict())
    model.image_head.load_state_dict(given.image_head.state_dict())
    model.log_temperature.data.copy_(given.log_temperature.data)


def _take_embeddings(model: DualEncoder, table: Tensor) -> None:
    """What a published tower knows of single tokens, where a model without one has room for it."""
    assert model.embeddings is not None and model.text_table is not None
    own, vectors = model.embeddings.weight, model.text_table.vectors
    if own.shape[1] == table.shape[1]:
        own.data.copy_(table[model.outputs])
    if vectors is not None and vectors.weight.shape == table.shape:
        vectors.weight.data.copy_(centred(table))


def _image(wanted: ImageRecipe, given: DualEncoder | None) -> ImageConfig | ImageBackbone:
    if given:
        return ImageBackbone(given.config.image, given.image_tower)
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
        # the backbone gives its vocabulary and its embeddings, see `_take_embeddings`
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
