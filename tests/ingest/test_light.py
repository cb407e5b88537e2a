"""Without the extra [starter] there is no Pillow: past jobs can be seen, photos say what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.house.light import without_the_heavy
from tests.ingest.conftest import MakeJob

SCRIPT = """
from pathlib import Path

import pytest
from stair_search.engines import connect
from stair_search.errors import UsageError
from stair_search.ingest import jobs, retry, verify

(past,) = jobs(Path({folder!r}))
engine = connect(past.settings.url)
print(verify(past.folder, engine).equal)
try:
    retry(past.folder, engine)
except UsageError as error:
    print(error)
"""


@pytest.mark.slow
def test_past_jobs_without_pillow(photos: Path, make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job(photos, folder=tmp_path / "jobs" / "one")
    job()
    told = without_the_heavy([], SCRIPT.format(folder=str(tmp_path / "jobs"))).splitlines()
    assert told[0] == "True"
    assert "pip install 'stair-search[starter]'" in told[1]
