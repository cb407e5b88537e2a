"""What a policy forbids is in no document, and what was there before is found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stair_search.engines import connect
from stair_search.errors import UsageError
from stair_search.ingest import retry, verify
from stair_search.ingest.audit import audit
from stair_search.ingest.policy import read_policy
from stair_search.tokens import TokenWeights
from stair_search.vocabulary import Vocabulary
from tests.ingest.conftest import Job, MakeJob, counts, make_photo

WORDS = Vocabulary(["dog", "gun", "beach"])


def policy(folder: Path, text: str) -> Path:
    file = folder / "policy.toml"
    file.write_text(text)
    return file


@pytest.fixture
def job(engine_url: str, photos: Path, make_job: MakeJob, index_name: str) -> Iterator[Job]:
    """On each of the engines in turn."""
    job = make_job(photos, url=engine_url, index=index_name)
    job.engine = connect(engine_url)
    yield job
    job.engine.close()


def tokens(job: Job) -> dict[str, float]:
    """All words that documents hold."""
    found: dict[str, float] = {}
    for document in job.documents("stair").values():
        (weights,) = document["stair"]
        found |= weights
    return {name: weight for name, weight in found.items() if name.isalnum()}


def test_a_forbidden_token_is_in_no_document(job: Job, tmp_path: Path) -> None:
    assert counts(job()) == (6, 0, 0)
    before = tokens(job)
    strong = sorted(before)[0]
    (others,) = [set(before) - {strong}]
    words = job.encoder.vocabulary
    holders = list(audit(job.settings.home, job.engine, (strong,), words))
    assert holders and all(one.reason is None and one.weight > 0 for one in holders)
    file = policy(tmp_path, f'[forbid]\n{strong} = "rule 12"\n[bias]\n{min(others)} = 2.0\n')
    assert counts(job(policy=file)) == (6, 0, 0)  # all are written again
    after = tokens(job)
    assert strong not in after and set(after) == others
    assert after[min(others)] == pytest.approx(2 * before[min(others)], rel=1e-6)
    assert not list(audit(job.settings.home, job.engine, vocabulary=words))
    assert all(strong not in d["stair_tokens"] for d in job.documents("stair_tokens").values())
    assert verify(job.settings.home, job.engine).equal
    assert counts(job(policy=file)) == (0, 6, 0)
    with pytest.raises(UsageError, match=r"has a policy: give --policy .*, or an empty file"):
        job()
    empty = tmp_path / "empty.toml"
    empty.touch()
    assert counts(job(policy=empty)) == (6, 0, 0)
    assert strong in tokens(job)
    assert counts(job(policy=empty)) == (0, 6, 0)


def test_what_was_written_before_is_found_with_the_reason(job: Job, tmp_path: Path) -> None:
    job()
    token = sorted(tokens(job))[0]
    (job.settings.home / "policy.toml").write_text(f'[forbid]\n{token} = "rule 12"\n')
    found = list(audit(job.settings.home, job.engine, vocabulary=job.encoder.vocabulary))
    assert {one.reason for one in found} == {"rule 12"}
    documents = job.documents("stair").items()
    holding = [name for name, document in documents if token in document["stair"][0]]
    assert sorted(one.id for one in found) == sorted(holding)


def test_a_token_that_is_none_gives_no_reassurance(photos: Path, make_job: MakeJob) -> None:
    job = make_job(photos)
    job()
    words = job.encoder.vocabulary
    with pytest.raises(UsageError, match="--token: 'redd1' is no token of the model; did you mean"):
        list(audit(job.settings.home, job.engine, ("redd1",), words))
    with pytest.raises(UsageError, match="--token: 'zzqx' is no token"):  # of the job's own model
        list(audit(job.settings.home, job.engine, ("zzqx",)))


def test_retry_goes_by_the_policy_that_the_job_keeps(
    photos: Path, make_job: MakeJob, tmp_path: Path
) -> None:
    (photos / "0.jpg").write_bytes(b"no photo")
    job = make_job(photos)
    file = policy(tmp_path, '[forbid]\ngreen0 = "rule 12"\n')
    assert counts(job(policy=file)) == (5, 0, 1)
    file.unlink()
    make_photo(photos / "0.jpg")
    home = job.settings.home
    kept = (home / "policy.toml").read_text()
    assert counts(retry(home, job.engine, encoder=job.encoder)) == (1, 0, 0)
    assert "green0" not in tokens(job)
    assert (home / "policy.toml").read_text() == kept


def test_a_job_without_the_policy_of_another_is_told(
    photos: Path, make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = policy(tmp_path, '[forbid]\ngreen0 = "rule 12"\n')
    first = make_job(photos, folder=None)
    first(policy=file)
    assert not any("--policy" in notice for notice in first.notices)
    other = make_job(photos / "0.jpg", folder=None)
    other(dry_run=True)
    assert any(f"--policy {first.settings.home}" in notice for notice in other.notices)
    other(policy=file)
    assert not any("--policy" in notice for notice in other.notices)
    elsewhere = make_job(photos / "0.jpg", folder=None, index="others")
    elsewhere()
    assert not any("--policy" in notice for notice in elsewhere.notices)


def test_nothing_to_look_for(photos: Path, make_job: MakeJob) -> None:
    job = make_job(photos)
    job()
    with pytest.raises(UsageError, match="forbids nothing: name a --token"):
        list(audit(job.settings.home, job.engine))


def test_only_these_and_factors(tmp_path: Path) -> None:
    found = read_policy(policy(tmp_path, 'only = ["dog", "beach"]\n[bias]\nbeach = 0.5'), WORDS)
    applied = found.apply(TokenWeights([0, 1, 2], [1.0, 2.0, 3.0]))
    assert applied == TokenWeights([0, 2], [1.0, 1.5])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[forbid]\ngunn = 'x'", "'gunn' is no token of the model; did you mean gun?"),
        ("[forbid]\ngun = ''", "says for each token why"),
        ("forbid = ['gun']", "says for each token why"),
        ("only = 'dog'", "only is a list of tokens"),
        ("[bias]\ndog = 0", "bias dog = 0 is no positive factor"),
        ("[bias]\ndog = nan", "no positive factor"),
        ("[allow]\ndog = 1", "unknown key 'allow'; known: only, forbid, bias"),
        ("only = [", "cannot be read"),
    ],
)
def test_a_policy_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        read_policy(policy(tmp_path, text), WORDS)
    assert message in str(raised.value)
