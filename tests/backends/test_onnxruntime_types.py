"""What an engine computes in is found wherever it computes: in bodies, in recurrent layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from deploykit.backends.building import macs_by_type
from deploykit.backends.onnxruntime_types import read_back
from deploykit.graph.compute_types import compute_types
from deploykit.graph.product_macs import product_macs

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


def optimised(source: onnx.ModelProto, folder: Path) -> Path:
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(folder / "engine.onnx")
    ort.InferenceSession(source.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return folder / "engine.onnx"


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


def recurrent(operator: str) -> onnx.ModelProto:
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[operator]
    return model(
        [NODE(operator, ["x", "w", "r"], ["y"], name="layer", hidden_size=5)],
        [value("x", [7, "N", 3])],
        [value("y", [7, 1, "N", 5])],
        [stored("w", 1, 5 * gates, 3), stored("r", 1, 5 * gates, 5)],
    )


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


@pytest.mark.parametrize(
    ("source", "names"),
    [
        (loop(), {"first_conv", "inner_conv", "last_conv"}),
        (branches(), {"product_then", "product_else"}),
        *((recurrent(operator), {"layer"}) for operator in ("LSTM", "GRU", "RNN")),
        (attention(), {"scores", "values"}),
    ],
)
def test_products_are_found_and_called_as_in_the_source(source, names, tmp_path):
    found = read_back(optimised(source, tmp_path), source)
    assert {kind: set(nodes) for kind, nodes in found.items()} == {"fp32": names}
    assert dict(compute_types(source)) == {"fp32": len(names)}


def test_products_of_functions_are_found(tmp_path):
    found = read_back(optimised(function(), tmp_path), function())
    assert {kind: len(nodes) for kind, nodes in found.items()} == {"fp32": 1}
    assert dict(compute_types(function())) == {"fp32": 1}


def test_a_loop_body_counts_as_often_as_it_runs():
    types = {"int8": ["first_conv", "last_conv"], "fp32": ["inner_conv"]}
    macs = macs_by_type(types, product_macs(loop()))
    assert macs == {"int8": 36 * (8 * 27 + 2 * 72), "fp32": 5 * 36 * 8 * 72}


def test_a_dynamically_quantised_recurrent_layer_computes_in_integers(tmp_path):
    from onnxruntime.quantization import quantize_dynamic

    onnx.save(recurrent("LSTM"), tmp_path / "float.onnx")
    quantize_dynamic(tmp_path / "float.onnx", tmp_path / "int8.onnx")
    source = onnx.load(tmp_path / "int8.onnx")
    assert set(read_back(optimised(source, tmp_path), source)) == {"int8"}
    assert dict(compute_types(source)) == {"int8": 1}
