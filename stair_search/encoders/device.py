"""Where an encoder runs and in which precision: what may be asked for, and what this machine has.

Knows neither torch nor ONNX Runtime: each says for itself what it can do there.
"""

from __future__ import annotations

import ctypes
from typing import Literal, NamedTuple

from stair_search.errors import UsageError

Precision = Literal["auto", "fp32", "bf16", "fp16"]
PRECISIONS: tuple[Precision, ...] = ("auto", "fp32", "bf16", "fp16")

_MEMORY_WORDS = (
    "out of memory",  # CUDA's, and torch's of it
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "can't allocate memory",  # torch's of the CPU
    "Failed to allocate memory",  # ONNX Runtime's arena
    "bad allocation",
    "std::bad_alloc",
)


class Memory(NamedTuple):
    """Of a device, in bytes. used: the most that this process has held at once. total: what it
    could hold, beside other processes.
    """

    used: int
    total: int


def gpus() -> int:
    """GPUs that CUDA lets this process see (CUDA_VISIBLE_DEVICES counts); 0 without a driver."""
    count = ctypes.c_int(0)
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        failed = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    except (OSError, AttributeError):
        return 0
    return 0 if failed else count.value


def absent(device: str, there: list[str], reason: str = "") -> UsageError:
    """That a device was asked for which this machine has not."""
    also = f" ({reason})" if reason else ""
    return UsageError(f"device {device!r} is not there: this machine has {', '.join(there)}{also}")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether fewer photos at once may well succeed: no runtime has an error of one type for it."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return any(words in str(error) for words in _MEMORY_WORDS)
