"""As people run it: real processes, their exit codes and their two streams."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Shell

CLI = [sys.executable, "-m", "stair_search.cli"]


def test_results_go_to_stdout_and_notes_to_stderr(shell: Shell, sqlite: list[str]) -> None:
    done = shell("search", "dog", "--without", "dogg", *sqlite, "--format", "json")
    assert done.returncode == 0
    assert len(json.loads(done.stdout)["hits"]) == 2
    assert done.stderr.startswith("Warning: ")


@pytest.mark.slow
def test_errors_are_a_line_and_a_traceback_comes_only_when_asked(
    shell: Shell, sqlite: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = shell("search", "dog", *sqlite, "--index", "nope")
    assert done.returncode == 3
    assert done.stderr.startswith("Error: ")
    assert len(done.stderr.splitlines()) == 1
    for asked in (["--debug", "search"], ["search", "--debug"]):
        done = shell(*asked, "dog", *sqlite, "--index", "nope")
        assert "Traceback" in done.stderr
        assert done.returncode == 3
    monkeypatch.setenv("STAIR_SEARCH_DEBUG", "1")
    assert "Traceback" in shell("search", "dog", *sqlite, "--index", "nope").stderr


def test_a_bug_says_that_it_is_one(shell: Shell, tmp_path: Path) -> None:
    """Here numpy is not what it was."""
    (tmp_path / "numpy.py").write_text("raise ZeroDivisionError('over\\nnought')")
    done = subprocess.run(
        [*CLI, "search", "dog"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 70
    assert "this is a bug in stair-search (ZeroDivisionError: over nought)" in done.stderr
    assert "--debug" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_reader_that_stops_reading_is_no_error(sqlite: list[str]) -> None:
    search = subprocess.Popen(
        [*CLI, "search", "dog", *sqlite], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert search.stdout is not None
    assert search.stderr is not None
    search.stdout.close()  # nobody reads
    said = search.stderr.read()
    assert search.wait() == 141
    assert b"Traceback" not in said
    assert b"BrokenPipe" not in said


def test_a_full_disk_under_stdout_is_an_error(sqlite: list[str]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*CLI, "search", "dog", *sqlite], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 3
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_interrupt_ends_with_130(tmp_path: Path) -> None:
    """The engine is a server that never answers."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        at = f"http://127.0.0.1:{server.getsockname()[1]}"
        search = subprocess.Popen(
            [*CLI, "index", "show", "--url", at], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        server.settimeout(60)
        connection, _ = server.accept()  # now it waits for an answer
        with connection:
            search.send_signal(signal.SIGINT)
            out, said = search.communicate(timeout=30)
    assert search.returncode == 130
    assert (out, said.decode().strip()) == (b"", "Interrupted.")


@pytest.mark.slow
def test_an_interrupted_ingest_goes_on_when_run_again(
    package_photos: list[Path], tmp_path: Path, shell: Shell
) -> None:
    at = ["--url", f"sqlite:{tmp_path / 'x.db'}", "--job", str(tmp_path / "job")]
    command = [*CLI, "ingest", str(package_photos[0].parent), *at]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert run.stderr is not None
    for line in run.stderr:
        if "would be encoded again" in line:  # the bound: the work begins
            run.send_signal(signal.SIGINT)
            break
    out, said = run.communicate(timeout=60)
    assert run.returncode == 130
    assert (out, said.strip().splitlines()[-1]) == ("", "Interrupted.")
    again = shell("ingest", package_photos[0].parent, *at, "--format", "json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["seen"] == len(package_photos)
    assert shell("job", "verify", "--job", tmp_path / "job").returncode == 0


def test_a_search_imports_nothing_that_it_does_not_need(sqlite: list[str]) -> None:
    code = (
        "import sys\n"
        "from stair_search.cli import main\n"
        "main(sys.argv[1:], standalone_mode=False)\n"
        "print(*sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "search", "dog", *sqlite],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = set(done.stderr.split())
    unwanted = "onnxruntime PIL elasticsearch elastic_transport opensearchpy rich torch ray "
    unwanted += "stair_search.ingest stair_search.cli.ingest stair_search.cli.demo urllib3 asyncio"
    assert not imported & set(unwanted.split())
    assert "beach" in done.stdout


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: Shell, name: str, tmp_path: Path) -> None:
    done = shell("completion", name)
    assert done.returncode == 0
    assert "_STAIR_SEARCH_COMPLETE" in done.stdout
    if shutil.which(name):  # what the shell itself says of the script
        script = tmp_path / "script"
        script.write_text(done.stdout)
        subprocess.run([name, "-n", str(script)], check=True)


@pytest.mark.slow
def test_completion_knows_commands_and_options() -> None:
    def completed(*words: str) -> list[str]:
        environment = {
            "_STAIR_SEARCH_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(["stair-search", *words]),
            "COMP_CWORD": str(len(words)),
        }
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                "from stair_search.cli import main; main(prog_name='stair-search')",
            ],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        return [line.split(",")[1] for line in done.stdout.splitlines()]

    assert completed("se") == ["search"]
    assert completed("index", "s") == ["show"]
    assert completed("search", "--wi") == ["--without"]
    assert completed("search", "--format", "n") == ["ndjson"]
    # what is typed stands first, for files and folders beside the names
    assert completed("train", "small-c") == ["small-c", "small-clip"]
    assert completed("search", "--model", "sta") == ["sta", "starter"]
    assert completed("models", "sta") == ["sta", "starter"]
    assert completed("evaluate", "table", "--model", "x") == ["x"]


@pytest.mark.parametrize(("missing", "code"), [("PIL", 2), ("onnxruntime", 4)])
@pytest.mark.parametrize("command", ["ingest", "encode", "demo"])
def test_what_is_not_installed_is_told(
    shell: Shell,
    package_photos: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    missing: str,
    code: int,
    command: str,
) -> None:
    (tmp_path / f"{missing}.py").write_text(
        f"raise ModuleNotFoundError('No module named {missing}', name='{missing}')"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    shutil.copy(package_photos[0], tmp_path)
    photo = tmp_path / package_photos[0].name
    result = shell(command, tmp_path if command == "demo" else photo)
    assert result.returncode == code, result.stderr
    assert "pip install 'stair-search[starter]'" in result.stderr
    assert shell("job", "list").returncode in (0, 2)
