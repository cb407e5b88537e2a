"""One door to all places that photos lie in."""

from __future__ import annotations

from dataclasses import dataclass

from ..photo import Place
from . import local
from .addresses import Allowed
from .content import Content


@dataclass(frozen=True)
class Reader:
    """allowed: which web addresses may be asked. May be used by several threads, and pickled."""

    allowed: Allowed

    def version(self, place: Place) -> str | None:
        """What can be told without reading; None where only the server knows. Raises PhotoError."""
        return None if place.remote else local.version(place)

    def read(self, place: Place, known: str | None = None) -> Content | None:
        """None where a server says that the photo is as `known` tells.

        Raises PhotoError; UsageError where addresses need a package that is not installed.
        """
        if not place.remote:
            return local.read(place)
        from .http import Http  # brings aiohttp, which files can do without

        return Http(self.allowed).get(place.address, known)
