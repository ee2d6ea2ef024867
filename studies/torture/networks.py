"""Small networks that mutations start from: between them they have what files from elsewhere are made of."""

from __future__ import annotations

import functools
import random
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import onnx
from onnx import TensorProto, helper

from deploykit.graph.origin import SPEC_KEY

#: The file beside a network that holds its weights.
WEIGHTS = "weights.bin"


@dataclass(frozen=True)
class Base:
    """A network as bytes, and files that lie beside it, by name."""

    name: str
    data: bytes
    beside: Mapping[str, bytes] = field(default_factory=dict)


def _floats(name: str, *dims: int) -> onnx.TensorProto:
    chance, count = random.Random(name), 1
    for dim in dims:
        count *= dim
    values = [chance.uniform(-0.5, 0.5) for _ in range(count)]
    return TensorProto(
        name=name,
        data_type=TensorProto.FLOAT,
        dims=dims,
        raw_data=struct.pack(f"<{count}f", *values),
    )


def _whole(name: str, *values: int) -> onnx.TensorProto:
    return helper.make_tensor(name, TensorProto.INT64, [len(values)], values)


def _graph(
    nodes: Sequence[onnx.NodeProto],
    weights: Sequence[onnx.TensorProto],
    shape: Sequence[int | str],
    kind: int = TensorProto.FLOAT,
) -> onnx.GraphProto:
    return helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        weights,
    )


def _model(graph: onnx.GraphProto, **rest: object) -> onnx.ModelProto:
    opsets = [helper.make_opsetid("", 20), *rest.pop("opsets", [])]  # type: ignore[misc]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10, **rest)


def _convolutions() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], "conv1", pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c1", "s", "o", "m", "v"], ["n1"], "norm1"),
        helper.make_node("Relu", ["n1"], ["r1"], "relu1"),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], "depthwise", group=4, strides=[2, 2]),
        helper.make_node("Clip", ["c2", "low", "high"], ["r2"], "relu6"),
        helper.make_node("MaxPool", ["r2"], ["p"], "pool", kernel_shape=[2, 2]),
        helper.make_node("Concat", ["p", "p"], ["j"], "join", axis=1),
        helper.make_node("GlobalAveragePool", ["j"], ["g"], "mean"),
        helper.make_node("Flatten", ["g"], ["f"], "flat"),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["y"], "classes", transB=1),
    ]
    weights = [
        _floats("w1", 4, 3, 3, 3), _floats("b1", 4), _floats("s", 4), _floats("o", 4),
        _floats("m", 4), helper.make_tensor("v", TensorProto.FLOAT, [4], [1.0] * 4),
        _floats("w2", 4, 1, 3, 3), helper.make_tensor("low", TensorProto.FLOAT, [], [0.0]),
        helper.make_tensor("high", TensorProto.FLOAT, [], [6.0]), _floats("w3", 5, 8), _floats("b3", 5),
    ]  # fmt: skip
    model = _model(_graph(nodes, weights, ["batch", 3, 12, 12]), producer_name="pytorch")
    helper.set_model_props(
        model,
        {
            SPEC_KEY: '{"name":"lenet5","alpha":1.0,"rho":"1","num_classes":5,"weights":"file","seed":0}'
        },
    )
    return model


def _attention() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Gather", ["table", "x"], ["e"], "embed"),
        helper.make_node("LayerNormalization", ["e", "s", "o"], ["n"], "norm", axis=-1),
        helper.make_node("MatMul", ["n", "wq"], ["q"], "query"),
        helper.make_node("Shape", ["x"], ["sizes"], "sizes"),
        helper.make_node("Gather", ["sizes", "zero"], ["count"], "count"),
        helper.make_node("Unsqueeze", ["count", "axes"], ["count1"], "count1"),
        helper.make_node("Concat", ["count1", "heads"], ["target"], "target", axis=0),
        helper.make_node("Reshape", ["q", "target"], ["h"], "split"),
        helper.make_node("Transpose", ["h"], ["t"], "turn", perm=[0, 2, 1, 3]),
        helper.make_node("Transpose", ["h"], ["k"], "keys", perm=[0, 2, 3, 1]),
        helper.make_node("MatMul", ["t", "k"], ["a"], "scores"),
        helper.make_node("Softmax", ["a"], ["p"], "softmax", axis=-1),
        helper.make_node("MatMul", ["p", "t"], ["u"], "mix"),
        helper.make_node("ReduceMean", ["u", "last"], ["r"], "mean", keepdims=0),
        helper.make_node("Slice", ["r", "from", "to", "axes", "axes1"], ["y"], "first"),
    ]
    weights = [
        _floats("table", 20, 8), _floats("s", 8), _floats("o", 8), _floats("wq", 8, 8),
        helper.make_tensor("zero", TensorProto.INT64, [], [0]), _whole("axes", 0), _whole("axes1", 1),
        _whole("heads", 6, 2, 4), _whole("last", 2, 3), _whole("from", 0), _whole("to", 1),
    ]  # fmt: skip
    return _model(_graph(nodes, weights, ["batch", 6], TensorProto.INT64))


