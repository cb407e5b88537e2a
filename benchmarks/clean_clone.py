"""Seconds and megabytes of `make demo` (or `make test`) on a clean clone, first and second time.

    python benchmarks/clean_clone.py            # demo
    python benchmarks/clean_clone.py test

The clone has caches of its own (pip's, Maven's, the engine nodes'), so the first time downloads
everything. Megabytes downloaded are those that pip's log tells, and what Maven's repository grew
by. Prints one JSON line a run. What is committed is cloned, not what lies in the working tree.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main(target: str) -> int:
    with tempfile.TemporaryDirectory(prefix="stair-clean-clone-") as name:
        folder = Path(name)
        clone, caches = folder / "clone", folder / "caches"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        if (shared := ROOT.parent / "shared").is_dir():  # tests look for data beside the clone
            (folder / "shared").symlink_to(shared)
        environment = {
            **os.environ,
            "PIP_CACHE_DIR": str(caches / "pip"),
            "PIP_LOG": str(folder / "pip.log"),
            "XDG_CACHE_HOME": str(caches / "xdg"),
            "MAVEN_OPTS": f"-Dmaven.repo.local={caches / 'maven'}",
        }
        for run in ("first", "second"):
            before = downloaded(folder)
            began = time.monotonic()
            done = subprocess.run(["make", target], cwd=clone, env=environment, check=False)
            result = {
                "target": target,
                "run": run,
                "exit": done.returncode,
                "seconds": round(time.monotonic() - began, 1),
                "downloaded_mb": round(downloaded(folder) - before, 1),
                "venv_mb": round(megabytes(clone / ".venv"), 1),
            }
            print(json.dumps(result), flush=True)
            if done.returncode:
                return done.returncode
    return 0


def downloaded(folder: Path) -> float:
    """Megabytes until now; pip's log has `Downloading numpy-….whl (16.9 MB)`."""
    log = folder / "pip.log"
    units = {"bytes": 1e-6, "kB": 1e-3, "MB": 1.0, "GB": 1e3}
    sizes = re.findall(
        r"Downloading .* \(([\d.]+) (bytes|kB|MB|GB)\)", log.read_text() if log.exists() else ""
    )
    return sum(float(size) * units[unit] for size, unit in sizes) + megabytes(
        folder / "caches" / "maven"
    )


def megabytes(folder: Path) -> float:
    files = (file for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
    return sum(file.stat().st_size for file in files) / 1e6


if __name__ == "__main__":
    sys.exit(main(*(sys.argv[1:] or ["demo"])))
