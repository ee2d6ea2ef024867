"""Networks whose work stands in the bodies of If and Loop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_graphs import engine

from deploykit.errors import BuildFailed
from deploykit.graph.calibrate import Calibration
from deploykit.graph.precision import convert
from deploykit.graph.read_write import open_model
from deploykit.ort_session import input_specs, open_session, session_options
from deploykit.workflow.convert import rounding_text

INFO = helper.make_tensor_value_info
N = helper.make_node


def two_sizes(size: int) -> onnx.ModelProto:
    """A network for one of two sizes, 1 or 2, by a flag: each branch squeezes what must be 1 for it."""
    then = helper.make_graph(
        [N("Squeeze", ["x", "axis"], ["a"])], "then", [], [INFO("a", TensorProto.FLOAT, None)]
    )
    other = helper.make_graph(
        [N("ReduceSum", ["x", "axis"], ["b"], keepdims=0)], "other", [], [INFO("b", TensorProto.FLOAT, None)]
    )  # fmt: skip
    nodes = [N("If", ["flag"], ["y"], then_branch=then, else_branch=other)]
    inputs = [INFO("x", TensorProto.FLOAT, [3, size]), INFO("flag", TensorProto.BOOL, [])]
    axis = numpy_helper.from_array(np.asarray([1]), "axis")
    graph = helper.make_graph(nodes, "g", inputs, [INFO("y", TensorProto.FLOAT, None)], [axis])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_branch_that_is_not_for_the_sizes_given_does_not_hinder_the_other(tmp_path: Path) -> None:
    source = two_sizes(2).SerializeToString()
    session = open_session(source, session_options(optimise=True), BuildFailed)
    assert [spec.shape for spec in input_specs(session)] == [(3, 2), ()]
    (found,) = session.run(None, {"x": np.ones((3, 2), np.float32), "flag": np.asarray(False)})
    assert found.tolist() == [2, 2, 2]


def weights(seed: int, *shape: int) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) / 5).astype(np.float32)


def branches() -> onnx.ModelProto:
    """Two convolutions in each branch of an If, with weights that both share and weights of their own."""

    def branch(name: str, nested: list[onnx.NodeProto]) -> onnx.GraphProto:
        own = numpy_helper.from_array(weights(1, 8, 8, 3, 3), f"{name}_w")
        nodes = [
            N("Conv", ["x", "shared"], [f"{name}_c"], name=f"{name}/first"),
            N("Relu", [f"{name}_c"], [f"{name}_r"]),
            N("Conv", [f"{name}_r", f"{name}_w"], [f"{name}_y"], name=f"{name}/second"),
        ]
        return helper.make_graph(
            nodes + nested, name, [], [INFO(f"{name}_y", TensorProto.FLOAT, None)], [own]
        )

    node = N("If", ["flag"], ["b"], then_branch=branch("then", []), else_branch=branch("else", []))
    total = N("GlobalAveragePool", ["b"], ["y"])
    inputs = [INFO("x", TensorProto.FLOAT, [1, 3, 16, 16]), INFO("flag", TensorProto.BOOL, [])]
    graph = helper.make_graph(
        [node, total], "g", inputs, [INFO("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weights(0, 8, 3, 3, 3), "shared")],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def loop() -> onnx.ModelProto:
    """A convolution in the body of a Loop that runs three times."""
    body = helper.make_graph(
        [N("Conv", ["v", "w"], ["c"], name="conv", pads=[1] * 4), N("Relu", ["c"], ["next"]),
         N("Identity", ["go"], ["on"])],
        "body", [INFO("i", TensorProto.INT64, []), INFO("go", TensorProto.BOOL, []),
                 INFO("v", TensorProto.FLOAT, [1, 4, 16, 16])],
        [INFO("on", TensorProto.BOOL, []), INFO("next", TensorProto.FLOAT, [1, 4, 16, 16])],
        [numpy_helper.from_array(weights(0, 4, 4, 3, 3), "w")],
    )  # fmt: skip
    stored = [
        numpy_helper.from_array(np.asarray(3), "n"),
        numpy_helper.from_array(np.asarray(True), "t"),
    ]
    graph = helper.make_graph(
        [N("Loop", ["n", "t", "x"], ["y"], body=body)], "g",
        [INFO("x", TensorProto.FLOAT, [1, 4, 16, 16])], [INFO("y", TensorProto.FLOAT, None)], stored,
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def feeds(model: onnx.ModelProto, seed: int) -> dict[str, np.ndarray]:
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    made = {"x": np.random.default_rng(seed).standard_normal(shape).astype(np.float32)}
    return made | ({"flag": np.asarray(True)} if len(model.graph.input) > 1 else {})


def outputs(source: bytes, fed: dict[str, np.ndarray]) -> np.ndarray:
    session = open_session(source, session_options(optimise=True), BuildFailed)
    return np.asarray(session.run(None, fed)[0], np.float64)


@pytest.mark.parametrize(("model", "products"), [(branches(), 2), (loop(), 1)])
def test_products_in_bodies_that_ran_are_in_int8(
    model: onnx.ModelProto, products: int, tmp_path: Path
) -> None:
    onnx.save(model, tmp_path / "a.onnx")
    images = Calibration(lambda: [feeds(model, seed) for seed in range(4)], count=4)
    made = convert(open_model(tmp_path / "a.onnx"), "int8", "cpu", tmp_path / "i.onnx", images)
    assert made.recipe["products_quantised"] == products
    assert f"uncorrected in {products} product" in (rounding_text(made) or "")
    assert made.recipe.get("kept", []) == (["else/first", "else/second"] if products > 1 else [])
    exact, found = (
        outputs(source, feeds(model, 9))
        for source in (model.SerializeToString(), made.path.read_bytes())
    )
    noise = np.square(exact - found).sum()
    assert 0 < noise < 2e-3 * np.square(exact).sum()


@pytest.mark.parametrize("method", ["percentile", "entropy"])
@pytest.mark.parametrize("model", [branches(), loop()])
def test_ranges_in_bodies_follow_the_method_of_calibration(
    model: onnx.ModelProto, method: str, tmp_path: Path
) -> None:
    onnx.save(model, tmp_path / "a.onnx")
    fed = [feeds(model, seed) for seed in range(4)]
    fed[0]["x"][0, 0, 0, 0] = 40.0
    widest = {}
    for chosen in ("minmax", method):
        images = Calibration(lambda: fed, count=4, method=chosen, percentile=99.0)
        made = convert(open_model(tmp_path / "a.onnx"), "int8", "cpu", tmp_path / "i.onnx", images)
        assert made.recipe["products_quantised"] > 0
        widest[chosen] = max(high for _, high in made.recipe["ranges"].values())
    assert widest["minmax"] >= 40.0
    assert 1.0 < widest[method] < 25.0


def test_shapes_that_contradict_each_other_without_branches_are_still_refused() -> None:
    axis = numpy_helper.from_array(np.asarray([1]), "axis")
    graph = helper.make_graph(
        [N("Squeeze", ["x", "axis"], ["y"])], "g", [INFO("x", TensorProto.FLOAT, [3, 2])],
        [INFO("y", TensorProto.FLOAT, None)], [axis],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(BuildFailed, match="Squeeze"):
        open_session(model.SerializeToString(), session_options(optimise=True), BuildFailed)


def alike() -> onnx.ModelProto:
    """A convolution that both branches of an If read, each with a tensor "a" and a weight "w" of its own."""

    def branch(name: str, size: int) -> onnx.GraphProto:
        own = numpy_helper.from_array(weights(size, 8, 8, size, size), "w")
        nodes = [
            N("Conv", ["seen", "w"], ["a"], name=f"{name}/conv", pads=[size // 2] * 4),
            N("Relu", ["a"], ["r"]),
        ]
        return helper.make_graph(nodes, name, [], [INFO("r", TensorProto.FLOAT, None)], [own])

    nodes = [
        N("Conv", ["x", "first"], ["seen"], name="conv", pads=[1] * 4),
        N("If", ["flag"], ["b"], then_branch=branch("then", 3), else_branch=branch("else", 5)),
        N("GlobalAveragePool", ["b"], ["y"]),
    ]
    inputs = [INFO("x", TensorProto.FLOAT, [1, 3, 16, 16]), INFO("flag", TensorProto.BOOL, [])]
    graph = helper.make_graph(
        nodes, "g", inputs, [INFO("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weights(0, 8, 3, 3, 3), "first")],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_branches_may_call_tensors_by_the_same_names(tmp_path: Path) -> None:
    """A branch that never ran is told by its own name, and what both read is made in integers."""
    path = tmp_path / "a.onnx"
    onnx.save(alike(), path)
    fed = feeds(alike(), 0)
    images = Calibration(batches=lambda: iter([fed]), count=1)
    made = convert(open_model(path), "int8", "cpu", tmp_path / "b.onnx", images)
    assert made.recipe["kept"] == ["else/conv"]
    (why,) = made.recipe["kept_because"]
    assert why.startswith(
        "Conv 'else/conv' is in a body that did not run on the calibration images"
    )
    rewritten = engine(Path(made.path))
    names = [node.op_type for node in rewritten.graph.node]
    assert names.count("QLinearConv") == 1
    assert "Conv" not in names
    for flag in (True, False):
        given = fed | {"flag": np.asarray(flag)}
        wanted = outputs(alike().SerializeToString(), given)
        found = outputs(Path(made.path).read_bytes(), given)
        assert np.abs(wanted - found).max() < 0.1 * np.abs(wanted).max()
