"""The command line in this process, quick; `shell` runs it as people do."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from stair_search import connect, load_encoder
from stair_search.cli import main
from stair_search.engines import Document
from stair_search.fields import Fields
from stair_search.mappings import index_body
from stair_search.vocabulary import escape

Cli = Callable[..., Result]
Shell = Callable[..., "subprocess.CompletedProcess[str]"]

SILENT = "the a an of on in and with".split()  # noqa: SIM905 - words, as one writes them
WORDS = [*SILENT, *"dog beach sand bus red cat couch person street run ##ning . :".split()]  # noqa: SIM905

CAPTIONS = {
    "beach": "a dog on the beach, sand",
    "bus": "a red bus in the street",
    "cat": "a cat on a couch",
    "people": "a person with a dog on the beach",
}


@pytest.fixture(autouse=True)
def _nobodys_settings(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No test sees the settings, credentials and jobs of whoever runs it, nor leaves any."""
    for name in list(os.environ):
        if name.startswith(("STAIR_SEARCH_", "ES_", "OPENSEARCH_", "ELASTICSEARCH_", "AWS_")):
            monkeypatch.delenv(name)
    for name in ("CLOUD_ID", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    monkeypatch.chdir(home)


@pytest.fixture
def cli() -> Cli:
    def run(*args: str | Path) -> Result:
        return CliRunner().invoke(main, [str(arg) for arg in args], prog_name="stair-search")

    return run


@pytest.fixture
def shell() -> Shell:
    def run(*args: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "stair_search.cli", *map(str, args)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    return run


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of twenty words in which each token means itself. Knows nothing of photos."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n", "utf-8")
    rows = [[] if word in SILENT else [i] for i, word in enumerate(WORDS)]
    ids = np.array([i for row in rows for i in row], np.int32)
    np.savez(
        folder / "text.npz",
        starts=np.cumsum([0, *map(len, rows)]).astype(np.int32),
        ids=ids,
        weights=np.ones(len(ids), np.float16),
    )
    about = {
        "name": "tiny",
        "version": "1",
        "description": "for tests",
        "image": {"size": 32, "top_k": 8},
        "text": {"top_k": 16, "ratio": 0.0},
        "files": {
            name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
            for name in ("vocab.txt", "text.npz")
        },
    }
    (folder / "model.json").write_text(json.dumps(about))
    return folder


def fill(url: str, index: str, model: Path) -> None:
    """An index of CAPTIONS, each photo holding the tokens of its caption."""
    encoder, fields = load_encoder(str(model)), Fields()
    engine = connect(url)
    engine.create(index, index_body(engine.info.product, columns={"licence": "keyword"}))
    documents = []
    for name, caption in CAPTIONS.items():
        tokens = encoder.vocabulary.to_dict(encoder.encode_text(caption))
        values = {
            fields.token: [{escape(token): weight for token, weight in tokens.items()}],
            fields.strongest: list(tokens),
            fields.model: encoder.fingerprint,
            fields.image: f"file:///photos/{name}.jpg",
            fields.caption: caption,
            "licence": "cc0" if name == "beach" else "by",
        }
        documents.append(Document(name, values))
    assert all(outcome.ok for outcome in engine.bulk(index, documents))
    engine.refresh(index)
    engine.close()


@pytest.fixture
def collection(engine_url: str, index_name: str, tiny_model: Path) -> list[str]:
    """Options that lead to a filled index, on each engine in turn."""
    fill(engine_url, index_name, tiny_model)
    return ["--url", engine_url, "--index", index_name, "--model", str(tiny_model)]


@pytest.fixture
def sqlite(tmp_path: Path, tiny_model: Path) -> list[str]:
    """Options that lead to a filled SQLite index."""
    url = f"sqlite:{tmp_path / 'stair.db'}"
    fill(url, "photos", tiny_model)
    return ["--url", url, "--model", str(tiny_model)]
