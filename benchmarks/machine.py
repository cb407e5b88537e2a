"""What benchmarks print of the machine, and a table of milliseconds."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import numpy as np


def machine() -> str:
    """The processor's name, how many cores there are, and how busy they have been for a minute."""
    about = Path("/proc/cpuinfo")  # elsewhere than on Linux there is none
    lines = about.read_text().splitlines() if about.is_file() else []
    name = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.processor() or platform.machine(),
    )
    return f"{name}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"


def heading() -> None:
    """The first lines of a table whose others are `row`."""
    print(f"\n| {'':24} | p50 ms | p95 ms |\n|{'-' * 26}|-------:|-------:|")


def row(name: str, taken: list[float]) -> None:
    """taken: milliseconds of each call."""
    p50, p95 = np.percentile(taken, [50, 95])
    print(f"| {name:24} | {p50:6.2f} | {p95:6.2f} |")