def _bodies() -> onnx.ModelProto:
    def body(name: str, factor: str) -> onnx.GraphProto:
        node = helper.make_node("Mul", ["f", factor], [name], f"{name}_mul")
        return helper.make_graph([node], name, [], [helper.make_tensor_value_info(name, 1, None)])

    step = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["again"]),
            helper.make_node("MatMul", ["state", "w"], ["next"], "step_product"),
            helper.make_node("Tanh", ["next"], ["after"]),
        ],
        "step",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", 1, ["batch", 4]),
        ],
        [
            helper.make_tensor_value_info("again", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", 1, ["batch", 4]),
        ],
    )
    nodes = [
        helper.make_node("Pad", ["x", "pads"], ["padded"], "pad"),
        helper.make_node("MatMul", ["padded", "v"], ["f"], "first"),
        helper.make_node("ReduceSum", ["f"], ["total"], "sum", keepdims=0),
        helper.make_node("Greater", ["total", "limit"], ["large"], "test"),
        helper.make_node(
            "If",
            ["large"],
            ["i"],
            "if",
            then_branch=body("t", "one"),
            else_branch=body("e", "limit"),
        ),
        helper.make_node("Loop", ["trips", "true", "i"], ["l"], "loop", body=step),
        helper.make_node("ConstantOfShape", ["four"], ["zeros"], "zeros"),
        helper.make_node("Add", ["l", "zeros"], ["y"], "add"),
    ]
    weights = [
        _whole("pads", 0, 1, 0, 1), _floats("v", 6, 4), _floats("w", 4, 4), _whole("four", 4),
        helper.make_tensor("limit", 1, [], [0.5]), helper.make_tensor("one", 1, [], [1.0]),
        helper.make_tensor("trips", TensorProto.INT64, [], [3]),
        helper.make_tensor("true", TensorProto.BOOL, [], [True]),
    ]  # fmt: skip
    return _model(_graph(nodes, weights, ["batch", 4]))


def _recurrent() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], "turn", perm=[1, 0, 2]),
        helper.make_node("LSTM", ["t", "w", "r", "b"], ["all", "h", "c"], "lstm", hidden_size=3),
        helper.make_node("GRU", ["t", "gw", "gr"], ["", "g"], "gru", hidden_size=3),
        helper.make_node("Add", ["h", "g"], ["hg"], "both"),
        helper.make_node("Squeeze", ["hg", "axis"], ["s"], "squeeze"),
        helper.make_node("Split", ["s"], ["s1", "s2", "s3"], "split", axis=1, num_outputs=3),
        helper.make_node("Concat", ["s3", "s2", "s1"], ["j"], "join", axis=-1),
        helper.make_node("Gemm", ["j", "o"], ["y"], "out"),
    ]
    weights = [
        _floats("w", 1, 12, 5), _floats("r", 1, 12, 3), _floats("b", 1, 24), _floats("gw", 1, 9, 5),
        _floats("gr", 1, 9, 3), _whole("axis", 0), _floats("o", 3, 2),
    ]  # fmt: skip
    return _model(_graph(nodes, weights, ["batch", 7, 5]))


