"""Prompt templates: how a class's name becomes texts that look like captions.

A class's vector is the mean over its prompts (Radford et al. 2021, section 3.1.4: "prompt
ensembling"). CLIP's eighty ImageNet templates are not copied here; the short list below has the
kinds that its authors found to matter: plain, poor, close, small, large, drawn. Another list is a
file with a template a line, `{}` standing for the name.
"""

from __future__ import annotations

from pathlib import Path

from stair_search.errors import UsageError

ENSEMBLE = (
    "a photo of a {}.",
    "a blurred photo of a {}.",
    "a close view of a {}.",
    "a small {} in the distance.",
    "a large {}.",
    "a drawing of a {}.",
    "several {}, photographed.",
)
PHOTO = ("a photo of a {}.",)
NAME = ("{}",)

TEMPLATES = {"ensemble": ENSEMBLE, "photo": PHOTO, "name": NAME}


def read_templates(name: str) -> tuple[str, ...]:
    """By name, or from a file. Raises UsageError.

    >>> read_templates("photo")
    ('a photo of a {}.',)
    """
    if name in TEMPLATES:
        return TEMPLATES[name]
    try:
        lines = [line.strip() for line in Path(name).read_text("utf-8-sig").splitlines()]
    except (OSError, ValueError) as error:
        known = ", ".join(TEMPLATES)
        raise UsageError(f"no templates {name!r}: known are {known}, or a file ({error})") from None
    found = tuple(line for line in lines if line)
    bad = next((line for line in found if line.count("{}") != 1), None)
    if bad is not None or not found:
        raise UsageError(f"{name}: a template holds {{}} once, for the class's name; {bad!r}")
    return found


def prompts(names: list[str], templates: tuple[str, ...]) -> list[str]:
    """All prompts, those of a class one after the other.

    >>> prompts(["cat", "dog"], ("a {}", "the {}"))
    ['a cat', 'the cat', 'a dog', 'the dog']
    """
    return [template.replace("{}", name) for name in names for template in templates]
