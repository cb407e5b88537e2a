"""The token head's scores in chunks of the vocabulary against all at once: result, memory, speed.

    python -m benchmarks.head [--device cuda] [--dtype bfloat16] [--hidden 384] [--outputs 30522]
                              [--batches 4,8,16] [--positions 10,50,197] [--chunk 4096]

One step is the way there and back of `max_logits`, one form after the other, `--repeats` times;
shown is the median of each and of their ratio. The gradient that comes back is dense ("all", as
when training begins) or in 0.5 % of the outputs ("few", as behind the ReLU of a trained head); the
plain form takes the same time for both. Memory is what a step adds in a process of its own: the
growth of its largest resident size, on CUDA the peak of what is allocated beyond the inputs.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.machine import machine
from stair_search.models.max_logits import max_logits

FEW = 0.005
MB = 2**20


class Shape(NamedTuple):
    """b photos of p positions, h hidden, o outputs; chunk: of the outputs."""

    b: int
    p: int
    h: int
    o: int
    chunk: int
    device: str
    dtype: str


class Step:
    """Inputs of one shape, and a step over them."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        generator = torch.Generator().manual_seed(0)
        dtype = getattr(torch, shape.dtype)

        def normal(*size: int) -> torch.Tensor:
            made: torch.Tensor = torch.randn(size, generator=generator).to(shape.device, dtype)
            return made

        self.hidden = normal(shape.b, shape.p, shape.h).requires_grad_()
        # as long as the rows of a centred table, so that scores have deviation 1
        self.weight = (normal(shape.o, shape.h) / shape.h**0.5).requires_grad_()
        self.bias = torch.zeros(shape.o, device=shape.device)
        self.mask = torch.ones(shape.b, shape.p, dtype=torch.bool, device=shape.device)
        self.all = torch.randn(shape.b, shape.o, generator=generator).to(shape.device)
        few = torch.rand(shape.b, shape.o, generator=generator) < FEW
        self.few = self.all * few.to(shape.device)

    def run(self, chunk: int, gradient: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Values and the gradients of hidden and weight."""
        values = max_logits(self.hidden, self.mask, self.weight, self.bias, chunk)
        found = torch.autograd.grad(values, (self.hidden, self.weight), gradient)
        return values.detach(), *found

    def seconds(self, call: Callable[[], object]) -> float:
        self._wait()
        start = time.perf_counter()
        call()
        self._wait()
        return time.perf_counter() - start

    def _wait(self) -> None:
        if self.shape.device == "cuda":
            torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--batches", default="4,8,16")
    parser.add_argument("--positions", default="10,50,197")
    parser.add_argument("--hidden", type=int, default=384)
    parser.add_argument("--outputs", type=int, default=30_522)
    parser.add_argument("--chunk", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.memory_of:
        shape, chunk = json.loads(given.memory_of)
        print(memory(Shape(*shape), chunk))
        return
    batches = [int(x) for x in given.batches.split(",")]
    positions = [int(x) for x in given.positions.split(",")]
    middle = batches[len(batches) // 2], positions[len(positions) // 2]
    pairs = dict.fromkeys([(b, middle[1]) for b in batches] + [(middle[0], p) for p in positions])
    cpu = f"{machine()}, {torch.get_num_threads()} threads"
    where = torch.cuda.get_device_name() if given.device == "cuda" else cpu
    print(f"{where}; {given.dtype}, hidden {given.hidden}, {given.outputs:,} outputs in chunks of")
    print(f"{given.chunk}; seconds of one step, MB that it adds; ratio: plain / chunked\n")
    print("| batch | positions | plain s | all s | ratio | few s | ratio | plain MB | chunked MB |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    differences = []
    for b, p in pairs:
        shape = Shape(b, p, given.hidden, given.outputs, given.chunk, given.device, given.dtype)
        plain, everything, few = speed(shape, given.repeats)
        differences.append(difference(shape))
        print(
            f"| {b} | {p} | {statistics.median(plain):.3f} "
            f"| {statistics.median(everything):.3f} | {ratio(plain, everything):.2f} "
            f"| {statistics.median(few):.3f} | {ratio(plain, few):.2f} "
            f"| {own_process(shape, 0):.0f} | {own_process(shape, given.chunk):.0f} |",
            flush=True,
        )
    values, to_hidden, to_weight = (max(column) for column in zip(*differences, strict=True))
    print(
        "\nlargest difference of the two forms, relative to the largest entry: "
        f"values {values:.1e}, gradients of hidden {to_hidden:.1e}, of weight {to_weight:.1e}"
    )


def speed(shape: Shape, repeats: int) -> tuple[list[float], list[float], list[float]]:
    """Seconds of plain, chunked with all gradients, chunked with few; interleaved."""
    step = Step(shape)
    calls: list[Callable[[], object]] = [
        lambda: step.run(0, step.all),
        lambda: step.run(shape.chunk, step.all),
        lambda: step.run(shape.chunk, step.few),
    ]
    calls[2]()  # the first call of all pays for the libraries' start
    rounds = [[step.seconds(call) for call in calls] for _ in range(repeats)]
    plain, everything, few = ([r[i] for r in rounds] for i in range(3))
    return plain, everything, few


def ratio(slow: list[float], fast: list[float]) -> float:
    """The median over rounds: what else the machine does falls on both of a round."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


def difference(shape: Shape) -> list[float]:
    """Of values and both gradients, on two photos of this shape."""
    step = Step(shape._replace(b=2))
    pairs = zip(step.run(0, step.all), step.run(shape.chunk, step.all), strict=True)
    return [float(((a - b).abs().max() / a.abs().max()).cpu()) for a, b in pairs]


def own_process(shape: Shape, chunk: int) -> float:
    command = [sys.executable, "-m", "benchmarks.head", "--memory-of", json.dumps([shape, chunk])]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(run.stdout)


def memory(shape: Shape, chunk: int) -> float:
    """MB that one step adds to this process."""
    small = Step(shape._replace(b=1, p=1, o=64))
    small.run(chunk, small.all)
    step = Step(shape)
    if shape.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step.run(chunk, step.all)
        return float(torch.cuda.max_memory_allocated() - before) / MB
    before = largest_resident()
    step.run(chunk, step.all)
    return (largest_resident() - before) / MB


def largest_resident() -> int:
    """Bytes. On Linux not of getrusage: there a new process starts with its parent's."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    main()