def _functions() -> onnx.ModelProto:
    domain = "here"
    inner = helper.make_function(
        domain, "Scaled", ["a", "b"], ["c"],
        [helper.make_node("Mul", ["a", "b"], ["m"]), helper.make_node("Relu", ["m"], ["c"])],
        [helper.make_opsetid("", 20)],
    )  # fmt: skip
    outer = helper.make_function(
        domain, "Block", ["a", "w"], ["c"],
        [
            helper.make_node("MatMul", ["a", "w"], ["m"]),
            helper.make_node("Scaled", ["m", "m"], ["c"], domain=domain),
        ],
        [helper.make_opsetid("", 20), helper.make_opsetid(domain, 1)],
    )  # fmt: skip
    nodes = [
        helper.make_node("Resize", ["x", "", "scales"], ["z"], "resize", mode="nearest"),
        helper.make_node("Reshape", ["z", "target"], ["f"], "flat"),
        helper.make_node("Block", ["f", "w1"], ["b1"], "block1", domain=domain),
        helper.make_node("Block", ["b1", "w2"], ["y"], "block2", domain=domain),
    ]
    weights = [
        helper.make_tensor("scales", 1, [4], [1, 1, 2, 2]), _whole("target", 0, -1),
        _floats("w1", 64, 4), _floats("w2", 4, 4),
    ]  # fmt: skip
    return _model(
        _graph(nodes, weights, ["batch", 2, 2, 4]),
        functions=[inner, outer],
        opsets=[helper.make_opsetid(domain, 1)],
    )


def _quantised() -> onnx.ModelProto:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "sx", "zx"], ["xq"], "q"),
        helper.make_node("DequantizeLinear", ["xq", "sx", "zx"], ["xd"], "d"),
        helper.make_node("DequantizeLinear", ["wq", "sw", "zw"], ["wd"], "dw", axis=0),
        helper.make_node("Conv", ["xd", "wd"], ["c"], "conv"),
        helper.make_node("QuantizeLinear", ["c", "sx", "zx"], ["cq"], "q2"),
        helper.make_node("DequantizeLinear", ["cq", "sx", "zx"], ["cd"], "d2"),
        helper.make_node("AveragePool", ["cd"], ["p"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Cast", ["p"], ["h"], "half", to=TensorProto.FLOAT16),
        helper.make_node("Tile", ["h", "times"], ["t"], "tile"),
        helper.make_node("Expand", ["t", "wide"], ["e"], "expand"),
        helper.make_node("Cast", ["e"], ["y"], "single", to=TensorProto.FLOAT),
    ]
    weights = [
        helper.make_tensor("sx", 1, [], [0.02]), helper.make_tensor("zx", TensorProto.UINT8, [], [128]),
        TensorProto(
            name="wq", data_type=TensorProto.INT8, dims=[4, 3, 3, 3], raw_data=bytes(range(108))
        ),
        helper.make_tensor("sw", 1, [4], [0.01, 0.02, 0.03, 0.04]),
        helper.make_tensor("zw", TensorProto.INT8, [4], [0] * 4),
        _whole("times", 1, 1, 1, 2), _whole("wide", 1, 4, 3, 6),
    ]  # fmt: skip
    return _model(_graph(nodes, weights, [1, 3, 8, 8]))


def _apart() -> tuple[onnx.ModelProto, bytes]:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "conv"),
        helper.make_node("Relu", ["c"], ["y"], "relu"),
    ]
    weight = _floats("w", 4, 3, 3, 3)
    data = weight.raw_data
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in (("location", WEIGHTS), ("offset", "64"), ("length", str(len(data)))):
        weight.external_data.add(key=key, value=value)
    return _model(_graph(nodes, [weight], ["batch", 3, "height", "width"])), bytes(64) + data


@functools.cache
def bases() -> tuple[Base, ...]:
    """The networks, in an order that never changes, or seeds would mean others."""
    whole = {
        "convolutions": _convolutions(),
        "attention": _attention(),
        "bodies": _bodies(),
        "recurrent": _recurrent(),
        "functions": _functions(),
        "quantised": _quantised(),
    }
    found = [Base(name, bytes(model.SerializeToString())) for name, model in whole.items()]
    model, data = _apart()
    return (*found, Base("apart", bytes(model.SerializeToString()), {WEIGHTS: data}))
