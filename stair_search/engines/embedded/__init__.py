"""Search in one SQLite file: the engine for a first look, a laptop, a test.

The same documents, queries, scores and reasons as in a cluster; no server, no dependency.
"""

from __future__ import annotations

from stair_search.engines.embedded.engine import SqliteEngine as SqliteEngine
