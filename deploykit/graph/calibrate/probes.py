"""Nodes added to a graph that reduce its activations: extremes, and samples for histograms.

They are chosen so that ONNX Runtime can keep convolutions in its blocked layout: reordering every
activation for a reduction would cost more than the reduction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from deploykit.graph.element_types import ElementType
from deploykit.graph.nodes import is_standard
from deploykit.graph.operators import Trait, has
from deploykit.graph.shapes import tensor_shapes
from deploykit.graph.view import GraphView
from deploykit.lazy import np, onnx

#: Values per image and tensor that go into a histogram; larger tensors are sampled evenly.
SAMPLE_VALUES = 8192

Range = tuple[float, float]


class Probes:
    """The model with nodes that reduce each wanted tensor, and only their results as outputs."""

    def __init__(
        self,
        model: onnx.ModelProto,
        tensors: Sequence[str],
        histograms: bool,
    ) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        shapes = tensor_shapes(model)
        self.names: list[str] = []
        self.samples: dict[str, str] = {}
        self._low: dict[str, str] = {}
        self._high: dict[str, str] = {}
        self._floor = _never_negative(GraphView(model))
        graph = self.model.graph
        # The network's own results stay: they show a NaN that a maximum may have passed over.
        self.ends = [
            v.name for v in graph.output if v.type.tensor_type.elem_type == ElementType.FLOAT
        ]
        self.names.extend(self.ends)
        outputs = [v for v in graph.output if v.name in self.ends]
        del graph.output[:]
        graph.output.extend(outputs)
        for index, name in enumerate(tensors):
            self._probe(graph, f"deploykit_probe_{index}", name, shapes.get(name))
            if histograms:
                self._sample(graph, f"deploykit_sample_{index}", name, shapes.get(name))

    def extremes(self, name: str, outputs: Mapping[str, np.ndarray]) -> Range:
        """The least and largest value of a tensor in the batch that gave `outputs`."""
        high = float(np.max(outputs[self._high[name]], initial=-math.inf))
        low = (
            float(np.min(outputs[self._low[name]], initial=math.inf)) if name in self._low else 0.0
        )
        # A reduction may skip NaN where another does not: their sum shows it either way.
        return (low, high) if not math.isnan(low + high) else (math.nan, math.nan)

    def _probe(self, graph: onnx.GraphProto, base: str, name: str, shape: list[int] | None) -> None:
        if shape is not None and len(shape) == 4:
            # Unlike ReduceMax, this one runs in ONNX Runtime's blocked layout, with no reordering.
            graph.node.append(onnx.helper.make_node("GlobalMaxPool", [name], [f"{base}_high"]))
            self._output(graph, f"{base}_high")
        else:
            self._reduce(graph, "ReduceMax", name, f"{base}_high")
        self._high[name] = f"{base}_high"
        if name not in self._floor:
            self._reduce(graph, "ReduceMin", name, f"{base}_low")
            self._low[name] = f"{base}_low"

    def _reduce(self, graph: onnx.GraphProto, op_type: str, name: str, output: str) -> None:
        graph.node.append(onnx.helper.make_node(op_type, [name], [output], keepdims=0))
        self._output(graph, output)

    def _sample(
        self, graph: onnx.GraphProto, base: str, name: str, shape: list[int] | None
    ) -> None:
        output = f"{base}_values"
        if shape is not None and len(shape) == 4:
            # A pooling window of one value with a stride samples in the blocked layout, too.
            strides = _spatial_strides(shape)
            pool = onnx.helper.make_node(
                "MaxPool", [name], [output], kernel_shape=[1, 1], strides=strides
            )
            graph.node.append(pool)
        else:
            step = 1 if shape is None else _stride(math.prod(shape), shape[-1] if shape else 1)
            self._slice(graph, base, name, output, step)
        self._output(graph, output)
        self.samples[name] = output

    def _slice(self, graph: onnx.GraphProto, base: str, name: str, output: str, step: int) -> None:
        for suffix, value in (
            ("shape", -1), ("start", 0), ("end", 2**62), ("axis", 0), ("step", step)
        ):  # fmt: skip
            graph.initializer.append(
                onnx.numpy_helper.from_array(np.asarray([value], np.int64), f"{base}_{suffix}")
            )
        flat = f"{base}_flat"
        graph.node.append(onnx.helper.make_node("Reshape", [name, f"{base}_shape"], [flat]))
        slots = [flat, *(f"{base}_{suffix}" for suffix in ("start", "end", "axis", "step"))]
        graph.node.append(onnx.helper.make_node("Slice", slots, [output]))

    def _output(self, graph: onnx.GraphProto, name: str) -> None:
        graph.output.append(onnx.helper.make_tensor_value_info(name, ElementType.FLOAT, None))
        self.names.append(name)


def _never_negative(view: GraphView) -> set[str]:
    """Tensors that can't be negative, whose least value needs no reduction: behind a ReLU, a ReLU6."""
    names: set[str] = set()
    for node in view.nodes:
        if not is_standard(node):
            continue
        if has(node, Trait.NEVER_NEGATIVE) or (
            has(node, Trait.KEEPS_SIGN) and all(name in names for name in node.input if name)
        ):
            names.update(node.output)
        elif node.op_type == "Clip" and len(node.input) > 1 and node.input[1]:
            least = view.constant(node.input[1])
            if least is not None and float(least.reshape(-1)[0]) >= 0.0:
                names.update(node.output)
    return names


def _stride(values: int, row: int) -> int:
    """A step that leaves about SAMPLE_VALUES of the values and walks through all columns of a row."""
    step = max(1, values // SAMPLE_VALUES)
    while step > 1 and math.gcd(step, row) != 1:
        step += 1
    return step


def _spatial_strides(shape: Sequence[int]) -> list[int]:
    """Equal strides over height and width that leave about SAMPLE_VALUES values of an image."""
    _, channels, height, width = shape
    stride = 1
    while channels * -(-height // stride) * -(-width // stride) > SAMPLE_VALUES and stride < max(
        height, width
    ):
        stride += 1
    return [stride, stride]
