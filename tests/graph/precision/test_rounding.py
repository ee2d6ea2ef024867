"""Half precision on a runtime that has none: every activation is rounded, and overflows where it would."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from deploykit import backends
from deploykit.graph.nodes import has_subgraphs
from deploykit.graph.precision import convert
from deploykit.graph.precision.rounding import kept_names, unrounded, with_rounding
from deploykit.graph.read_write import open_model
from deploykit.spec import BuildOptions

HALF, WIDE = TensorProto.FLOAT16, TensorProto.FLOAT


def chain(*middle: onnx.NodeProto, kind: int = WIDE, scale: float = 1.0) -> onnx.ModelProto:
    """x -> a product with the unit matrix -> `middle`, from "a" to "b" -> another product -> y, in float16."""
    matrix = (np.eye(4) * scale).astype(np.float16)
    nodes = [helper.make_node("MatMul", ["xh", "w"], ["a"], "first"), *middle]
    nodes.append(helper.make_node("MatMul", ["b" if middle else "a", "w"], ["yh"], "second"))
    if kind == WIDE:
        nodes.insert(0, helper.make_node("Cast", ["x"], ["xh"], "in", to=HALF))
        nodes.append(helper.make_node("Cast", ["yh"], ["y"], "out", to=WIDE))
    names = ("x", "y") if kind == WIDE else ("xh", "yh")
    ports = [helper.make_tensor_value_info(name, kind, [1, 4]) for name in names]
    graph = helper.make_graph(
        nodes, "chain", ports[:1], ports[1:], [numpy_helper.from_array(matrix, "w")]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def optimised(model: onnx.ModelProto, tmp_path, values) -> tuple[onnx.ModelProto, np.ndarray]:
    """The graph as ONNX Runtime runs it, and what it makes of `values`."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, ["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    kind = np.float16 if model.graph.input[0].type.tensor_type.elem_type == HALF else np.float32
    (found,) = session.run(None, {name: np.array([values], kind)})
    return onnx.load(tmp_path / "optimised.onnx"), found


def test_the_runtime_alone_rounds_nothing_which_is_why_this_is_here(tmp_path):
    graph, found = optimised(chain(), tmp_path, [1e5, 1.0001, 0, 0])
    np.testing.assert_array_equal(found[0, :2], np.float32([1e5, 1.0001]))
    assert unrounded(graph) == ["second"]


@pytest.mark.parametrize("kind", [WIDE, HALF], ids=["float32 ports", "float16 ports"])
def test_values_between_products_are_those_of_half_precision(tmp_path, kind):
    model = chain(kind=kind, scale=1.25)
    assert with_rounding(model) == (3 if kind == WIDE else 2)
    onnx.checker.check_model(model, full_check=True)
    graph, found = optimised(model, tmp_path, [1.0 + 2**-10, 3.3, 0.1, 2.0**-20])
    expected = np.float16([1.0 + 2**-10, 3.3, 0.1, 2.0**-20])
    for _ in range(2):
        expected = (expected.astype(np.float32) * np.float32(1.25)).astype(np.float16)
    np.testing.assert_array_equal(found[0].astype(np.float32), expected.astype(np.float32))
    assert unrounded(graph) == []
    assert found.dtype == (np.float32 if kind == WIDE else np.float16)


def test_what_half_precision_can_not_hold_is_infinite(tmp_path):
    model = chain(scale=10.0)
    with_rounding(model)
    _, found = optimised(model, tmp_path, [3e4, 1, 1, 1])
    assert not np.isfinite(found).all()


def test_rounding_waits_until_after_a_relu_so_that_the_two_can_be_fused(tmp_path):
    model = chain(helper.make_node("Relu", ["a"], ["b"], "relu"), scale=1.25)
    with_rounding(model)
    operators = [node.op_type for node in model.graph.node]
    assert operators[operators.index("Relu") - 1] == "MatMul"
    graph, found = optimised(model, tmp_path, [-3.3, 3.3, 0.1, 0])
    once = (np.float16([0, 3.3, 0.1, 0]).astype(np.float32) * np.float32(1.25)).astype(np.float16)
    twice = (once.astype(np.float32) * np.float32(1.25)).astype(np.float16)
    np.testing.assert_array_equal(found[0], twice.astype(np.float32))
    assert unrounded(graph) == []


