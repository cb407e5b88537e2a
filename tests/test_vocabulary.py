"""Every token of BERT can be a feature's name and come back as itself."""

from pathlib import Path

import pytest

import stair_search.encoders
from stair_search.tokens import TokenWeights
from stair_search.vocabulary import Vocabulary, escape, unescape

BERT = Path(stair_search.encoders.__file__).parent / "starter" / "vocab.txt"


@pytest.fixture(scope="module")
def bert() -> Vocabulary:
    return Vocabulary.from_file(BERT)


def test_escaping_is_reversible_for_all_of_bert(bert: Vocabulary) -> None:
    assert len(bert) == 30_522
    names = [escape(token) for token in bert.tokens]
    assert [unescape(name) for name in names] == list(bert.tokens)
    assert len(set(names)) == len(names)
    assert not any("." in name for name in names)
    assert sum(name != token for name, token in zip(names, bert.tokens, strict=True)) == 3


def test_ids(bert: Vocabulary) -> None:
    assert (bert.id("."), bert.id("..."), bert.id("##.")) == (1012, 2133, 29625)
    assert all(bert.id(bert.token(i)) == i for i in range(len(bert)))
    with pytest.raises(KeyError, match="doggg"):
        bert.id("doggg")
    assert "dog" in bert.similar("doggg")


def test_round_trip_to_a_dict(bert: Vocabulary) -> None:
    tokens = TokenWeights([1012, 2133, 3899], [0.5, 1.0, 2.0])
    assert bert.to_dict(tokens) == {"dog": 2.0, "...": 1.0, ".": 0.5}
    assert bert.from_dict(bert.to_dict(tokens)) == tokens
    assert bert.from_dict({}) == TokenWeights.empty()
    with pytest.raises(ValueError, match="-1"):
        bert.from_dict({"dog": -1})


@pytest.mark.parametrize(
    "tokens", [["dog", "dog"], ["a__b"], ["_."], [""]], ids=["twice", "dunder", "_.", "empty"]
)
def test_a_vocabulary_that_could_not_be_stored_is_refused(tokens: list[str]) -> None:
    with pytest.raises(ValueError, match="token"):
        Vocabulary(tokens)


def test_fingerprint_sees_order() -> None:
    assert Vocabulary(["a", "b"]).fingerprint != Vocabulary(["b", "a"]).fingerprint
