"""ONNX Runtime sessions, and what the models' graphs have in common.

onnxruntime is imported on first use: the static text encoder needs none.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stair_search.errors import ModelError
from stair_search.tokens import TokenWeights

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


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

    threads: None for all cores. device: "cpu", "cuda" or "cuda:N", None for the CPU. missing: what
    is said where onnxruntime is not installed. weights: the folder of tensors that the graph names
    and does not hold; None: it must hold all. Raises ModelError.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(missing.format("onnxruntime")) from error
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
    providers = _providers(device, onnxruntime.get_available_providers())
    try:
        graph = str(path) if weights is None else path.read_bytes()
        session = onnxruntime.InferenceSession(graph, options, providers=providers)
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


def _providers(device: str | None, there: Sequence[str]) -> list[Any]:
    if device in (None, "auto", "cpu"):
        return [CPU]
    kind, _, number = str(device).partition(":")
    if kind != "cuda" or (number and not number.isdecimal()):
        raise ModelError(f"device {device!r}: known are auto, cpu, cuda and cuda:N")
    if CUDA not in there:
        raise ModelError(
            f"device {device}: this ONNX Runtime has no CUDA; pip install onnxruntime-gpu in place "
            "of onnxruntime, or take the torch folder of the model"
        )
    return [(CUDA, {"device_id": int(number or 0)}), CPU]


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
