from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from stair_search.models import TableConfig
from stair_search.models.own_tokens import SPECIAL, OwnTokens
from stair_search.models.text_table import TextTable
from stair_search.models.tokenise import Tokeniser
from stair_search.models.words import says

from .tiny import TOKENS

pytestmark = pytest.mark.train
OUTPUTS = [TOKENS.index(t) for t in ("dog", "cat", "beach", "red", "car", "##s", "sand", "[CLS]")]
TEXTS = ["dog on the beach", "red red cars [SEP] cat", "", "the of ."]


def table(kind: str, **changes: int) -> TextTable:
    torch.manual_seed(0)
    made = TextTable(OwnTokens(TOKENS, torch.tensor(OUTPUTS)), TableConfig(kind, **changes))  # type: ignore[arg-type]
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter)
    return made


def tokens(texts: Sequence[str] = TEXTS) -> tuple[torch.Tensor, torch.Tensor]:
    return Tokeniser(TOKENS, 20)(texts)


def own(text: str) -> set[int]:
    ids, _ = tokens([text])
    return {int(i) for i in ids[0] if TOKENS[int(i)] not in SPECIAL}


def test_the_mask_is_one_at_own_tokens_and_never_at_special_ones() -> None:
    for text, weights in zip(TEXTS, table("mask")(*tokens()), strict=True):
        found = {OUTPUTS[i] for i in weights.nonzero()[:, 0]}
        assert found == own(text) & set(OUTPUTS)
        assert set(weights.tolist()) <= {0.0, 1.0}


def test_weights_are_learned_a_token_and_start_as_the_mask() -> None:
    made = table("weights")
    for text, weights in zip(TEXTS, made(*tokens()), strict=True):
        for place, token in enumerate(OUTPUTS):
            wanted = functional.softplus(made.own[token]) if token in own(text) else torch.tensor(0)
            torch.testing.assert_close(weights[place], wanted, check_dtype=False)
    fresh = TextTable(OwnTokens(TOKENS, torch.tensor(OUTPUTS)), TableConfig("weights"))
    torch.testing.assert_close(fresh(*tokens()), table("mask")(*tokens()))
    fresh = TextTable(OwnTokens(TOKENS, torch.tensor(OUTPUTS)), TableConfig("expansion"))
    torch.testing.assert_close(fresh(*tokens()), table("mask")(*tokens()))


def test_the_expansion_is_the_clamped_sum_of_rows_each_token_once() -> None:
    made = table("expansion", rank=3)
    assert made.vectors is not None
    for text, weights in zip(TEXTS, made(*tokens()), strict=True):
        total = torch.zeros(len(OUTPUTS))
        for token in own(text):
            total += made.expansion.weight @ made.vectors.weight[token]
            if token in OUTPUTS:
                total[OUTPUTS.index(token)] += functional.softplus(made.own[token])
        torch.testing.assert_close(weights, total.relu())
    assert bool((made(*tokens()) > 0).any())


@pytest.mark.parametrize("kind", ["mask", "weights", "expansion"])
def test_rows_summed_without_torch_are_the_table(kind: str) -> None:
    made = table(kind)
    starts, ids, weights = made.rows(least=0.0)
    assert starts.shape == (len(TOKENS) + 1,) and len(ids) == len(weights) == starts[-1]
    found = np.zeros((len(TEXTS), len(TOKENS)), np.float32)
    for row, text in enumerate(TEXTS):
        for token in own(text):
            part = slice(starts[token], starts[token + 1])
            assert (np.diff(ids[part]) > 0).all()
            found[row, ids[part]] += weights[part]
    wanted = made(*tokens()).detach().numpy()
    np.testing.assert_allclose(np.maximum(found, 0)[:, OUTPUTS], wanted, rtol=1e-5, atol=1e-4)
    for special in SPECIAL:
        place = TOKENS.index(special)
        assert starts[place] == starts[place + 1]


def test_rows_may_be_cut() -> None:
    made = table("expansion", rank=3)
    whole, cut = made.rows(least=0.0), made.rows(keep=2, least=0.5)
    assert np.diff(cut.starts).max() == 2 and np.abs(cut.weights).min() >= 0.5
    for token in range(len(TOKENS)):
        all_of = np.sort(np.abs(whole.weights[whole.starts[token] : whole.starts[token + 1]]))
        kept = np.sort(np.abs(cut.weights[cut.starts[token] : cut.starts[token + 1]]))
        np.testing.assert_allclose(kept, [x for x in all_of[-2:] if x >= 0.5])


def test_gradients_against_finite_differences() -> None:
    made = table("expansion", rank=3, top_k=5).double()
    ids, mask = tokens()
    parameters = tuple(made.parameters())
    assert torch.autograd.gradcheck(lambda *_: made(ids, mask), parameters)


def test_tokens_are_those_of_the_light_encoder() -> None:
    from stair_search.encoders.wordpiece import WordPiece

    vocabulary = Path("stair_search/encoders/starter/vocab.txt").read_text("utf-8")
    bert = vocabulary.removesuffix("\n").split("\n")
    light = WordPiece({token: i for i, token in enumerate(bert)})
    texts = [
        "A dog's Café-noir, 2 dogs!",
        "naïve ΣΑΣ 東京 tower",
        "x" * 300,
        "lone \ud800 half",
        "",
    ]
    ids, mask = Tokeniser(bert, 76)(texts)
    for text, row, there in zip(texts, ids.tolist(), mask.tolist(), strict=True):
        found = [i for i, real in zip(row, there, strict=True) if real][1:-1]
        assert [i for i in found if bert[i] != "[UNK]"] == light.encode(text)


def test_no_texts_are_no_rows() -> None:
    ids, mask = tokens([])
    assert table("expansion")(ids, mask).shape == (0, len(OUTPUTS))


def test_stop_words_can_say_nothing() -> None:
    made = table("expansion", rank=3, words_only=True)
    assert made.vectors is not None
    with torch.no_grad():
        made.expansion.weight.fill_(1)
        made.vectors.weight.fill_(1)
    silent = torch.tensor([not says(token) for token in TOKENS])
    ids = torch.arange(len(TOKENS))[:, None]
    assert torch.equal(made(ids, torch.ones_like(ids, dtype=torch.bool)).any(1), ~silent)
    assert silent.any() and not silent.all()
    assert torch.equal(made.dense_rows(ids[:, 0]).any(1), ~silent)
