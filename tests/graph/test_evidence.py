"""A trial run tells shapes or what the runtime has against it, and ends where the network does not."""

from __future__ import annotations

import time

import onnx
import pytest
from onnx import TensorProto, helper

from deploykit.errors import InvalidModel
from deploykit.graph.evidence import blaming, runs_at, table_size
from deploykit.graph.view import GraphView


def save(path, nodes, shape=("N", 4)):
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def test_it_tells_the_shapes_of_each_batch(tmp_path):
    path = save(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])])
    assert runs_at(path, (1, 3)) == [{"y": (1, 4)}, {"y": (3, 4)}]


def test_a_network_without_an_end_tells_nothing_and_does_not_hang(tmp_path):
    scalar = [helper.make_tensor_value_info(n, t, []) for n, t in (("i", 7), ("c", 9), ("on", 9))]
    state = [helper.make_tensor_value_info(n, 1, [1, 4]) for n in ("s", "t")]
    nodes = [
        helper.make_node("Identity", ["c"], ["on"]),
        helper.make_node("Relu", ["s"], ["t"]),
    ]
    body = helper.make_graph(nodes, "body", [*scalar[:2], state[0]], [scalar[2], state[1]])
    true = helper.make_node(
        "Constant", [], ["go"], value=helper.make_tensor("v", TensorProto.BOOL, [], [True])
    )
    loop = helper.make_node("Loop", ["", "go", "x"], ["y"], body=body)
    path = save(tmp_path / "endless.onnx", [true, loop], (1, 4))
    start_s = time.monotonic()
    assert runs_at(path, (1,), limit_s=0.2) is None
    assert time.monotonic() - start_s < 60


def test_a_lookup_along_an_axis_that_is_none_tells_nothing(tmp_path):
    ends = [helper.make_tensor_value_info("x", TensorProto.INT64, [1, 4])]
    table = helper.make_tensor("table", TensorProto.FLOAT, [5, 2], [0.0] * 10)
    for axis, size in ((0, 5), (-1, 2), (2, None), (-3, None), (2**62, None)):
        node = helper.make_node("Gather", ["table", "x"], ["y"], axis=axis)
        graph = helper.make_graph([node], "g", ends, [], [table])
        assert table_size(GraphView(helper.make_model(graph)), "x") == size


def work(path, error):
    with blaming(path, InvalidModel):
        raise error


def test_an_error_that_nobody_foresaw_is_the_files_where_the_runtime_refuses_it_too(tmp_path):
    fine = save(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])])
    with pytest.raises(IndexError, match="ours"):
        work(fine, IndexError("ours"))
    odd = save(tmp_path / "odd.onnx", [helper.make_node("Transpose", ["x"], ["y"], perm=[0, 5])])
    with pytest.raises(InvalidModel, match=r"^ONNX Runtime refuses the graph: .*perm"):
        work(odd, IndexError("ours"))
    with pytest.raises(OSError, match="disk"):
        work(odd, OSError("disk"))
