"""Every loss against an independent formula in float64, its gradients against differences, and
two processes against one.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
else:
    torch = pytest.importorskip("torch")

from stair_search.training import losses
from stair_search.training.schedules import quadratic_growth

pytestmark = pytest.mark.train

Array = NDArray[np.float64]


def numbers(*shape: int, seed: int = 0, sparse: bool = False) -> torch.Tensor:
    values = np.random.default_rng(seed).normal(size=shape)
    if sparse:
        values = values.clip(0)
        values[-1] = 0  # a photo without any token
    return torch.tensor(values, requires_grad=True)


# --- the formulas, written again with numpy ----------------------------------------------------


def cosines(a: Array, b: Array) -> Array:
    found = np.zeros((len(a), len(b)))
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            lengths = np.sqrt((x**2).sum()) * np.sqrt((y**2).sum())
            found[i, j] = (x * y).sum() / lengths if lengths else 0.0
    return found


def log_softmax(rows: Array) -> Array:
    rows = rows - rows.max(1, keepdims=True)
    found: Array = rows - np.log(np.exp(rows).sum(1, keepdims=True))
    return found


def eq_3(image: Array, text: Array, scale: float) -> float:
    s = scale * cosines(image, text)
    return float(-(np.diag(log_softmax(s)).mean() + np.diag(log_softmax(s.T)).mean()) / 2)


def test_contrastive_is_equation_3() -> None:
    image, text = numbers(5, 7, sparse=True), numbers(5, 7, seed=1)
    found = losses.contrastive(losses.scores(image, text, 3.0))
    assert found.item() == pytest.approx(
        eq_3(image.detach().numpy(), text.detach().numpy(), 3.0), abs=1e-12
    )


def test_distillation_of_the_truth_is_the_contrastive_loss() -> None:
    image, text = numbers(5, 7), numbers(5, 7, seed=1)
    of = losses.scores(image, text, 3.0)
    sure = losses.scores(torch.eye(5).double(), torch.eye(5).double(), 1e4)
    assert losses.distillation(of, sure).item() == pytest.approx(losses.contrastive(of).item())


def test_distillation_is_least_where_the_student_is_the_teacher() -> None:
    image, text = numbers(5, 7), numbers(5, 7, seed=1)
    of, other = losses.scores(image, text, 3.0), losses.scores(text, numbers(5, 7, seed=2), 3.0)
    s = 3.0 * cosines(image.detach().numpy(), text.detach().numpy())
    entropy = -np.mean([(np.exp(log_softmax(x)) * log_softmax(x)).sum(1).mean() for x in (s, s.T)])
    assert losses.distillation(of, of).item() == pytest.approx(entropy)
    assert losses.distillation(other, of).item() > entropy


def test_flops_is_equation_6() -> None:
    weights = numbers(5, 7)
    values = weights.detach().numpy()
    expected = sum(np.mean([abs(row[j]) for row in values]) ** 2 for j in range(7))
    assert losses.flops(weights).item() == pytest.approx(expected)


def test_grounding_is_the_share_that_falls_on_words_of_the_captions() -> None:
    logits = numbers(3, 4)
    words = torch.tensor([[0.2, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0.6]])
    e = np.exp(2 * logits.detach().numpy())
    share = e / e.sum(1, keepdims=True)
    expected = -(np.log(share[0, 0] + share[0, 2]) + np.log(share[2, 3])) / 3  # one has no words
    found = losses.grounding(logits, words)
    assert found.item() == pytest.approx(expected)
    (gradient,) = torch.autograd.grad(found, logits)
    assert torch.isfinite(gradient).all() and not gradient[1].any()


@pytest.mark.parametrize("name", ["contrastive", "distillation", "flops", "grounding"])
def test_gradients_are_those_of_differences_in_float64(name: str) -> None:
    image, text = numbers(4, 6), numbers(4, 6, seed=1)
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    teacher = losses.scores(numbers(4, 6, seed=2), numbers(4, 6, seed=3), 5.0)
    words = (numbers(4, 6, seed=4) > 0).detach()
    check = torch.autograd.gradcheck
    if name == "contrastive":
        assert check(lambda *x: losses.contrastive(losses.scores(*x)), (image, text, scale))
    elif name == "distillation":
        assert check(
            lambda *x: losses.distillation(losses.scores(*x), teacher), (image, text, scale)
        )
    elif name == "flops":
        assert check(losses.flops, (image,))
    else:
        assert check(lambda x: losses.grounding(x, words), (image,))


def test_gradients_in_float32_are_near_those_in_float64() -> None:
    def gradient(kind: torch.dtype) -> torch.Tensor:
        image = numbers(8, 50, sparse=True).detach().to(kind).requires_grad_()
        text = numbers(8, 50, seed=1).detach().to(kind)
        (losses.contrastive(losses.scores(image, text, 30.0)) + losses.flops(image)).backward()
        return image.grad.double()

    assert torch.allclose(gradient(torch.float32), gradient(torch.float64), rtol=1e-4, atol=1e-6)


def test_no_token_at_all_gives_finite_gradients() -> None:
    image = torch.zeros(3, 4, requires_grad=True)
    losses.contrastive(losses.scores(image, torch.ones(3, 4), 20.0)).backward()
    assert torch.isfinite(image.grad).all()


# --- several processes -------------------------------------------------------------------------


def terms(image: torch.Tensor, text: torch.Tensor, scale: torch.Tensor) -> dict[str, torch.Tensor]:
    of = losses.scores(image, text, scale)
    teacher = losses.scores(image.detach() ** 2, text.detach() ** 2, 5.0)
    return {
        "contrastive": losses.contrastive(of),
        "distillation": losses.distillation(of, teacher),
        "flops": losses.flops(image),
        "grounding": losses.grounding(image, text.detach() > 0),
    }


def run_process(rank: int, port: int, folder: str) -> None:
    """A half of the batch; leaves values, gradients of the inputs and the scale's gradient."""
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    found = {}
    for name in ("contrastive", "distillation", "flops", "grounding"):
        image = numbers(6, 7).detach()[rank * 3 : rank * 3 + 3].requires_grad_()
        text = numbers(6, 7, seed=1).detach()[rank * 3 : rank * 3 + 3].requires_grad_()
        scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
        value = terms(image, text, scale)[name]
        value.backward()
        found[name] = [
            x if x is not None else torch.zeros(1)
            for x in (value.detach(), image.grad, text.grad, scale.grad)
        ]
    torch.save(found, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_equal_one_with_the_whole_batch(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(run_process, (port, str(tmp_path)), nprocs=2)
    halves = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    for name, first in halves[0].items():
        image, text = numbers(6, 7), numbers(6, 7, seed=1)
        scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
        value = terms(image, text, scale)[name]
        value.backward()
        second = halves[1][name]
        assert torch.allclose((first[0] + second[0]) / 2, value), name
        # the mean over the processes, as DistributedDataParallel takes it of parameters' gradients
        assert torch.allclose(torch.cat([first[1], second[1]]) / 2, image.grad), name
        if text.grad is not None:
            assert torch.allclose(torch.cat([first[2], second[2]]) / 2, text.grad), name
            assert torch.allclose((first[3] + second[3]) / 2, scale.grad), name


def test_lambda_grows_quadratically() -> None:
    assert [quadratic_growth(step, 4) for step in range(6)] == [0, 1 / 16, 1 / 4, 9 / 16, 1, 1]
    assert quadratic_growth(0, 0) == 1
