"""Settings from `stair-search.toml`, which become the defaults of click's options.

    url = "https://search.example.org:9200"      # for every command that has the option
    index = "holidays"
    [search]                                     # for one command
    size = 20
    ["index create"]
    shards = 3

Holds no secrets: passwords and keys come from the environment alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..toml import read_toml

NAME = "stair-search.toml"
SHARED = ("url", "index", "ca_certs", "no_verify_certs", "aws_region", "timeout", "format", "model")
SECRETS = ("username", "password", "api_key")


def settings(commands: Collection[str]) -> dict[str, Any]:
    """What the files say, table by table. Raises UsageError for what no command could use."""
    merged: dict[str, Any] = {}
    for path in reversed(list(places())):
        if path.is_file():
            for name, value in _read(path, commands).items():
                table = isinstance(value, Mapping)
                merged[name] = {**merged.get(name, {}), **value} if table else value
    return merged


def places() -> Iterator[Path]:
    """Where settings are looked for; what stands in an earlier one wins."""
    yield Path(NAME)
    from platformdirs import user_config_path

    yield user_config_path("stair-search") / NAME


def for_command(settings: Mapping[str, Any], name: str, options: Collection[str]) -> dict[str, Any]:
    """The defaults of one command: its own table over what holds for all.

    >>> for_command({"index": "photos", "search": {"size": 5}}, "search", ["index", "size"])
    {'index': 'photos', 'size': 5}
    """
    own = settings.get(name, {})
    # `index` is the name of an option and of a group of commands
    own = own if isinstance(own, Mapping) else {}
    for key in own:
        if key not in options:
            raise UsageError(f"{NAME}: [{name}] has no setting {key!r}{_near(key, options)}")
    return {**{key: settings[key] for key in SHARED if key in settings}, **own}


def _read(path: Path, commands: Collection[str]) -> dict[str, Any]:
    values = read_toml(path)
    for name, value in values.items():
        if name in SECRETS:
            raise UsageError(
                f"{path} holds {name!r}: secrets are taken from the environment only (ES_API_KEY, "
                "ES_USERNAME, ES_PASSWORD, OPENSEARCH_USERNAME, OPENSEARCH_PASSWORD)"
            )
        known = [*commands] if isinstance(value, Mapping) else [*SHARED]
        if name.split(" ")[0] not in known:
            raise UsageError(f"{path}: unknown setting {name!r}{_near(name, known)}")
    return values


def _near(name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, known, 1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}"
