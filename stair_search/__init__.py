"""stair-search: photos as weighted vocabulary tokens in the search engine that you already run.

>>> from stair_search import connect, load_encoder, question
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from stair_search.version import __version__ as __version__

if TYPE_CHECKING:
    from stair_search.encoders import load_encoder as load_encoder
    from stair_search.engines import connect as connect
    from stair_search.queries import question as question

_HOMES = {
    "connect": "stair_search.engines",
    "load_encoder": "stair_search.encoders",
    "question": "stair_search.queries",
}


def __getattr__(name: str) -> Any:  # a shell command must not pay for what it does not use
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
