"""Networks that compute where a look at the main graph alone does not show: bodies, functions, recurrent layers."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

NODE = helper.make_node
RNG = np.random.default_rng(0)


def value(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def stored(name, *shape):
    return numpy_helper.from_array((RNG.standard_normal(shape) * 0.3).astype(np.float32), name)


def model(nodes, inputs, outputs, initializers, functions=(), domains=()):
    graph = helper.make_graph(nodes, "g", inputs, outputs, initializers)
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(name, 1) for name in domains)]
    made = helper.make_model(graph, opset_imports=opsets, functions=list(functions), ir_version=8)
    onnx.checker.check_model(made)
    return made


def loop() -> onnx.ModelProto:
    body = helper.make_graph(
        [
            NODE("Conv", ["s", "inner"], ["s1"], name="inner_conv", pads=[1] * 4),
            NODE("Relu", ["s1"], ["s2"], name="relu"),
            NODE("Identity", ["go"], ["on"]),
        ],
        "body",
        [value("i", [], TensorProto.INT64), value("go", [], TensorProto.BOOL), value("s", [None, 8, 6, 6])],
        [value("on", [], TensorProto.BOOL), value("s2", [None, 8, 6, 6])],
    )  # fmt: skip
    times = numpy_helper.from_array(np.int64(5), "times")
    return model(
        [
            NODE("Conv", ["x", "first"], ["a"], name="first_conv", pads=[1] * 4),
            NODE("Loop", ["times", "", "a"], ["l"], name="loop", body=body),
            NODE("Conv", ["l", "last"], ["y"], name="last_conv", pads=[1] * 4),
        ],
        [value("x", ["N", 3, 6, 6])],
        [value("y", ["N", 2, 6, 6])],
        [
            stored("first", 8, 3, 3, 3),
            stored("inner", 8, 8, 3, 3),
            stored("last", 2, 8, 3, 3),
            times,
        ],
    )


def branches() -> onnx.ModelProto:
    def branch(name: str) -> onnx.GraphProto:
        return helper.make_graph(
            [NODE("MatMul", ["x", f"w_{name}"], [f"y_{name}"], name=f"product_{name}")],
            name,
            [],
            [value(f"y_{name}", ["N", 4])],
        )

    return model(
        [NODE("If", ["c"], ["y"], then_branch=branch("then"), else_branch=branch("else"))],
        [value("x", ["N", 3]), value("c", [], TensorProto.BOOL)],
        [value("y", ["N", 4])],
        [stored("w_then", 3, 4), stored("w_else", 3, 4)],
    )


def recurrent(operator: str, hidden: int = 5, inputs: int = 3) -> onnx.ModelProto:
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[operator]
    return model(
        [NODE(operator, ["x", "w", "r"], ["y"], name="layer", hidden_size=hidden)],
        [value("x", [7, "N", inputs])],
        [value("y", [7, 1, "N", hidden])],
        [stored("w", 1, hidden * gates, inputs), stored("r", 1, hidden * gates, hidden)],
    )


def in_both_directions() -> onnx.ModelProto:
    """A GRU that is told how long its sequences are."""
    return model(
        [NODE("GRU", ["x", "w", "r", "", "n"], ["y"], name="layer", hidden_size=8, direction="bidirectional")],
        [value("x", [7, "N", 8]), value("n", ["N"], TensorProto.INT32)],
        [value("y", [7, 2, "N", 8])],
        [stored("w", 2, 24, 8), stored("r", 2, 24, 8)],
    )  # fmt: skip


def attention() -> onnx.ModelProto:
    """A product of activations behind a Where, whose first input is no number."""
    return model(
        [
            NODE("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
            NODE("MatMul", ["x", "t"], ["s"], name="scores"),
            NODE("Where", ["m", "s", "low"], ["masked"]),
            NODE("Softmax", ["masked"], ["p"]),
            NODE("MatMul", ["p", "x"], ["y"], name="values"),
        ],
        [value("x", ["N", 4, 6]), value("m", [4, 4], TensorProto.BOOL)],
        [value("y", ["N", 4, 6])],
        [numpy_helper.from_array(np.float32(-10), "low")],
    )


def function() -> onnx.ModelProto:
    inner = helper.make_function(
        "mine", "Layer", ["x", "w"], ["y"],
        [NODE("Conv", ["x", "w"], ["c"], name="conv"), NODE("Relu", ["c"], ["y"], name="relu")],
        [helper.make_opsetid("", 17)],
    )  # fmt: skip
    return model(
        [NODE("Layer", ["x", "w"], ["y"], name="layer", domain="mine")],
        [value("x", ["N", 3, 6, 6])],
        [value("y", ["N", 8, 4, 4])],
        [stored("w", 8, 3, 3, 3)],
        functions=[inner],
        domains=["mine"],
    )
