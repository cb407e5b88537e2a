"""What photos may carry and what words may imply stays readable."""

import json
from pathlib import Path

import numpy as np
import pytest

import stair_search.encoders
from stair_search.encoders import load_encoder
from stair_search.encoders.wordpiece import WordPiece
from stair_search.training.starter.lexicon import Lexicon, implications, make_lexicon

pytestmark = pytest.mark.train

TOKENS = ("[PAD]", "dog", "todd", "##ler", "runs", "the", "beach", "##bee")


def test_pieces_are_looked_at_but_never_carried() -> None:
    wordpiece = WordPiece({token: i for i, token in enumerate(TOKENS)})
    lexicon = make_lexicon(TOKENS, wordpiece, ["the dog runs", "toddler runs", "todd"], least=1)
    assert [TOKENS[i] for i in lexicon.seen] == ["dog", "todd", "##ler", "runs"]
    assert [TOKENS[i] for i in lexicon.outputs] == ["dog", "todd", "runs"]  # "todd" stood alone
    twice = make_lexicon(TOKENS, wordpiece, ["toddler runs", "toddler runs"], least=1)
    assert [TOKENS[i] for i in twice.outputs] == ["runs"]


def test_a_word_implies_what_is_alike_or_said_together() -> None:
    # four words, of which the last three are output tokens; 40 photos with a caption each
    bag = np.zeros((40, 4), np.float32)
    bag[:5, [0, 1]] = 1  # 0 and 1 always together, five times
    bag[5:30, 2] = 1
    bag[0, 2] = 1  # 0 and 2 once
    place = np.array([1, 2, 3])
    lexicon = Lexicon(np.arange(4), place, place, bag.mean(0))
    likeness = np.zeros((4, 3), np.float32)
    likeness[0, 2] = 0.9  # 0 and 3 mean something alike
    implied = implications(bag, np.arange(40), lexicon, likeness)
    assert implied[0].tolist() == [True, False, True]
    assert not implied[2].tolist()[0]


def test_the_shipped_model_carries_whole_words() -> None:
    encoder = load_encoder("starter")
    folder = Path(stair_search.encoders.__file__).parent / "starter"
    assert json.loads((folder / "model.json").read_text("utf-8"))["image"]["top_k"] <= 110
    for question in ("a frisbee", "toddler on a skateboard", "motorcyclists"):
        tokens = encoder.vocabulary.to_dict(encoder.encode_text(question))
        strong = [token for token, weight in tokens.items() if weight > 0.1]
        assert strong
        assert not [token for token in strong if token.startswith("##")]
