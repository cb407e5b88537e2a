"""The engines that hold photos and answer questions, behind one small interface."""

from __future__ import annotations

from stair_search.engines.base import Bucket as Bucket
from stair_search.engines.base import Document as Document
from stair_search.engines.base import Engine as Engine
from stair_search.engines.base import EngineInfo as EngineInfo
from stair_search.engines.base import Hit as Hit
from stair_search.engines.base import Hits as Hits
from stair_search.engines.base import Outcome as Outcome
from stair_search.engines.base import RequestError as RequestError
from stair_search.engines.connect import connect as connect
