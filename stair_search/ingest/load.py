"""Settings of an index while it is filled: nothing is refreshed, and nothing copied to replicas.

What stood before is in the ledger before anything is changed, so that it is put back also after a
`kill -9`: by whatever is done with the job next.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import tenacity

from stair_search.engines.base import Engine, RequestError
from stair_search.errors import DestinationError

from .bulk import LATER
from .ledger import Ledger

REFUSED = (400, 403)
"""A user who may not, or a service that has no such settings."""

LOADING = {"refresh_interval": "-1", "number_of_replicas": "0"}

_patient = tenacity.retry(
    retry=tenacity.retry_if_exception(lambda e: isinstance(e, RequestError) and e.status in LATER),
    wait=tenacity.wait_random_exponential(max=5),
    stop=tenacity.stop_after_delay(30),
    reraise=True,
)


@contextmanager
def loading(
    engine: Engine, index: str, ledger: Ledger, wanted: bool, tell: Callable[[str], None]
) -> Iterator[None]:
    """Changes the settings where that is wanted, and puts them back however it ends.

    What an earlier run left is put back first. Raises DestinationError where that cannot be done,
    unless the run has ended badly already; then `tell` is told.
    """
    put_back(engine, index, ledger, tell)
    if wanted and engine.info.product != "sqlite":
        _change(engine, index, ledger, tell)
    try:
        yield
    except BaseException:
        try:
            put_back(engine, index, ledger, tell)
        except DestinationError as error:
            tell(f"{index} has settings for loading; the same command puts them back: {error}")
        raise
    put_back(engine, index, ledger, tell)


def _change(engine: Engine, index: str, ledger: Ledger, tell: Callable[[str], None]) -> None:
    before = engine.settings(index)
    kept = {name: before.get(name) for name in LOADING}
    uuid = engine.uuid(index)
    if kept == LOADING or "," in uuid:
        # another job is filling it, and puts them back; or the name is an alias of several
        return
    ledger.note("load", json.dumps({"uuid": uuid, "settings": kept}))
    try:
        _patient(engine.change_settings)(index, LOADING)
    except RequestError as error:
        if error.status not in REFUSED:
            raise
        tell(f"{index} is filled with its own settings: {error}")
        ledger.note("load", None)


@_patient
def put_back(engine: Engine, index: str, ledger: Ledger, tell: Callable[[str], None]) -> None:
    """Undoes what the ledger tells of; nothing where the index has been made anew since."""
    told = ledger.about("load")
    if told is None:
        return
    left = json.loads(told)
    if engine.exists(index) and engine.uuid(index) == left["uuid"]:
        try:
            engine.change_settings(index, left["settings"])
        except RequestError as error:
            if error.status not in REFUSED:
                raise
            tell(f"{index} is left with settings for loading, put back {left['settings']}: {error}")
    ledger.note("load", None)
