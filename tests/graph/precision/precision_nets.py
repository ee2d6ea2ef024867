"""Small networks with random weights, one per pattern that the recipes must place rightly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from deploykit.graph.calibrate import Calibration
from deploykit.graph.read_write import open_model, save_model
from deploykit.spec import OnnxModel


class Net:
    """Collects nodes and weights; `build` makes the model."""

    def __init__(self, seed: int = 0, channels: int = 8, size: int = 12) -> None:
        self.random = np.random.default_rng(seed)
        self.shape = (channels, size, size)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def weight(self, name: str, array: np.ndarray) -> str:
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def node(self, op_type: str, inputs: list[str], output: str, **attributes: object) -> str:
        name = attributes.pop("name", f"{output}/{op_type}")
        self.nodes.append(helper.make_node(op_type, inputs, [output], name=name, **attributes))
        return output

    def conv(
        self, source: str, output: str, out: int, into: int, kernel: int = 3, group: int = 1,
        bias: bool = True,
    ) -> str:  # fmt: skip
        shape = (out, into // group, kernel, kernel)
        values = self.random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
        inputs = [source, self.weight(f"{output}_w", values.astype(np.float32))]
        if bias:
            shift = 0.1 * self.random.standard_normal(out)
            inputs.append(self.weight(f"{output}_b", shift.astype(np.float32)))
        pad = kernel // 2
        return self.node("Conv", inputs, output, pads=[pad] * 4, group=group)

    def norm(self, source: str, output: str, channels: int) -> str:
        names = [source]
        for part, low, high in (
            ("g", 0.5, 1.5),
            ("b", -0.3, 0.3),
            ("m", -0.3, 0.3),
            ("v", 0.5, 1.5),
        ):
            values = self.random.uniform(low, high, channels).astype(np.float32)
            names.append(self.weight(f"{output}_{part}", values))
        return self.node("BatchNormalization", names, output)

    def relu(self, source: str, output: str) -> str:
        return self.node("Relu", [source], output)

    def head(self, source: str, channels: int, classes: int = 10) -> str:
        pooled = self.node("GlobalAveragePool", [source], "pooled")
        flat = self.node("Flatten", [pooled], "flat")
        values = self.random.standard_normal((classes, channels)).astype(np.float32)
        shift = self.random.standard_normal(classes).astype(np.float32)
        names = [flat, self.weight("head_w", values), self.weight("head_b", shift)]
        return self.node("Gemm", names, "y", transB=1)

    def build(
        self, output: tuple[int | str, ...] = ("batch", 10), opset: int = 17
    ) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("batch", *self.shape))],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)],
            self.weights,
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8
        )
        onnx.checker.check_model(model, full_check=True)
        return model


def residual() -> onnx.ModelProto:
    """Two basic blocks: the first adds its input, the second a projection."""
    net = Net()
    x = net.relu(net.norm(net.conv("x", "c0", 16, 8, bias=False), "n0", 16), "r0")
    a = net.relu(net.norm(net.conv(x, "c1", 16, 16, bias=False), "n1", 16), "r1")
    a = net.norm(net.conv(a, "c2", 16, 16, bias=False), "n2", 16)
    x = net.relu(net.node("Add", [a, x], "s1"), "r2")
    b = net.norm(net.conv(x, "c3", 16, 16, bias=False), "n3", 16)
    p = net.norm(net.conv(x, "p3", 16, 16, kernel=1, bias=False), "q3", 16)
    x = net.relu(net.node("Add", [b, p], "s2"), "r3")
    net.head(x, 16)
    return net.build()


def fire() -> onnx.ModelProto:
    """SqueezeNet's module: squeeze, two expansions, concatenation, pooling; a convolution as classifier."""
    net = Net(1)
    s = net.relu(net.conv("x", "squeeze", 8, 8, kernel=1), "rs")
    one = net.relu(net.conv(s, "one", 16, 8, kernel=1), "r1")
    three = net.relu(net.conv(s, "three", 16, 8), "r3")
    joined = net.node("Concat", [one, three], "joined", axis=1)
    pooled = net.node("MaxPool", [joined], "max", kernel_shape=[3, 3], strides=[2, 2])
    x = net.relu(net.conv(pooled, "classes", 10, 32, kernel=1), "rc")
    net.node("GlobalAveragePool", [x], "gap")
    net.node("Flatten", ["gap"], "y")
    return net.build()


def depthwise() -> onnx.ModelProto:
    """MobileNet's block with ReLU6, and a squeeze-and-excitation gate."""
    net = Net(2)
    zero = net.weight("zero", np.asarray(0, np.float32))
    six = net.weight("six", np.asarray(6, np.float32))
    x = net.node("Clip", [net.conv("x", "c0", 16, 8), zero, six], "k0")
    x = net.node("Clip", [net.conv(x, "dw", 16, 16, group=16), zero, six], "k1")
    x = net.conv(x, "pw", 16, 16, kernel=1)
    gate = net.node("GlobalAveragePool", [x], "mean")
    gate = net.relu(net.conv(gate, "down", 4, 16, kernel=1), "rd")
    gate = net.node("Sigmoid", [net.conv(gate, "up", 16, 4, kernel=1)], "gate")
    x = net.node("Mul", [x, gate], "gated")
    net.head(x, 16)
    return net.build()


def dense() -> onnx.ModelProto:
    """DenseNet's order: BatchNorm and ReLU before the convolution, concatenation after."""
    net = Net(3)
    x = net.conv("x", "c0", 8, 8)
    a = net.conv(net.relu(net.norm(x, "n1", 8), "r1"), "c1", 8, 8, bias=False)
    x = net.node("Concat", [x, a], "cat", axis=1)
    x = net.relu(net.norm(x, "n2", 16), "r2")
    net.head(x, 16)
    return net.build()


NETS: dict[str, Callable[[], onnx.ModelProto]] = {
    "residual": residual, "fire": fire, "depthwise": depthwise, "dense": dense,
}  # fmt: skip


def images(count: int = 8, shape: tuple[int, ...] = (8, 12, 12), seed: int = 7) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, *shape)).astype(np.float32)


def calibration(**options: object) -> Calibration:
    def batches() -> Iterator[np.ndarray]:
        data = images(16)
        yield from (data[i : i + 4] for i in range(0, 16, 4))

    return Calibration(batches=batches, count=16, data="noise", data_sha256="0" * 64, **options)


def stored(model: onnx.ModelProto, path: Path) -> OnnxModel:
    save_model(model, path)
    return open_model(path)


def run(model: onnx.ModelProto | Path, x: np.ndarray, optimise: bool = True) -> np.ndarray:
    data = str(model) if isinstance(model, Path) else model.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def optimised(path: Path, to: Path) -> onnx.ModelProto:
    """The graph that ONNX Runtime really runs."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(to)
    options.log_severity_level = 4
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return onnx.load(to)
