"""Networks whose work stands in the bodies of If and Loop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_graphs import engine

from deploykit.backends.onnxruntime import OnnxRuntimeCpu, OnnxRuntimeSession
from deploykit.errors import BuildFailed, PrecisionMismatch, UnknownName
from deploykit.graph.calibrate import Calibration
from deploykit.graph.precision import KeepRules, convert
from deploykit.graph.precision.recipe import why_in_float
from deploykit.graph.read_write import LIMIT_VARIABLE, open_model
from deploykit.ort_session import input_specs, open_session, session_options
from deploykit.spec import BuildOptions, OnnxModel
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


def test_bodies_are_calibrated_beside_weights_in_a_file_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, "1000")  # as if the network had more than 2 GB
    model = branches()
    large = numpy_helper.from_array(weights(2, 16, 8, 6, 6), "large")
    model.graph.initializer.append(large)
    model.graph.node[-1].CopyFrom(N("Conv", ["b", "large"], ["y"], name="last"))
    path = tmp_path / "a.onnx"
    onnx.save(model, path, save_as_external_data=True, location="a.data", size_threshold=4096)
    images = Calibration(lambda: [feeds(model, seed) for seed in range(4)], count=4)
    made = convert(open_model(path), "int8", "cpu", tmp_path / "i.onnx", images)
    assert made.recipe["products_quantised"] == 3


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


def two_stages() -> onnx.ModelProto:
    """A convolution, and another one that runs by a flag."""
    info = INFO("y", TensorProto.FLOAT, [1, 8, 14, 14])
    second = N("Conv", ["seen", "w"], ["p"], name="second", pads=[1] * 4)
    then = helper.make_graph([second], "then", [], [INFO("p", TensorProto.FLOAT, None)])
    other = helper.make_graph(
        [N("Identity", ["seen"], ["q"])], "other", [], [INFO("q", TensorProto.FLOAT, None)]
    )
    nodes = [
        N("Conv", ["x", "first"], ["c"], name="first"), N("Relu", ["c"], ["seen"]),
        N("If", ["flag"], ["b"], then_branch=then, else_branch=other), N("Relu", ["b"], ["y"]),
    ]  # fmt: skip
    inputs = [INFO("x", TensorProto.FLOAT, [1, 3, 16, 16]), INFO("flag", TensorProto.BOOL, [])]
    stored = {"first": weights(0, 8, 3, 3, 3), "w": weights(1, 8, 8, 3, 3)}
    tensors = [numpy_helper.from_array(value, name) for name, value in stored.items()]
    graph = helper.make_graph(nodes, "g", inputs, [info], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("model", [two_stages(), alike()], ids=["two stages", "alike"])
def test_a_network_that_the_runtime_saves_but_cant_load_is_saved_at_a_lower_level(
    model: onnx.ModelProto, tmp_path: Path
) -> None:
    """Where it puts channels last, it gives a tensor of a body the name of one around it, and refuses that."""
    made = in_int8(model, tmp_path)
    with pytest.raises(BuildFailed, match="single static assignment"):
        open_session(
            engine(Path(made.path)).SerializeToString(),
            session_options(optimise=False),
            BuildFailed,
        )
    facts = OnnxRuntimeCpu().build(made, BuildOptions(), tmp_path / "engine.onnx")
    assert facts["optimisation"] == "extended"
    with OnnxRuntimeSession(tmp_path / "engine.onnx", 1) as session:
        for flag in (True, False):
            given = feeds(model, 0) | {"flag": np.asarray(flag)}
            wanted = outputs(model.SerializeToString(), given)
            found = session.run(given)["y"]
            assert np.abs(wanted - found).max() < 0.1 * np.abs(wanted).max()


def shrinking(factor: float, *, before: bool = True) -> onnx.ModelProto:
    """A product in a Loop of eight steps, each of which makes its values smaller by a factor."""
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((16, 16)))[0] * factor
    body = helper.make_graph(
        [N("MatMul", ["v", "w"], ["next"], name="product"), N("Identity", ["go"], ["on"])],
        "body", [INFO("i", TensorProto.INT64, []), INFO("go", TensorProto.BOOL, []),
                 INFO("v", TensorProto.FLOAT, None)],
        [INFO("on", TensorProto.BOOL, []), INFO("next", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(turn.astype(np.float32), "w")],
    )  # fmt: skip
    nodes = [N("MatMul", ["x", "first"], ["a"], name="first")] if before else []
    nodes.append(N("Loop", ["times", "", "a" if before else "x"], ["y"], body=body))
    stored = [numpy_helper.from_array(np.int64(8), "times")]
    stored += [numpy_helper.from_array(weights(0, 16, 16), "first")] if before else []
    graph = helper.make_graph(
        nodes, "g", [INFO("x", TensorProto.FLOAT, [4, 16])], [INFO("y", TensorProto.FLOAT, None)], stored
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def tail() -> onnx.ModelProto:
    """Widely spread values, of which a small convolution in a branch makes the output."""

    def branch(name: str) -> onnx.GraphProto:
        node = N("Conv", ["t", "end"], [f"{name}_y"], name=f"{name}/end")
        return helper.make_graph([node], name, [], [INFO(f"{name}_y", TensorProto.FLOAT, None)])

    nodes = [
        N("Conv", ["x", "u"], ["a"], name="first", pads=[2] * 4), N("Relu", ["a"], ["r"]),
        N("Conv", ["r", "v"], ["b"], name="second", pads=[1] * 4),
        N("Mul", ["b", "two"], ["m"]), N("Exp", ["m"], ["t"]),
        N("If", ["flag"], ["y"], then_branch=branch("then"), else_branch=branch("else")),
    ]  # fmt: skip
    scales = {"u": ((16, 3, 5, 5), 0.6), "v": ((16, 16, 3, 3), 0.42), "end": ((1, 16, 1, 1), 5.0)}
    stored = {name: weights(1, *shape) * size for name, (shape, size) in scales.items()}
    stored["two"] = np.asarray(2, np.float32)
    graph = helper.make_graph(
        nodes, "g", [INFO("x", TensorProto.FLOAT, [1, 3, 16, 16]), INFO("flag", TensorProto.BOOL, [])],
        [INFO("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in stored.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def in_int8(model: onnx.ModelProto, tmp_path: Path, keep: KeepRules | None = None) -> OnnxModel:
    onnx.save(model, tmp_path / "a.onnx")
    images = Calibration(lambda: [feeds(model, seed) for seed in range(4)], count=4)
    return convert(
        open_model(tmp_path / "a.onnx"), "int8", "cpu", tmp_path / "i.onnx", images, keep
    )


def near(model: onnx.ModelProto, made: OnnxModel) -> float:
    """Decibels by which what was made is near the model."""
    exact, found = (
        outputs(source, feeds(model, 2))
        for source in (model.SerializeToString(), Path(made.path).read_bytes())
    )
    return float(10 * np.log10(np.square(exact).sum() / np.square(exact - found).sum()))


def test_a_loop_whose_values_shrink_away_in_one_scale_stays_in_float(tmp_path: Path) -> None:
    made = in_int8(shrinking(0.25), tmp_path)
    assert made.recipe["kept"] == ["product"]
    assert "times by step; 8 bits cost the outputs" in made.recipe["kept_by_value"]["product"]
    assert near(shrinking(0.25), made) > 30
    strict = in_int8(shrinking(0.25), tmp_path, KeepRules(strict=True))
    assert "kept" not in strict.recipe
    assert near(shrinking(0.25), strict) < 3


@pytest.mark.parametrize("alone", [False, True])
def test_an_output_whose_rows_depend_on_values_is_left_out_of_what_is_gained(
    alone: bool, tmp_path: Path
) -> None:
    model = shrinking(0.25)
    model.graph.node.extend(
        [N("Compress", ["y", "picked"], ["rows"], axis=0),
         N("ReduceMax", ["y"], ["most"], axes=[1], keepdims=0), N("Greater", ["most", "edge"], ["picked"])]
    )  # fmt: skip
    model.graph.initializer.append(numpy_helper.from_array(np.float32(2e-5), "edge"))
    rows = INFO("rows", TensorProto.FLOAT, None)
    if alone:
        del model.graph.output[:]
    model.graph.output.append(rows)
    kept = in_int8(model, tmp_path).recipe.get("kept", [])
    assert kept == ([] if alone else ["product"])


def test_a_loop_whose_values_keep_their_size_is_in_integers(tmp_path: Path) -> None:
    assert "kept" not in in_int8(shrinking(1.0), tmp_path).recipe


def test_where_all_work_shrinks_away_the_refusal_says_so(tmp_path: Path) -> None:
    with pytest.raises(PrecisionMismatch, match="'product' stays in float: its values differ"):
        in_int8(shrinking(0.25, before=False), tmp_path)


def test_a_small_product_at_the_end_of_a_branch_stays_in_float_where_that_gains(
    tmp_path: Path,
) -> None:
    made = in_int8(tail(), tmp_path)
    assert set(made.recipe["kept"]) == {"then/end", "else/end"}
    assert made.recipe["kept_by_value"]["then/end"].startswith("8 bits cost the outputs ")
    gained = near(tail(), made)
    strict = in_int8(tail(), tmp_path, KeepRules(strict=True))
    assert strict.recipe["kept"] == ["else/end"]  # which never ran
    assert gained > near(tail(), strict) + 3


@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_a_product_in_a_body_can_be_kept_by_its_name(precision: str, tmp_path: Path) -> None:
    onnx.save(loop(), tmp_path / "a.onnx")
    images = Calibration(lambda: [feeds(loop(), seed) for seed in range(4)], count=4)
    source, made = open_model(tmp_path / "a.onnx"), tmp_path / "i.onnx"
    with pytest.raises(UnknownName, match="did you mean conv"):
        convert(source, precision, "cpu", made, images, KeepRules(("con",)))
    if precision == "fp16":
        recipe = convert(source, precision, "cpu", made, images, KeepRules(("conv",))).recipe
        assert recipe["kept"] == recipe["kept_by_rule"] == ["conv"]
    else:
        keep = KeepRules(("first",))
        recipe = in_int8(shrinking(1.0), tmp_path, KeepRules(("product",))).recipe
        assert recipe["kept"] == recipe["kept_by_rule"] == ["product"]
        assert in_int8(shrinking(1.0), tmp_path, keep).recipe["kept"] == ["first"]


def test_fp16_takes_what_a_body_reads_of_a_sequence_around_it(tmp_path: Path) -> None:
    """Of one made in the main graph, of one that a body makes for another in it, of one that a loop carries."""
    inner = helper.make_graph(
        [N("SequenceAt", ["own", "zero"], ["i_a"]), N("MatMul", ["i_a", "w"], ["i_y"], name="inner")],
        "inner", [], [INFO("i_y", TensorProto.FLOAT, None)],
    )  # fmt: skip
    body = helper.make_graph(
        [N("SequenceAt", ["around", "i"], ["e"]), N("MatMul", ["e", "w"], ["m"], name="captured"),
         N("SequenceAt", ["carried", "i"], ["f"]), N("MatMul", ["f", "w"], ["n"], name="carried_on"),
         N("SequenceConstruct", ["m", "n"], ["own"]),
         N("If", ["go"], ["k"], then_branch=inner, else_branch=renamed(inner, "other")),
         N("Add", ["k", "v"], ["next"]), N("Identity", ["carried"], ["still"]),
         N("Identity", ["go"], ["on"])],
        "body", [INFO("i", TensorProto.INT64, []), INFO("go", TensorProto.BOOL, []),
                 INFO("v", TensorProto.FLOAT, None),
                 helper.make_tensor_sequence_value_info("carried", TensorProto.FLOAT, None)],
        [INFO("on", TensorProto.BOOL, []), INFO("next", TensorProto.FLOAT, None),
         helper.make_tensor_sequence_value_info("still", TensorProto.FLOAT, None)],
    )  # fmt: skip
    nodes = [
        N("SequenceConstruct", ["x", "x"], ["around"]), N("SequenceConstruct", ["x", "x"], ["begin"]),
        N("Loop", ["times", "", "x", "begin"], ["y", "end"], body=body),
    ]  # fmt: skip
    stored = {"times": np.int64(2), "zero": np.int64(0), "w": weights(0, 16, 16)}
    graph = helper.make_graph(
        nodes, "g", [INFO("x", TensorProto.FLOAT, [4, 16])], [INFO("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in stored.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "a.onnx")
    made = convert(open_model(tmp_path / "a.onnx"), "fp16", "cpu", tmp_path / "h.onnx")
    assert "kept" not in made.recipe
    assert near(model, made) > 50


def renamed(graph: onnx.GraphProto, base: str) -> onnx.GraphProto:
    """The same body, each of whose tensors and nodes is called otherwise."""
    copy = onnx.GraphProto.FromString(graph.SerializeToString())
    own = {name for node in copy.node for name in node.output}
    for node in copy.node:
        node.name = f"{base}/{node.name}"
        node.input[:] = [f"{base}_{name}" if name in own else name for name in node.input]
        node.output[:] = [f"{base}_{name}" for name in node.output]
    copy.output[0].name = f"{base}_{copy.output[0].name}"
    return copy


def test_a_scan_that_says_how_its_outputs_are_stacked_is_calibrated(tmp_path: Path) -> None:
    body = helper.make_graph(
        [N("MatMul", ["part", "w"], ["m"], name="product"), N("Add", ["m", "state"], ["next"]),
         N("Identity", ["next"], ["made"])],
        "body", [INFO("state", TensorProto.FLOAT, [16]), INFO("part", TensorProto.FLOAT, [2, 16])],
        [INFO("next", TensorProto.FLOAT, None), INFO("made", TensorProto.FLOAT, None)],
    )  # fmt: skip
    body.input[0].CopyFrom(INFO("state", TensorProto.FLOAT, [2, 16]))
    node = N(
        "Scan", ["zero", "x"], ["last", "y"], body=body, num_scan_inputs=1,
        scan_input_directions=[1], scan_output_directions=[1], scan_output_axes=[1],
    )  # fmt: skip
    stored = {"zero": np.zeros((2, 16), np.float32), "w": weights(0, 16, 16)}
    graph = helper.make_graph(
        [node], "g", [INFO("x", TensorProto.FLOAT, [5, 2, 16])], [INFO("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in stored.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    made = in_int8(model, tmp_path)
    assert made.recipe["products_quantised"] == 1
    assert near(model, made) > 20


def with_computed_weight(*, around: bool) -> onnx.ModelProto:
    """`loop`, whose weight a node in the body or around it computes: twice what is stored."""
    model = loop()
    body = next(a.g for node in model.graph.node for a in node.attribute if a.name == "body")
    half = numpy_helper.from_array(numpy_helper.to_array(body.initializer[0]) / 2, "half")
    place = model.graph if around else body
    del body.initializer[:]
    place.initializer.append(half)
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(2, np.float32), "two"))
    place.node.insert(0, N("Mul", ["half", "two"], ["w"]))
    return model


@pytest.mark.parametrize("around", [False, True])
def test_a_weight_that_nodes_compute_is_known_in_a_body_too(around: bool, tmp_path: Path) -> None:
    model = with_computed_weight(around=around)
    made = in_int8(model, tmp_path)
    assert made.recipe["products_quantised"] == 1
    assert "kept" not in made.recipe
    # It is the loop with the weight stored, to the bit.
    assert near(model, made) == pytest.approx(near(loop(), in_int8(loop(), tmp_path)))


@pytest.mark.parametrize("around", [False, True])
def test_a_weight_that_nodes_compute_is_the_reason_in_a_body(around: bool) -> None:
    (why,) = why_in_float(with_computed_weight(around=around), ["conv"])
    assert why == "Conv 'conv' has a weight that other nodes compute"


def test_a_mask_of_infinities_in_a_branch_leaves_its_products_in_int8(tmp_path: Path) -> None:
    def branch(name: str) -> onnx.GraphProto:
        nodes = [
            N("Conv", ["x", "w"], [f"{name}_c"], name=f"{name}/conv", pads=[1] * 4),
            N("Add", [f"{name}_c", "mask"], [f"{name}_m"]),
            N("Softmax", [f"{name}_m"], [f"{name}_s"], axis=-1),
        ]
        return helper.make_graph(nodes, name, [], [INFO(f"{name}_s", TensorProto.FLOAT, None)])

    nodes = [
        N("If", ["flag"], ["b"], then_branch=branch("then"), else_branch=branch("else")),
        N("ReduceMax", ["b"], ["y"], axes=[2, 3]),
    ]
    inputs = [INFO("x", TensorProto.FLOAT, [1, 3, 16, 16]), INFO("flag", TensorProto.BOOL, [])]
    mask = np.asarray([0] * 8 + [-np.inf] * 8, np.float32)
    graph = helper.make_graph(
        nodes, "g", inputs, [INFO("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weights(0, 8, 3, 3, 3), "w"), numpy_helper.from_array(mask, "mask")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    made = in_int8(model, tmp_path)
    assert made.recipe["products_quantised"] == 1
    assert made.recipe["kept"] == ["else/conv"]  # which never ran
    assert np.isfinite(list(made.recipe["ranges"].values())).all()
    assert near(model, made) > 20
