from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn
from transformers import BertConfig
from transformers.models.bert.modeling_bert import BertLMPredictionHead

from stair_search.models import HeadConfig, States
from stair_search.models.dense_head import DenseHead
from stair_search.models.token_head import TokenHead, strongest

pytestmark = pytest.mark.train
PLAIN = HeadConfig(chunk=0)


def table(v: int = 20, h: int = 6) -> nn.Embedding:
    torch.manual_seed(0)
    return nn.Embedding(v, h)


def states(b: int = 3, p: int = 4, h: int = 6) -> States:
    generator = torch.Generator().manual_seed(1)
    mask = torch.tensor([[True] * p, [True] * (p - 2) + [False] * 2, [True] + [False] * (p - 1)])
    return States(torch.randn(b, p, h, generator=generator), mask)


def head(config: HeadConfig = PLAIN, outputs: list[int] | None = None, h: int = 6) -> TokenHead:
    torch.manual_seed(2)
    ids = None if outputs is None else torch.tensor(outputs)
    made = TokenHead(h, table(), ids, config)
    made.eval()
    nn.init.normal_(made.bias)
    return made


def test_equations_4_and_5_with_the_prediction_head_of_bert() -> None:
    """The transform, the tied table and the bias are those of BERT's masked-language model."""
    ours, seen = head(), states()
    bert = BertLMPredictionHead(BertConfig(vocab_size=20, hidden_size=6, hidden_act="gelu"))
    with torch.no_grad():
        bert.transform.dense.load_state_dict(ours.dense.state_dict())
        bert.transform.LayerNorm.load_state_dict(ours.norm.state_dict())
        bert.decoder.weight.copy_(ours.table())
        bert.decoder.bias.copy_(ours.bias)
    scores = bert(seen.hidden)
    for row, there in enumerate(seen.mask):
        wanted = torch.log(1 + torch.relu(scores[row, there].max(dim=0).values))
        torch.testing.assert_close(ours(seen)[row], wanted)


@pytest.mark.parametrize("embeddings", ["plain", "centred"])
@pytest.mark.parametrize("outputs", [None, [7, 3, 11, 0]])
@pytest.mark.parametrize("top_k", [None, 2])
def test_the_chunked_head_gives_and_learns_what_the_plain_one_does(
    embeddings: str, outputs: list[int] | None, top_k: int | None
) -> None:
    config = replace(PLAIN, embeddings=embeddings, top_k=top_k)  # type: ignore[arg-type]
    plain = head(config, outputs).double()
    plain._tied[0].double()
    chunked = copy.deepcopy(plain)
    chunked.config = replace(config, chunk=3)
    seen = States(states().hidden.double(), states().mask)
    results = []
    for one in (plain, chunked):
        weights = one(seen)
        (weights * torch.linspace(-1, 1, weights.shape[1])).square().sum().backward()
        gradients = [p.grad for p in (*one.parameters(), one._tied[0].weight)]
        assert all(g is not None for g in gradients)
        results.append([weights, *gradients])
    for found, wanted in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted)


def test_a_row_without_positions_is_all_zero_and_learns_nothing() -> None:
    for chunk in (0, 3):
        one, seen = head(replace(PLAIN, chunk=chunk)), states()
        hidden = seen.hidden.requires_grad_()
        weights = one(States(hidden, seen.mask & torch.tensor([[True], [False], [True]])))
        assert not bool(weights[1].any()) and bool(weights[0].any())
        weights.sum().backward()
        assert hidden.grad is not None and bool(hidden.grad.isfinite().all())
        assert not bool(hidden.grad[1].any())


def test_gradients_of_the_whole_head_against_finite_differences() -> None:
    one = head(HeadConfig(chunk=4, embeddings="centred", top_k=12), h=5).double()
    one._tied[0].double()
    mask = states(h=5).mask
    assert torch.autograd.gradcheck(
        lambda hidden, _rows: one(States(hidden, mask)),
        (states(h=5).hidden.double().requires_grad_(), one._tied[0].weight),
    )


def test_centred_rows_have_length_one_and_no_common_direction() -> None:
    rows = head(replace(PLAIN, embeddings="centred"), list(range(10))).table()
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(10))
    shifted = head(replace(PLAIN, embeddings="centred"), list(range(10)))
    with torch.no_grad():
        shifted._tied[0].weight.mul_(3).add_(5)
    torch.testing.assert_close(shifted.table(), rows)


def test_strongest_keeps_k_and_lets_gradients_through_these_alone() -> None:
    weights = torch.tensor([[0.0, 3.0, 1.0, 2.0], [1.0, 1.0, 1.0, 0.0]], requires_grad=True)
    kept = strongest(weights, 2)
    assert kept[0].tolist() == [0, 3, 0, 2]
    assert kept.count_nonzero(dim=1).tolist() == [2, 2]  # of equal ones too
    kept.sum().backward()
    assert weights.grad is not None
    assert torch.equal(weights.grad, (kept.detach() > 0).float())
    assert strongest(weights, None) is weights and strongest(weights, 4) is weights


def test_the_table_is_looked_up_not_owned() -> None:
    one = head()
    assert sum(parameter.numel() for parameter in one.parameters()) == 6 * 6 + 3 * 6 + 20
    before = one(states())
    with torch.no_grad():
        one._tied[0].weight.neg_()
    assert not torch.equal(one(states()), before)


def test_bfloat16_autocast_stays_near_float32() -> None:
    one, seen = head(HeadConfig(chunk=6)), states()
    exact = one(seen)
    with torch.autocast("cpu", torch.bfloat16):
        half = one(seen)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, exact, rtol=0.02, atol=0.03)
    half.sum().backward()
    assert one.dense.weight.grad is not None and one.dense.weight.grad.dtype == torch.float32


@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_the_dense_head_pools_positions_that_are_there(pooling: str) -> None:
    one = DenseHead(6, HeadConfig("dense", dimensions=5, pooling=pooling))  # type: ignore[arg-type]
    seen = states()
    found = one(seen)
    pooled = seen.hidden[1, :2].mean(0) if pooling == "mean" else seen.hidden[1, 0]
    torch.testing.assert_close(found[1], one.dense.weight @ pooled)
    assert [name for name, _ in one.named_parameters()] == ["dense.weight"]
    empty = States(seen.hidden, torch.zeros_like(seen.mask))
    assert bool(one(empty).isfinite().all())
