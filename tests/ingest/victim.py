"""A run of ingest in a process of its own, to be killed: settings as JSON on stdin."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from stair_search.engines import connect
from stair_search.ingest import JobSettings, Progress, run
from tests.ingest.standin import ColourEncoder


def main() -> None:
    told = json.load(sys.stdin)
    settings = JobSettings.from_dict(told["settings"])
    encoder = ColourEncoder(log=Path(told["log"]), seconds=told["seconds"])

    def tell(progress: Progress) -> None:
        if progress.notice:
            print(progress.notice, flush=True)

    run(settings, connect(settings.url), encoder=encoder, progress=tell)


if __name__ == "__main__":
    main()
