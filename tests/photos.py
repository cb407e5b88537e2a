"""Real photos that come with installed packages."""

from __future__ import annotations

import importlib.util
from pathlib import Path

PHOTOS = {
    "skimage/data": "astronaut brick camera cat chelsea coffee coins color grass gravel horse "
    "hubble_deep_field moon motorcycle_left motorcycle_right retina rocket",
    "sklearn/datasets/images": "china flower",
    "interior_photos/images": "*",
}


def package_photos() -> dict[str, Path]:
    """Some 57, JPEG and PNG, where they lie, by a name that starts with their package's."""
    found = {}
    for place, names in PHOTOS.items():
        package, _, inside = place.partition("/")
        spec = importlib.util.find_spec(package)  # found, not imported: they are heavy
        assert spec is not None, f"{package} is not installed: pip install -e '.[test]'"
        assert spec.origin is not None
        for photo in sorted((Path(spec.origin).parent / inside).iterdir()):
            wanted = names == "*" or photo.stem in names.split()
            if wanted and photo.suffix in {".jpg", ".png"}:
                found[f"{package}-{photo.name}"] = photo
    return found
