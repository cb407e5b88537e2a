from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from stair_search.models.max_logits import max_logits, max_logits_plain

pytestmark = pytest.mark.train


def inputs(
    b: int = 3, p: int = 4, h: int = 5, o: int = 11, dtype: torch.dtype = torch.float64
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(b * p * h * o)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, dtype=dtype, generator=generator).requires_grad_()

    mask = torch.rand(b, p, generator=generator) > 0.3
    mask[:, 0] = True
    return normal(b, p, h), mask, normal(o, h), normal(o)


def gradients(
    result: torch.Tensor, upstream: torch.Tensor, *of: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    found: tuple[torch.Tensor, ...] = torch.autograd.grad(result, of, upstream)
    return found


@pytest.mark.parametrize("chunk", [1, 3, 4, 11, 4096])
@pytest.mark.parametrize("shape", [(3, 4, 5, 11), (1, 1, 1, 1), (2, 9, 3, 8)])
def test_chunks_give_what_the_plain_form_gives(
    chunk: int, shape: tuple[int, int, int, int]
) -> None:
    hidden, mask, weight, bias = inputs(*shape)
    plain = max_logits_plain(hidden, mask, weight, bias)
    chunked = max_logits(hidden, mask, weight, bias, chunk)
    torch.testing.assert_close(chunked, plain)
    upstream = torch.randn(plain.shape, dtype=plain.dtype).relu()  # with zeros, as of a ReLU
    for found, wanted in zip(
        gradients(chunked, upstream, hidden, weight, bias),
        gradients(plain, upstream, hidden, weight, bias),
        strict=True,
    ):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("chunk", [0, 4])
def test_gradients_against_finite_differences(chunk: int) -> None:
    hidden, mask, weight, bias = inputs()
    assert torch.autograd.gradcheck(
        lambda x, e, c: max_logits(x, mask, e, c, chunk), (hidden, weight, bias)
    )


@pytest.mark.parametrize("form", [max_logits_plain, max_logits])
def test_masked_positions_are_never_the_best(form: Callable[..., torch.Tensor]) -> None:
    hidden, mask, weight, bias = inputs()
    strong = hidden.detach().clone()
    strong[~mask] = 1e6
    assert torch.equal(form(strong, mask, weight, bias), form(hidden, mask, weight, bias))


@pytest.mark.parametrize("chunk", [0, 4])
def test_a_row_without_positions_has_no_value_and_no_gradient(chunk: int) -> None:
    hidden, mask, weight, bias = inputs()
    mask[1] = False
    values = max_logits(hidden, mask, weight, bias, chunk)
    assert bool((values[1] == -torch.inf).all()) and bool(values[[0, 2]].isfinite().all())
    to_hidden, to_weight = gradients(values, torch.ones_like(values), hidden, weight)
    assert not bool(to_hidden[1].any()) and bool(to_weight.isfinite().all())


def test_of_equal_scores_one_position_gets_the_whole_gradient_as_in_the_plain_form() -> None:
    hidden, _, weight, bias = inputs()
    # whole numbers: no rounding tells equal scores apart
    same = (4 * hidden[:, :1]).round().detach().expand(-1, 4, -1).clone().requires_grad_()
    weight = (4 * weight).round().detach()
    everywhere = torch.ones(3, 4, dtype=torch.bool)
    found = []
    for chunk in (0, 4):
        values = max_logits(same, everywhere, weight, bias, chunk)
        (to_hidden,) = gradients(values, torch.ones_like(values), same)
        found.append(to_hidden)
    torch.testing.assert_close(found[0], found[1])
    assert int(found[0].abs().sum(-1).count_nonzero()) == 3


def test_frozen_inputs_cost_no_gradient() -> None:
    hidden, mask, weight, bias = inputs()
    values = max_logits(hidden.detach(), mask, weight, bias, 4)
    assert gradients(values, torch.ones_like(values), weight)[0].shape == weight.shape
    values = max_logits(hidden, mask, weight.detach(), bias, 4)
    assert gradients(values, torch.ones_like(values), hidden)[0].shape == hidden.shape


def test_no_gradient_at_all_is_zero() -> None:
    hidden, mask, weight, bias = inputs()
    values = max_logits(hidden, mask, weight, bias, 4)
    assert not any(bool(g.any()) for g in gradients(values, values.detach() * 0, hidden, weight))


def test_autocast_to_bfloat16_stays_near_float32() -> None:
    hidden, mask, weight, bias = inputs(b=4, p=6, h=32, o=50, dtype=torch.float32)
    exact = max_logits_plain(hidden, mask, weight, bias)
    with torch.autocast("cpu", torch.bfloat16):
        half = max_logits(hidden, mask, weight, bias, 7)
        plain = max_logits_plain(hidden, mask, weight, bias)
    assert half.dtype == plain.dtype == torch.float32
    torch.testing.assert_close(half, plain)
    torch.testing.assert_close(half, exact, rtol=0.02, atol=0.1)
    upstream = torch.ones_like(half)
    for found, wanted in zip(
        gradients(half, upstream, hidden, weight),
        gradients(exact, upstream, hidden, weight),
        strict=True,
    ):
        assert found.dtype == torch.float32
        # a best position may change among near equals: compared as a whole
        assert float((found - wanted).norm() / wanted.norm()) < 0.15


def test_memory_does_not_hold_the_scores() -> None:
    """The scores of all positions would take 105 MB; the process must not grow by half of them.

    The plain form beside it shows that the measure sees them.
    """
    code = """
import torch
from benchmarks.head import largest_resident
from stair_search.models.max_logits import max_logits
b, p, h, o = 16, 50, 8, 32_768
hidden, weight = (torch.randn(s, h, requires_grad=True) for s in (b * p, o))
mask, bias = torch.ones(b, p, dtype=torch.bool), torch.zeros(o, requires_grad=True)
max_logits(hidden.view(b, p, h)[:, :1], mask[:, :1], weight, bias, 1024).sum().backward()
for chunk in (1024, 0):
    before = largest_resident()
    max_logits(hidden.view(b, p, h), mask, weight, bias, chunk).sum().backward()
    print(largest_resident() - before)
"""
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        cwd=Path(__file__).parents[2],
    )
    chunked, plain = map(int, run.stdout.split())
    assert chunked < 50e6 < 100e6 < plain
