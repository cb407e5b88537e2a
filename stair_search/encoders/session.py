"""ONNX Runtime sessions, and what the models' graphs have in common.

onnxruntime is imported on first use: the static text encoder needs none.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stair_search.errors import ModelError, UsageError
from stair_search.tokens import TokenWeights

from .device import absent, gpus

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
NO_CUDA = (
    "this ONNX Runtime has no CUDA; pip install onnxruntime-gpu in place of onnxruntime, or take "
    "the torch folder of the model"
)


def open_session(
    path: Path,
    inputs: Sequence[str],
    *,
    threads: int | None = None,
    device: str | None = None,
    missing: str,
    weights: Path | None = None,
) -> Any:
    """A session over a graph with these inputs and the outputs `weights` and `ids`.

    threads: None for all cores. device: "cpu", "cuda" or "cuda:N", None for the CPU, "auto" for the
    first GPU that can be used, else the CPU. missing: what is said where onnxruntime is not
    installed. weights: the folder of tensors that the graph names and does not hold; None: it must
    hold all. Raises ModelError, and UsageError for a device that is not there.
    """
    onnxruntime = _runtime(missing)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # threads that wait for work sleep: spinning takes the cores from decoding
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if threads is not None:
        options.intra_op_num_threads = threads
    if weights is not None:
        # a setting of this name would be passed over in silence before 1.21
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", str(weights)
        )
    number = _gpu(device, missing)
    try:
        graph = str(path) if weights is None else path.read_bytes()
        session = None if number is None else _on_gpu(graph, options, number, device == "auto")
        session = session or onnxruntime.InferenceSession(graph, options, providers=[CPU])
    except UsageError:
        raise
    except Exception as error:  # onnxruntime's own exceptions have no common base
        raise ModelError(f"{path} is no model that ONNX Runtime can run: {error}") from None
    found = [given.name for given in session.get_inputs()]
    outputs = [given.name for given in session.get_outputs()]
    if found != list(inputs) or outputs != ["weights", "ids"]:
        raise ModelError(
            f"{path} is no such model: it takes {', '.join(found)} and gives "
            f"{', '.join(outputs)}, not {', '.join(inputs)} and weights, ids"
        )
    return session


def _runtime(missing: str) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(missing.format("onnxruntime")) from error
    return onnxruntime


def check_device(device: str | None, missing: str) -> None:
    """Raises UsageError for a name that is no device's, and for a GPU that is not there."""
    kind, colon, number = ("auto" if device is None else device).partition(":")
    if kind not in ("auto", "cpu", "cuda") or (
        colon and not (kind == "cuda" and number.isdecimal())
    ):
        raise UsageError(f"device {device!r}: known are auto, cpu, cuda and cuda:N")
    if kind == "cuda":
        _gpu(device, missing)


def _gpu(device: str | None, missing: str) -> int | None:
    """The number of the GPU to be used, None for the CPU. Raises UsageError."""
    if device in (None, "cpu"):
        return None
    providers = _runtime(missing).get_available_providers()
    count = gpus() if CUDA in providers else 0
    if device == "auto":
        return 0 if count else None
    number = int(str(device).partition(":")[2] or 0)
    if number >= count:
        there = ["cpu", *(f"cuda:{n}" for n in range(count))]
        raise absent(str(device), there, "" if CUDA in providers else NO_CUDA)
    return number


def _on_gpu(graph: Any, options: Any, number: int, may_fail: bool) -> Any:
    """A session on a GPU; None where that fails and may. Raises UsageError where it may not."""
    onnxruntime = _runtime("{}")
    # CUDA and cuDNN as pip installs them, where the system has none
    with contextlib.redirect_stdout(sys.stderr):  # it prints what it does not find
        onnxruntime.preload_dlls()
    on = {
        "device_id": number,
        # the default tries all algorithms anew for every new size of a batch
        "cudnn_conv_algo_search": "HEURISTIC",
        # the default takes the next power of two
        "arena_extend_strategy": "kSameAsRequested",
    }
    said = "see ONNX Runtime's log above"
    try:
        # no fallback: it prints to stdout, and in mid-run goes on on the CPU in silence
        session = onnxruntime.InferenceSession(
            graph, options, providers=[(CUDA, on), CPU], enable_fallback=0
        )
        if device_of(session) != "cpu":
            return session
    except Exception as error:
        said = str(error)
    if may_fail:
        return None
    raise UsageError(
        f"device cuda:{number}: ONNX Runtime {onnxruntime.__version__} cannot use it ({said}); it "
        "needs CUDA and cuDNN of the versions that it was built for"
    )


def device_of(session: Any) -> str:
    """Where a session runs, "cpu" or "cuda:N": what it fell back to counts, not what was asked."""
    options = session.get_provider_options().get(CUDA)
    return "cpu" if options is None else f"cuda:{options.get('device_id', 0)}"


def check_ids(path: Path, ids: NDArray[np.int32], outputs: int, vocabulary: int) -> None:
    """Raises ModelError unless ids are `outputs` rising places in the vocabulary."""
    if (
        ids.shape != (outputs,)
        or not np.issubdtype(ids.dtype, np.integer)
        or (outputs and (ids[0] < 0 or ids[-1] >= vocabulary or (np.diff(ids) <= 0).any()))
    ):
        raise ModelError(
            f"{path} does not fit its vocabulary of {vocabulary}: its ids must be {outputs} rising "
            f"places in it"
        )


def strongest(
    weights: NDArray[np.float32], ids: NDArray[np.int32], top_k: int | None
) -> list[TokenWeights]:
    """float32 [n, T] and their ids [T] to n TokenWeights at Euclidean length 1, pruned."""
    least = np.finfo(np.float32).tiny
    found = []
    for row in weights:
        active = np.flatnonzero(row >= least)
        found.append(TokenWeights(ids[active], row[active]).prune(top_k).unit())
    return found
