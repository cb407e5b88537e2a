"""`make package`: the sdist, the wheel built from it, that wheel installed and run, elsewhere.

It notices what tests in the source tree cannot: a file that the wheel lacks, a link that crept
into the sdist, an import that works only where the sources lie.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

from tests.house.light import LIGHT, without_the_heavy

ROOT = Path(__file__).parents[2]
LINKS = {"ingest", "mappings", "cli"}


def main() -> None:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="stair-package-") as name:
        folder = Path(name)
        run("build", sys.executable, "-m", "build", "--no-isolation", "--outdir", name, str(ROOT))
        (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
        check_sdist(sdist)
        check_wheel(wheel)
        run("venv", sys.executable, "-m", "venv", f"{name}/venv")
        run("install", f"{name}/venv/bin/python", "-m", "pip", "install", "--quiet", str(wheel))
        script = f"{name}/venv/bin/stair-search"
        version = run("run", script, "--version", cwd=folder).strip()
        assert "Usage" in run("run", script, "--help", cwd=folder)
        # The light rooms live on what core declares, and on no more.
        without_the_heavy(LIGHT, python=f"{name}/venv/bin/python", cwd=folder)
        size = wheel.stat().st_size / 1e6
    print(f"== {version}: sdist → wheel ({size:.1f} MB) → fresh venv → runs, "
          f"{time.monotonic() - began:.0f} s")  # fmt: skip


def check_sdist(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        members = archive.getmembers()
    # …-0.1.0/ingest would be the link; …-0.1.0/stair_search/ingest is the room
    assert not (found := LINKS & {m.name.split("/")[1] for m in members}), f"links: {found}"
    assert not (found := {m.name for m in members if m.issym()}), f"links: {found}"


def check_wheel(wheel: Path) -> None:
    """Every file that git knows below stair_search/ is in the wheel, and nothing else of ours."""
    tracked = set(run("git", "git", "-C", str(ROOT), "ls-files", "stair_search").split())
    tracked = {name for name in tracked if (ROOT / name).exists()}
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert not (lacking := tracked - packed), f"the wheel lacks {sorted(lacking)}"
    assert all(name.startswith("stair_search/") for name in packed), f"{sorted(packed)[:5]}"


def run(what: str, *command: str, cwd: Path = ROOT) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"package: {what} failed: {' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
