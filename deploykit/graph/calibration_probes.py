"""Nodes added to a graph that reduce its activations: extremes, and samples for histograms.

They are chosen so that ONNX Runtime can keep convolutions in its blocked layout: reordering every
activation for a reduction would cost more than the reduction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from deploykit.graph.editing import GraphEditor
from deploykit.graph.nodes import is_standard
from deploykit.graph.skeleton import skeleton

#: Operators whose results are never negative, and those whose are not if their inputs are not.
_NEVER_NEGATIVE = frozenset({"Relu", "Sigmoid", "Softmax"})
_KEEPS_SIGN = frozenset({"Add", "Mul", "Concat", "MaxPool", "AveragePool", "GlobalAveragePool"})

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
        self._floor = _never_negative(model)
        graph = self.model.graph
        # The network's own results stay: they show a NaN that a maximum may have passed over.
        self.ends = [
            v.name for v in graph.output if v.type.tensor_type.elem_type == TensorProto.FLOAT
        ]
        self.names.extend(self.ends)
        kept = [v for v in graph.output if v.name in self.ends]
        del graph.output[:]
        graph.output.extend(kept)
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
            graph.node.append(helper.make_node("GlobalMaxPool", [name], [f"{base}_high"]))
            self._output(graph, f"{base}_high")
        else:
            self._reduce(graph, "ReduceMax", name, f"{base}_high")
        self._high[name] = f"{base}_high"
        if name not in self._floor:
            self._reduce(graph, "ReduceMin", name, f"{base}_low")
            self._low[name] = f"{base}_low"

    def _reduce(self, graph: onnx.GraphProto, op_type: str, name: str, output: str) -> None:
        graph.node.append(helper.make_node(op_type, [name], [output], keepdims=0))
        self._output(graph, output)

    def _sample(
        self, graph: onnx.GraphProto, base: str, name: str, shape: list[int] | None
    ) -> None:
        output = f"{base}_values"
        if shape is not None and len(shape) == 4:
            # A pooling window of one value with a stride samples in the blocked layout, too.
            strides = _spatial_strides(shape)
            pool = helper.make_node(
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
                numpy_helper.from_array(np.asarray([value], np.int64), f"{base}_{suffix}")
            )
        flat = f"{base}_flat"
        graph.node.append(helper.make_node("Reshape", [name, f"{base}_shape"], [flat]))
        slots = [flat, *(f"{base}_{suffix}" for suffix in ("start", "end", "axis", "step"))]
        graph.node.append(helper.make_node("Slice", slots, [output]))

    def _output(self, graph: onnx.GraphProto, name: str) -> None:
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
        self.names.append(name)


def tensor_shapes(model: onnx.ModelProto) -> dict[str, list[int]]:
    """Shapes by inference, the batch (and anything unknown) as 1."""
    light = onnx.shape_inference.infer_shapes(skeleton(model), data_prop=True).graph
    return {
        value.name: [int(d.dim_value) or 1 for d in value.type.tensor_type.shape.dim]
        for value in [*light.input, *light.value_info, *light.output]
        if value.type.tensor_type.HasField("shape")
    }


def _never_negative(model: onnx.ModelProto) -> set[str]:
    """Tensors that can't be negative, whose least value needs no reduction: behind a ReLU, a ReLU6."""
    editor = GraphEditor(model)
    names: set[str] = set()
    for node in editor.live_nodes():
        if not is_standard(node):
            continue
        if node.op_type in _NEVER_NEGATIVE or (
            node.op_type in _KEEPS_SIGN and all(name in names for name in node.input if name)
        ):
            names.update(node.output)
        elif node.op_type == "Clip" and len(node.input) > 1 and node.input[1]:
            least = editor.constant(node.input[1])
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