def test_what_passes_values_on_is_not_rounded_again():
    model = chain(helper.make_node("Identity", ["a"], ["b"], "same"))
    with_rounding(model)
    casts = [node.output[0] for node in model.graph.node if node.op_type == "Cast"]
    assert "a_rounded" in casts
    assert "b_rounded" not in casts


def test_a_result_that_is_also_used_further_on_is_rounded_for_both(tmp_path):
    model = chain(helper.make_node("Relu", ["a"], ["b"], "relu"), scale=1.25)
    model.graph.output.append(helper.make_tensor_value_info("a", HALF, [1, 4]))
    with_rounding(model)
    onnx.checker.check_model(model, full_check=True)
    graph, _ = optimised_first(model, tmp_path)
    assert unrounded(graph) == []


def optimised_first(model, tmp_path):
    """As `optimised`, whatever the number of outputs."""
    session_options = onnxruntime.SessionOptions()
    session_options.optimized_model_filepath = str(tmp_path / "more.onnx")
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), session_options, ["CPUExecutionProvider"]
    )
    found = session.run(None, {"x": np.ones((1, 4), np.float32)})
    return onnx.load(tmp_path / "more.onnx"), found


def test_products_that_were_kept_in_float32_are_not_asked_for_rounding(tmp_path):
    graph, _ = optimised(chain(), tmp_path, [1, 2, 3, 4])
    assert unrounded(graph, kept=("first",)) == []


def test_a_kept_product_that_onnx_runtime_renames_is_still_kept() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], "fused first"),
        helper.make_node("MatMul", ["a", "w"], ["y"], "second"),
    ]
    value = helper.make_tensor_value_info
    ends = [value(name, WIDE, [1, 4]) for name in ("x", "y")]
    weight = onnx.numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")
    model = helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:], [weight]))
    assert unrounded(model, kept=("first",)) == []
    assert unrounded(model) == ["second"]


def test_kept_products_without_a_name_are_known_by_what_they_end_in(tmp_path: Path) -> None:
    """ONNX Runtime calls a convolution in its blocked layout after its output, past a Relu that it takes in."""
    random = np.random.default_rng(0)
    weight = onnx.numpy_helper.from_array(
        (1e4 * random.standard_normal((16, 16, 3, 3))).astype(np.float32), "w"
    )
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]), helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("Conv", ["r", "w"], ["b"]), helper.make_node("Relu", ["b"], ["s"]),
        helper.make_node("Softmax", ["s"], ["y"], axis=1),
    ]  # fmt: skip
    value = helper.make_tensor_value_info
    ends = [value("x", WIDE, [1, 16, 16, 16]), value("y", WIDE, [1, 16, 12, 12])]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [weight])
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "a.onnx")
    made = convert(open_model(tmp_path / "a.onnx"), "fp16", "cpu", tmp_path / "h.onnx")
    assert set(made.recipe["kept"]) == {"a", "b"}
    assert {"a", "r", "b", "s"} <= kept_names(onnx.load(made.path), made.recipe["kept"])
    facts = backends.get("onnxruntime").build(made, BuildOptions(), tmp_path / "engine")
    assert facts["compute_types"]


def test_graphs_within_a_node_are_seen():
    inner = helper.make_graph(
        [helper.make_node("Identity", ["a"], ["c"])],
        "inner",
        [],
        [helper.make_tensor_value_info("c", HALF, [1, 4])],
    )
    branch = helper.make_node("If", ["flag"], ["b"], "if", then_branch=inner, else_branch=inner)
    assert has_subgraphs(chain(branch))
    assert not has_subgraphs(chain())


def test_products_far_apart_are_looked_at_without_an_end_of_depth():
    steps = [
        helper.make_node("Neg", [f"a{i}" if i else "a"], [f"a{i + 1}" if i < 2999 else "b"])
        for i in range(3000)
    ]
    assert unrounded(chain(*steps)) == ["second"]
