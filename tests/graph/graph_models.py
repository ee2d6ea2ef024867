from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def tensor(name: str, *shape: int) -> onnx.TensorProto:
    random = np.random.default_rng(len(name))
    return numpy_helper.from_array(random.standard_normal(shape).astype(np.float32), name)


def make_model(
    nodes: list[onnx.NodeProto],
    weights: Sequence[onnx.TensorProto] = (),
    shape: tuple[int | str | None, ...] = ("batch", 3, 8, 8),
    output: tuple[int | str | None, ...] | None = None,
    **options: object,
) -> onnx.ModelProto:
    """A model from "x" to "y"; opset 20 unless `opsets` says otherwise."""
    output = output or tuple(f"y{place}" for place in range(len(shape)))
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)],
        list(weights),
    )
    opsets = options.pop("opsets", [helper.make_opsetid("", 20)])
    return helper.make_model(graph, opset_imports=opsets, ir_version=10, **options)
