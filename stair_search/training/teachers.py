"""Models that teach: what they see fits what, a student is to learn."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from stair_search.errors import UsageError

from .recipe import Recipe

if TYPE_CHECKING:
    from stair_search.models import DualEncoder


def load_teachers(recipe: Recipe, model: DualEncoder) -> list[DualEncoder]:
    """A recipe's teachers. They are given what the model is given: ids of its vocabulary, photos in
    its way, and where its towers are frozen what these say; a model without a text tower is taught
    by models that share one.

    Raises UsageError for one that does not fit, ModelError for one that is none.
    """
    from stair_search.models.files import from_pretrained

    from .features import tower_hash
    from .step import is_frozen

    found: list[DualEncoder] = []
    for folder in recipe.teachers:
        teacher = from_pretrained(folder)
        alike = {
            "vocabulary": teacher.tokens == model.tokens,
            "view of photos": replace(teacher.config.image, head=model.config.image.head)
            == model.config.image,
        }
        for part in ("image_tower", "text_tower"):
            ours, theirs = getattr(model, part), getattr(teacher, part)
            if part == "text_tower" and ours is None and found:
                ours = found[0].text_tower
            if ours and theirs and is_frozen(model, part, recipe.stages):
                alike[part.replace("_", " ")] = tower_hash(ours) == tower_hash(theirs)
        if other := [name for name, same in alike.items() if not same]:
            raise UsageError(
                f"teacher {folder}: another {other[0]} than that of recipe {recipe.name}; a "
                "teacher is trained on the same towers"
            )
        found.append(teacher)
    return found
