from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from stair_search.training.data import Data
    from stair_search.training.recipe import Recipe
    from stair_search.training.run import Result

TINY = Path(__file__).parent / "tiny.toml"
WORDS = ("a", "red", "chair", "by", "the", "window", "of", "a", "house", "with", "a", "tree", "dog")


@pytest.fixture(scope="session")
def pairs(package_photos: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 photos to learn from with two captions each, and 8 to validate with."""
    rows = ["image,caption,split"]
    for i, photo in enumerate(package_photos[:32]):
        split = "val" if i % 4 == 3 else "train"
        rows += [f"{photo.name},{' '.join(WORDS[(i + k) % 9 :][:6])} {i},{split}" for k in (0, 4)]
    file = tmp_path_factory.mktemp("pairs") / "pairs.csv"
    file.write_text("\n".join(rows) + "\n")
    return file


@pytest.fixture(scope="session")
def data(pairs: Path, package_photos: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Data:
    """The pairs with small copies of their photos: opening the large ones is most of a tiny run."""
    from stair_search.training.data import read_data

    folder = tmp_path_factory.mktemp("small")
    for photo in package_photos[:32]:
        copy = open_photo(photo)
        copy.thumbnail((96, 96))
        copy.save(folder / photo.name)
    return read_data(pairs, folder)


def open_photo(path: Path) -> Any:
    from PIL import Image

    return Image.open(path).convert("RGB")


@pytest.fixture(scope="session")
def tiny() -> Callable[..., Recipe]:
    """The tiny recipe, or another one, with settings."""
    from stair_search.training.recipe import load

    return lambda *settings, name=str(TINY): load(name, settings)


@pytest.fixture
def go(data: Data, tmp_path: Path) -> Callable[..., Result]:
    """Trains a recipe on the tiny data, on the CPU."""
    from stair_search.training.run import train

    def run(recipe: Recipe, folder: Path | None = None, **named: Any) -> Result:
        given: dict[str, Any] = {"cache": tmp_path / "cache", "device": "cpu"}
        given |= {"data": data, "run": folder or tmp_path / "run", "open_photo": open_photo}
        return train(recipe, **given | named)

    return run
