from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from precision_nets import Net, calibration, cosine, fire, images, residual, run, stored

from deploykit.errors import DriftFailed
from deploykit.graph.calibrate import Calibration
from deploykit.graph.precision import KeepRules, convert
from deploykit.graph.precision.rounding import with_rounding


def scaled(model: onnx.ModelProto, name: str, factor: float) -> onnx.ModelProto:
    for tensor in model.graph.initializer:
        if tensor.name == name:
            values = numpy_helper.to_array(tensor) * np.float32(factor)
            tensor.CopyFrom(numpy_helper.from_array(values, name))
    return model


def outputs_keeping(
    kept: set[str], model: onnx.ModelProto, folder: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Outputs in float32 and in fp16, where conversion keeps just these nodes in float32 for their values."""
    source = stored(model, folder / "a.onnx")
    made = convert(source, "fp16", "cpu", folder / "h.onnx")
    assert set(made.recipe.get("kept_by_value", {})) == kept
    x = images(2)
    return run(source.path, x), run(made.path, x)


@pytest.mark.parametrize(("precision", "target", "kind"), [
    ("fp16", "cpu", TensorProto.FLOAT16), ("bf16", "tensorrt", TensorProto.BFLOAT16),
])  # fmt: skip
def test_all_weights_are_stored_in_sixteen_bits(
    precision: str, target: str, kind: int, tmp_path: Path
) -> None:
    made = convert(stored(residual(), tmp_path / "a.onnx"), precision, target, tmp_path / "h.onnx")
    graph = onnx.load(made.path).graph
    assert {t.data_type for t in graph.initializer} == {kind}
    casts = [n for n in graph.node if n.op_type == "Cast"]
    assert len(casts) == 2
    norms = sum(n.op_type == "BatchNormalization" for n in graph.node)
    assert norms == (0 if precision == "bf16" else 5)


def test_what_rounding_lost_is_counted(tmp_path: Path) -> None:
    model = fire()
    weight = numpy_helper.to_array(model.graph.initializer[0]).copy()
    weight[1:] *= np.float32(1e-6)  # one channel stays, so that little of the whole is lost
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "squeeze_w"))
    made = convert(stored(model, tmp_path / "a.onnx"), "fp16", "cpu", tmp_path / "h.onnx")
    small = np.abs(numpy_helper.to_array(model.graph.initializer[0]))
    facts = made.recipe
    assert facts["constants_subnormal"] >= np.count_nonzero((small > 0) & (small < 2.0**-14))
    assert 0 < facts["constants_flushed_to_zero"] < facts["constants_subnormal"]
    assert facts["constants_converted"] == sum(
        numpy_helper.to_array(t).size for t in model.graph.initializer
    )


def test_a_weight_too_large_for_float16_keeps_its_layer_and_what_reads_it(tmp_path: Path) -> None:
    source = stored(scaled(fire(), "three_w", 1e6), tmp_path / "a.onnx")
    made = convert(source, "fp16", "cpu", tmp_path / "h.onnx")
    assert made.recipe["constants_overflowed"] == 0
    assert "three/Conv" in made.recipe["kept"]
    assert made.recipe["kept_by_value"]["three/Conv"].startswith("three_w reaches ")
    assert "squeeze/Conv" not in made.recipe["kept"]
    x = images()
    assert cosine(run(source.path, x), run(made.path, x)) > 0.9999


def test_a_weight_that_float16_mostly_rounds_off_keeps_its_layer(tmp_path: Path) -> None:
    source = stored(scaled(fire(), "squeeze_w", 1e-6), tmp_path / "a.onnx")
    made = convert(source, "fp16", "cpu", tmp_path / "h.onnx")
    assert set(made.recipe["kept_by_value"]) == {"squeeze/Conv"}
    assert made.recipe["kept_by_value"]["squeeze/Conv"].startswith("squeeze_w would be off by ")


def test_strict_refuses_what_would_be_kept_by_itself(tmp_path: Path) -> None:
    source = stored(scaled(fire(), "three_w", 1e6), tmp_path / "a.onnx")
    with pytest.raises(
        DriftFailed, match=r"float16 can't hold .*three/Conv \(three_w reaches"
    ) as error:
        convert(source, "fp16", "cpu", tmp_path / "h.onnx", keep=KeepRules(strict=True))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "h.onnx").exists()
    strict = KeepRules(strict=True)
    assert convert(
        stored(fire(), tmp_path / "b.onnx"), "fp16", "cpu", tmp_path / "i.onnx", keep=strict
    )


def test_activations_that_overflow_keep_their_nodes(tmp_path: Path) -> None:
    net = Net()
    x = net.node("Mul", [net.conv("x", "c", 8, 8), net.weight("s", np.float32(6e4))], "far")
    x = net.conv(net.node("Tanh", [net.relu(x, "r")], "t"), "d", 8, 8)
    net.head(x, 8)
    source = stored(net.build(), tmp_path / "a.onnx")
    made = convert(source, "fp16", "cpu", tmp_path / "h.onnx")
    kept = made.recipe["kept_by_value"]
    assert set(kept) == {"far/Mul", "r/Relu", "t/Tanh"}
    assert kept["far/Mul"].startswith("far reaches ")
    x = images()
    assert cosine(run(source.path, x), run(made.path, x)) > 0.9999
    with pytest.raises(DriftFailed, match=r"float16 can't hold .*far/Mul \(far reaches"):
        convert(source, "fp16", "cpu", tmp_path / "i.onnx", keep=KeepRules(strict=True))


def test_a_clip_without_an_upper_bound_may_round_it_to_infinity(tmp_path: Path) -> None:
    net = Net()
    low, high = (net.weight(n, np.asarray(v, np.float32)) for n, v in (("low", 0), ("high", 3e38)))
    net.head(net.node("Clip", [net.conv("x", "c", 8, 8), low, high], "k"), 8)
    source = stored(net.build(), tmp_path / "a.onnx")
    made = convert(source, "fp16", "cpu", tmp_path / "h.onnx")
    assert made.recipe["constants_overflowed"] == 0  # nothing is lost by it, and nothing said of it
    x = images()
    assert cosine(run(source.path, x), run(made.path, x)) > 0.9999


def test_inputs_that_onnx_fixes_to_float32_stay_so(tmp_path: Path) -> None:
    net = Net()
    c = net.conv("x", "c", 8, 8)
    scales = net.weight("scales", np.asarray([1, 1, 2, 2], np.float32))
    net.head(net.node("Resize", [c, "", scales], "big", mode="nearest"), 8)
    made = convert(stored(net.build(), tmp_path / "a.onnx"), "fp16", "cpu", tmp_path / "h.onnx")
    kinds = {t.name: t.data_type for t in onnx.load(made.path).graph.initializer}
    assert kinds["scales"] == TensorProto.FLOAT
    assert run(made.path, images()).shape == (8, 10)


def test_nodes_that_make_constants_change_type_with_their_readers(tmp_path: Path) -> None:
    net = Net()
    shape = net.weight("shape", np.asarray([1, 8, 1, 1], np.int64))
    filled = net.node("ConstantOfShape", [shape], "filled",
                      value=numpy_helper.from_array(np.asarray([0.25], np.float32)))  # fmt: skip
    whole = net.node("Cast", ["x"], "whole", to=TensorProto.INT32)
    back = net.node("Cast", [whole], "back", to=TensorProto.FLOAT)
    net.head(net.node("Add", [net.conv(back, "c", 8, 8), filled], "s"), 8)
    source = stored(net.build(), tmp_path / "a.onnx")
    made = convert(source, "fp16", "cpu", tmp_path / "h.onnx")
    x = images()
    assert cosine(run(source.path, x), run(made.path, x)) > 0.9999


def test_an_operator_without_a_half_form_stays_between_casts(tmp_path: Path) -> None:
    net = Net()
    c = net.conv("x", "c", 8, 8)
    scale = net.weight("one", np.asarray(0.05, np.float32))
    zero = net.weight("zero", np.asarray(128, np.uint8))
    net.node("DynamicQuantizeLinear", [c], "ignored")
    net.nodes[-1].output.extend(["s", "z"])
    back = net.node("DequantizeLinear", ["ignored", "s", "z"], "back")
    del scale, zero
    net.weights = [w for w in net.weights if w.name not in ("one", "zero")]
    net.head(back, 8)
    model = net.build()
    from deploykit.graph.precision.half import to_half

    before = onnx.ModelProto()
    before.CopyFrom(model)
    facts = to_half(model, TensorProto.FLOAT16, KeepRules())
    assert (
        "DynamicQuantizeLinear has no float16 form"
        in facts["float32_because"]["ignored/DynamicQuantizeLinear"]
    )
    onnx.checker.check_model(model, full_check=True)
    x = images()
    assert cosine(run(before, x), run(model, x)) > 0.999


def test_an_output_that_other_nodes_read_keeps_its_name_and_type(tmp_path: Path) -> None:
    net = Net()
    net.head(net.conv("x", "c", 8, 8), 8)
    model = net.build()
    model.graph.output.append(
        helper.make_tensor_value_info("c", TensorProto.FLOAT, ("batch", 8, 12, 12))
    )
    source = stored(model, tmp_path / "a.onnx")
    for precision in ("fp16", "int8"):
        made = convert(source, precision, "cpu", tmp_path / "h.onnx", calibration())
        assert [s.name for s in made.outputs] == ["y", "c"]
        assert {s.dtype for s in made.outputs} == {"float32"}
        assert run(made.path, images()).shape == (8, 10)


def test_bodies_are_written_in_half_precision_too(tmp_path: Path) -> None:
    # the body reads a tensor and a weight of the graph around it, and has a weight of its own
    rng = np.random.default_rng(5)
    inner = numpy_helper.from_array(rng.normal(0, 0.3, (8, 8)).astype(np.float32), "inner_w")
    branches = [
        helper.make_graph(
            [
                helper.make_node("MatMul", ["f", "outer_w"], [f"a{place}"], name=f"outer{place}"),
                helper.make_node(
                    "MatMul", [f"a{place}", "inner_w"], [f"b{place}"], name=f"inner{place}"
                ),
                helper.make_node(function, [f"b{place}"], [f"out{place}"], name=f"last{place}"),
            ],
            f"branch{place}",
            [],
            [helper.make_tensor_value_info(f"out{place}", TensorProto.FLOAT, None)],
            [inner],
        )
        for place, function in enumerate(("Relu", "Tanh"))
    ]
    net = Net()
    net.weight("outer_w", rng.normal(0, 0.3, (8, 8)).astype(np.float32))
    net.node("GlobalAveragePool", [net.conv("x", "c", 8, 8)], "g")
    net.node("Flatten", ["g"], "f")
    net.node("ReduceMean", ["x"], "mean", keepdims=0)
    net.node("Greater", ["mean", net.weight("zero", np.float32(0))], "flag")
    net.node("If", ["flag"], "y", then_branch=branches[0], else_branch=branches[1])
    source = stored(net.build(output=("batch", 8)), tmp_path / "a.onnx")
    made = convert(source, "fp16", "cpu", tmp_path / "h.onnx")
    graph = onnx.load(made.path).graph
    kinds = {t.name: t.data_type for t in graph.initializer}
    assert kinds["outer_w_float16"] == TensorProto.FLOAT16
    assert "outer_w" not in kinds
    bodies = [a.g for node in graph.node if node.op_type == "If" for a in node.attribute]
    assert [[t.data_type for t in body.initializer] for body in bodies] == [
        [TensorProto.FLOAT16]
    ] * 2
    x = images()
    for sign in (1, -1):
        shifted = x + np.float32(5 * sign)
        expected, found = run(source.path, shifted), run(made.path, shifted)
        np.testing.assert_allclose(found, expected, atol=5e-3)
        assert np.abs(found - expected).max() > 0  # the body did compute on rounded weights


def chain(*nodes: onnx.NodeProto, **stored_values: object) -> onnx.ModelProto:
    """A graph of these nodes from "x", images of 8 channels, to "y"."""
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("x", "y")]
    ports[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 8, 12, 12]))
    tensors = [
        numpy_helper.from_array(np.asarray(v, np.float32), k) for k, v in stored_values.items()
    ]
    graph = helper.make_graph(list(nodes), "g", ports[:1], ports[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def node(op_type: str, inputs: str, output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(op_type, inputs.split(), [output], name=op_type, **attributes)


@pytest.mark.parametrize(
    ("model", "kept"),
    [
        # a logarithm of what may be 0
        (chain(node("Relu", "x", "r"), node("Add", "r eps", "a"), node("Log", "a", "y"), eps=1e-10),
         {"Add", "Log"}),
        # x / (norm + 1e-12), of a vector of zeros too; norms add up squares
        (chain(node("Relu", "x", "r"), node("ReduceL2", "r", "n", axes=[1]), node("Add", "n eps", "a"),
               node("Div", "r a", "y"), eps=1e-12), {"Add", "Div"}),
        (chain(node("Relu", "x", "r"), node("ReduceL2", "r", "n", axes=[1]), node("Clip", "n eps", "a"),
               node("Expand", "a shape", "e"), node("Div", "r e", "y"), eps=1e-12), None),
        # masks, with what they are added to bounded behind them
        (chain(node("Add", "x mask", "m"), node("Softmax", "m", "s", axis=-1), node("Mul", "s two", "y"),
               mask=[[0] * 6 + [-1e9] * 6], two=2), {"Add", "Softmax"}),
        (chain(node("Add", "x mask", "m"), node("Softmax", "m", "y", axis=-1),
               mask=[[-3.4e38] * 12] * 12), {"Add", "Softmax"}),
        (chain(node("Add", "x mask", "m"), node("Softmax", "m", "y", axis=-1),
               mask=[[0] * 6 + [-np.inf] * 6]), set()),
        (chain(node("Add", "x mask", "m"), node("Softmax", "m", "y", axis=-1),
               mask=[[0] * 6 + [-1e4] * 6]), set()),
        # a tiny factor
        (chain(node("Mul", "x tiny", "m"), node("Div", "m tiny", "y"), tiny=1e-9), {"Mul", "Div"}),
        # a large divisor makes nothing large
        (chain(node("Div", "x large", "m"), node("Relu", "m", "y"), large=1e5), {"Div"}),
        # bounds that are never met, and comparisons
        (chain(node("Clip", "x low high", "y"), low=-3.4e38, high=3.4e38), set()),
        (chain(node("Pad", "x pads low", "p"), node("MaxPool", "p", "y", kernel_shape=[3, 3]), low=-3.4e38),
         None),
    ],
)  # fmt: skip
def test_what_float16_cant_hold_stays_with_its_readers_in_float32(
    model: onnx.ModelProto, kept: set[str] | None, tmp_path: Path
) -> None:
    for name, values in (("shape", [1, 8, 1, 1]), ("pads", [0, 0, 1, 1, 0, 0, 1, 1])):
        if any(name in n.input for n in model.graph.node):
            model.graph.initializer.append(
                numpy_helper.from_array(np.asarray(values, np.int64), name)
            )
    source = stored(model, tmp_path / "a.onnx")
    made = convert(source, "fp16", "cpu", tmp_path / "h.onnx")
    if kept is not None:
        assert set(made.recipe.get("kept_by_value", {})) == kept
    x = images(2)
    x[0, :, 0, 0] = -1
    expected, found = run(source.path, x), run(made.path, x)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max())


#: What a mask is filled with.
FAR = numpy_helper.from_array(np.full(1, -1e9, np.float32))


def with_number(
    model: onnx.ModelProto, name: str, value: np.generic | np.ndarray
) -> onnx.ModelProto:
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return model


@pytest.mark.parametrize(
    ("model", "kept"),
    [
        # numbers that are stored in another type: a mask's factor as an integer, an epsilon as float64
        (with_number(chain(node("Relu", "x", "r"), node("Cast", "big", "b", to=1), node("Mul", "r b", "m"),
                           node("Softmax", "m", "y", axis=-1)), "big", np.int64(1_000_000)),
         {"Cast", "Mul", "Softmax"}),
        (with_number(chain(node("Relu", "x", "r"), node("Cast", "eps", "e", to=1), node("Add", "r e", "a"),
                           node("Log", "a", "y")), "eps", np.float64(1e-12)), {"Cast", "Add", "Log"}),
        (with_number(chain(node("Relu", "x", "r"), node("CastLike", "eps x", "e"), node("Add", "r e", "a"),
                           node("Log", "a", "y")), "eps", np.float64(1e-12)), {"CastLike", "Add", "Log"}),
        (with_number(chain(node("Cast", "three", "b", to=1), node("Mul", "x b", "y")), "three", np.int64(3)),
         set()),
        # a second tensor that is filled, with more than the first
        (with_number(chain(helper.make_node("ConstantOfShape", ["size"], ["z"], name="zeros"),
                           helper.make_node("ConstantOfShape", ["size"], ["m"], name="mask", value=FAR),
                           helper.make_node("Add", ["x", "z"], ["a"], name="first"),
                           helper.make_node("Add", ["a", "m"], ["b"], name="second"),
                           node("Softmax", "b", "y", axis=-1)), "size", np.asarray([12], np.int64)),
         {"mask", "second", "Softmax"}),
    ],
)  # fmt: skip
def test_numbers_that_nodes_make_of_others_are_looked_at(
    model: onnx.ModelProto, kept: set[str], tmp_path: Path
) -> None:
    expected, found = outputs_keeping(kept, model, tmp_path)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max())


def test_a_bound_that_is_an_attribute_is_looked_at(tmp_path: Path) -> None:
    model = chain(node("Clip", "x", "c", min=1e-12), node("Log", "c", "y"))
    model.opset_import[0].version = 10
    made = convert(stored(model, tmp_path / "a.onnx"), "fp16", "cpu", tmp_path / "h.onnx")
    assert made.recipe["kept_by_value"] == {
        "Clip": "its min is 1e-12", "Log": "what Clip makes is too small"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("model", "kept"),
    [
        (chain(node("Mul", "x k", "m"), node("Softmax", "m", "p", axis=-1), node("Log", "p", "y"), k=5),
         {"Softmax", "Log"}),
        (chain(node("Mul", "x k", "m"), node("Sigmoid", "m", "p"), node("Sub", "one p", "q"),
               node("Log", "q", "y"), k=3, one=1), {"Sigmoid", "Sub", "Log"}),
        # what is added to 1 comes near no 0, and the sum that a product makes is no probability
        (chain(node("Exp", "x", "e"), node("Add", "e one", "a"), node("Log", "a", "y"), one=1), set()),
        (chain(node("Relu", "x", "r"), node("Add", "r one", "a"), node("Log", "a", "y"), one=1), set()),
        # a sum of probabilities, of which the largest may be as small, and one that is kept off 0 and 1 by 1e-6
        (chain(node("Sub", "x far", "s"), node("Exp", "s", "e"),
               node("ReduceMean", "e", "a", axes=[1], keepdims=1), node("Log", "a", "y"), far=9),
         {"Exp", "ReduceMean", "Log"}),
        (chain(node("Mul", "x k", "m"), node("Sigmoid", "m", "p"), node("Clip", "p least most", "c"),
               node("Sub", "one c", "q"), node("Log", "q", "y"), k=3, one=1, least=1e-6, most=1 - 1e-6),
         {"Sigmoid", "Clip", "Sub", "Log"}),
    ],
)  # fmt: skip
def test_the_logarithm_of_a_probability_is_not_taken_of_a_rounded_one(
    model: onnx.ModelProto, kept: set[str], tmp_path: Path
) -> None:
    source = stored(model, tmp_path / "a.onnx")
    # That happens in any network of this form: nothing for --strict to refuse.
    made = convert(source, "fp16", "cpu", tmp_path / "h.onnx", keep=KeepRules(strict=True))
    assert set(made.recipe.get("float32_because", {})) == kept
    x = images(2)
    np.testing.assert_allclose(run(made.path, x), run(source.path, x), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(
    ("model", "kept"),
    [
        (chain(node("Mul", "x k", "m"), node("Softmax", "m", "p", axis=-1), node("Log", "p", "y"), k=5),
         set()),
        (chain(node("Mul", "x k", "m"), node("Sigmoid", "m", "p"), node("Sub", "one p", "q"),
               node("Log", "q", "y"), k=3, one=1), {"Sigmoid", "Sub", "Log"}),
    ],
)  # fmt: skip
def test_bfloat16_has_room_for_a_probability_near_0_but_no_digits_for_one_near_1(
    model: onnx.ModelProto, kept: set[str], tmp_path: Path
) -> None:
    source = stored(model, tmp_path / "a.onnx")
    made = convert(source, "bf16", "tensorrt", tmp_path / "b.onnx")
    assert set(made.recipe.get("float32_because", {})) == kept


@pytest.mark.parametrize("guard", ["Add", "Max", "Clip"])
def test_an_epsilon_does_not_make_up_for_a_probability_that_became_0(
    guard: str, tmp_path: Path
) -> None:
    model = chain(
        node("Mul", "x k", "m"), node("Softmax", "m", "p", axis=-1), node(guard, "p eps", "g"),
        node("Log", "g", "y"), k=5, eps=1e-12,
    )  # fmt: skip
    source = stored(model, tmp_path / "a.onnx")
    made = convert(source, "fp16", "cpu", tmp_path / "h.onnx")
    assert set(made.recipe["float32_because"]) == {"Softmax", guard, "Log"}
    x = images(2)
    np.testing.assert_allclose(run(made.path, x), run(source.path, x), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(
    ("model", "kept"),
    [
        # what is scaled down and up again, and a factor that is stored as its logarithm
        (chain(node("Mul", "x down", "m"), node("Relu", "m", "r"), node("Div", "r down", "y"), down=1e-6),
         {"Mul", "Relu", "Div"}),
        (chain(node("Exp", "power", "e"), node("Mul", "x e", "m"), node("Div", "m e", "y"), power=-16),
         {"Exp", "Mul", "Div"}),
        # a factor of few bits, and a divisor that becomes 0 in one channel
        (chain(node("Mul", "x parts", "m"), node("Div", "m few", "y"), parts=[[[0]]] + [[[1]]] * 7,
               few=[[[1e-9]]] + [[[1]]] * 7), {"Div"}),
        (chain(node("Mul", "x many", "m"), helper.make_node("Mul", ["m", "few"], ["y"]), many=1e3, few=1e-6),
         {"y"}),
        # added to something larger nothing is lost
        (chain(node("Mul", "x down", "m"), node("Add", "x m", "y"), down=2.0**-20), set()),
        # nor by a factor of few bits, or of what is moved before: LayerScale as it begins
        (chain(node("Mul", "x few", "m"), node("Transpose", "m", "t", perm=[0, 1, 3, 2]),
               node("Add", "x t", "y"), few=1e-6), set()),
        (chain(node("Mul", "x many", "l"), helper.make_node("Mul", ["l", "few"], ["m"]),
               node("Add", "x m", "y"), many=100, few=1e-6), set()),
        # which matters where more than a sum reads it
        (chain(node("Mul", "x many", "l"), helper.make_node("Mul", ["l", "few"], ["m"]),
               helper.make_node("Mul", ["m", "one"], ["o"]), node("Add", "m o", "y"), many=1e3, few=1e-6,
               one=1), {"m"}),
    ],
)  # fmt: skip
def test_what_is_next_to_nothing_for_float16_stays_in_float32(
    model: onnx.ModelProto, kept: set[str], tmp_path: Path
) -> None:
    expected, found = outputs_keeping(kept, model, tmp_path)
    np.testing.assert_allclose(found, expected, rtol=5e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("model", "size"),
    [
        # a variance as E[x^2] - E[x]^2, a magnitude of two parts, and a mean of squares that is a pool
        (chain(node("Add", "x far", "a"), node("Mul", "a a", "q"),
               helper.make_node("ReduceMean", ["q"], ["mq"], axes=[2, 3]),
               node("ReduceMean", "a", "m", axes=[2, 3]), helper.make_node("Mul", ["m", "m"], ["mm"]),
               node("Sub", "mq mm", "y"), far=30), 1),
        (chain(node("Pow", "x two", "q"), node("Sub", "x one", "s"),
               helper.make_node("Mul", ["s", "s"], ["r"]), node("Add", "q r", "a"), node("Sqrt", "a", "y"),
               two=2, one=1e-3), 1e-3),
        (chain(node("Mul", "x x", "q"), node("GlobalAveragePool", "q", "m"), node("Sqrt", "m", "y")), 2e-4),
    ],
)  # fmt: skip
def test_squares_that_are_added_up_in_any_form_stay_in_float32(
    model: onnx.ModelProto, size: float, tmp_path: Path
) -> None:
    source = stored(model, tmp_path / "a.onnx")
    made = convert(source, "fp16", "cpu", tmp_path / "h.onnx", keep=KeepRules(strict=True))
    rounded = onnx.load(made.path)
    with_rounding(rounded)
    onnx.save(rounded, tmp_path / "rounded.onnx")
    x = images(2) * np.float32(size)
    np.testing.assert_allclose(run(tmp_path / "rounded.onnx", x), run(source.path, x), rtol=2e-2)


def test_the_mean_of_a_variance_takes_nothing_else_that_reads_it_into_float32(
    tmp_path: Path,
) -> None:
    def unnamed(op_type: str, inputs: str, output: str, **attributes: object) -> onnx.NodeProto:
        return helper.make_node(op_type, inputs.split(), [output], **attributes)

    over = {"axes": [1], "keepdims": 1}
    nodes = [
        unnamed("Mul", "x x", "q"),
        unnamed("ReduceMean", "q", "mq", **over),
        unnamed("ReduceMean", "x", "m", **over),
        unnamed("Mul", "m m", "mm"),
        unnamed("Sub", "mq mm", "v"),
        unnamed("Sub", "x m", "centred"),
        unnamed("Add", "v eps", "e"),
        unnamed("Sqrt", "e", "s"),
        unnamed("Div", "centred s", "y"),
    ]
    source = stored(chain(*nodes, eps=1e-3), tmp_path / "a.onnx")
    made = convert(source, "fp16", "cpu", tmp_path / "h.onnx")
    assert set(made.recipe["float32_because"]) == {"q", "mq", "m", "mm", "v", "e", "s", "y"}


@pytest.mark.parametrize(("largest", "kept"), [(32768, set()), (65535, {"Mul"}), (1e6, {"Mul"})])
def test_inputs_beyond_float16_are_read_in_float32(
    largest: float, kept: set[str], tmp_path: Path
) -> None:
    model = chain(node("Mul", "x small", "m"), node("Relu", "m", "y"), small=1e-4)
    x = images(4)
    x *= np.float32(largest) / np.abs(x).max()
    x = np.clip(x, -largest, largest).astype(np.float32)
    source = stored(model, tmp_path / "a.onnx")
    seen = Calibration(batches=lambda: iter([x]), count=4)
    made = convert(source, "fp16", "cpu", tmp_path / "h.onnx", seen)
    assert set(made.recipe.get("kept_by_value", {})) == kept
    np.testing.assert_allclose(run(made.path, x), run(source.path, x), rtol=1e-2)


@pytest.mark.parametrize(("largest", "kept"), [(32768, False), (65535, True)])
def test_a_body_reads_inputs_of_sixteen_bits_as_the_main_graph_does(
    largest: float, kept: bool, tmp_path: Path
) -> None:
    info = helper.make_tensor_value_info
    then, other = (
        helper.make_graph([inner], name, [], [info(inner.output[0], TensorProto.FLOAT, None)])
        for name, inner in (
            ("then", helper.make_node("Mul", ["x", "small"], ["m"], name="inside")),
            ("other", helper.make_node("Relu", ["x"], ["o"], name="beside")),
        )
    )
    model = chain(
        helper.make_node("ReduceMean", ["x"], ["mean"], keepdims=0),
        helper.make_node("Less", ["mean", "limit"], ["flag"]),
        helper.make_node("If", ["flag"], ["y"], then_branch=then, else_branch=other),
        small=1e-4, limit=6e4,
    )  # fmt: skip
    x = images(4)
    x *= np.float32(largest) / np.abs(x).max()
    x = np.clip(x, -largest, largest).astype(np.float32)
    seen = Calibration(batches=lambda: iter([x]), count=4)
    source = stored(model, tmp_path / "a.onnx")
    made = convert(source, "fp16", "cpu", tmp_path / "h.onnx", seen)
    assert ("inside" in made.recipe.get("kept_by_value", {})) is kept


def there_and_back(kind: str, opset: int = 17) -> onnx.ModelProto:
    """Values that are made large and small again in the body of an If or Loop, or large before and small in it."""
    info = helper.make_tensor_value_info
    up = helper.make_node("Mul", ["v" if kind == "Loop" else "x", "far"], ["large"], name="up")
    down = helper.make_node("Mul", ["large", "near"], ["small"], name="down")
    other = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["o"])], "o", [], [info("o", TensorProto.FLOAT, None)]
    )
    stored_values = {"far": 6e4, "near": 1 / 6e4, "limit": 100}
    if kind == "Loop":
        body = helper.make_graph(
            [up, down, helper.make_node("Identity", ["go"], ["on"])], "body",
            [info("i", TensorProto.INT64, []), info("go", TensorProto.BOOL, []),
             info("v", TensorProto.FLOAT, None)],
            [info("on", TensorProto.BOOL, []), info("small", TensorProto.FLOAT, None)],
        )  # fmt: skip
        loop = helper.make_node("Loop", ["steps", "", "x"], ["y"], body=body)
        model = with_number(chain(loop, **stored_values), "steps", np.int64(2))
    else:
        inside = [down] if kind == "captured" else [up, down]
        then = helper.make_graph(inside, "then", [], [info("small", TensorProto.FLOAT, None)])
        nodes = [
            helper.make_node("ReduceMean", ["x"], ["mean"], keepdims=0),
            helper.make_node("Less", ["mean", "limit"], ["flag"]),
            helper.make_node("If", ["flag"], ["y"], then_branch=then, else_branch=other),
        ]
        model = chain(*([up] if kind == "captured" else []), *nodes, **stored_values)
    model.opset_import[0].version = opset
    return model


@pytest.mark.parametrize(
    ("kind", "opset"), [("If", 17), ("If", 11), ("Loop", 17), ("captured", 17)]
)
def test_activations_of_bodies_that_overflow_keep_their_nodes(
    kind: str, opset: int, tmp_path: Path
) -> None:
    source = stored(there_and_back(kind, opset), tmp_path / "a.onnx")
    made = convert(source, "fp16", "cpu", tmp_path / "h.onnx")
    assert set(made.recipe.get("kept_by_value", {})) == {"up", "down"}
    x = images(2)
    np.testing.assert_allclose(run(made.path, x), run(source.path, x), rtol=1e-2, atol=1e-3)


def test_a_loop_that_may_not_end_is_not_run_on_what_is_made_up(tmp_path: Path) -> None:
    model = there_and_back("Loop")
    steps = next(t for t in model.graph.initializer if t.name == "steps")
    steps.CopyFrom(numpy_helper.from_array(np.asarray(2**62), "steps"))
    source = stored(model, tmp_path / "a.onnx")
    made = convert(source, "fp16", "cpu", tmp_path / "h.onnx")
    assert "kept_by_value" not in made.recipe


@pytest.mark.parametrize("behind_product", [True, False])
def test_a_batchnorm_of_large_variance_is_folded_or_kept(
    behind_product: bool, tmp_path: Path
) -> None:
    net = Net()
    channels = np.ones(8, np.float32)
    source_name = net.conv("x", "c", 8, 8) if behind_product else "x"
    values = {
        "gamma": 300 * channels,
        "beta": channels,
        "mean": 0 * channels,
        "variance": 1e6 * channels,
    }
    names = [net.weight(name, value) for name, value in values.items()]
    net.head(net.node("BatchNormalization", [source_name, *names], "n"), 8)
    source = stored(net.build(), tmp_path / "a.onnx")
    made = convert(source, "fp16", "cpu", tmp_path / "h.onnx")
    kinds = [n.op_type for n in onnx.load(made.path).graph.node]
    assert ("BatchNormalization" in kinds) is not behind_product
    assert (made.recipe.get("nodes_folded"), len(made.recipe.get("kept_by_value", {}))) == (
        (1, 0) if behind_product else (None, 1)
    )
    x = images()
    assert cosine(run(source.path, x), run(made.path, x)) > 0.9999


@pytest.mark.parametrize("op_type", ["Resize", "CumSum"])
def test_operators_without_half_kernels_stay_in_float32(op_type: str, tmp_path: Path) -> None:
    inputs = ["x", "", "scales"] if op_type == "Resize" else ["x", "axis"]
    model = chain(helper.make_node(op_type, inputs, ["r"], name=op_type), node("Relu", "r", "y"))
    model.graph.initializer.extend([
        numpy_helper.from_array(np.asarray([1, 1, 2, 2], np.float32), "scales"),
        numpy_helper.from_array(np.asarray(1, np.int64), "axis"),
    ])  # fmt: skip
    made = convert(stored(model, tmp_path / "a.onnx"), "fp16", "cpu", tmp_path / "h.onnx")
    assert op_type in made.recipe["float32_because"]
    assert "kept_by_value" not in made.recipe
    onnx.load(made.path)
    assert np.isfinite(run(made.path, images(2))).all()


def ranging(*behind: onnx.NodeProto, **stored_values: object) -> onnx.ModelProto:
    """Nodes behind "r", the places of the last axis: a Range of floats whose end a size decides."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"], name="Shape"),
        helper.make_node("Gather", ["s", "last"], ["size"], name="Gather"),
        helper.make_node("Cast", ["size"], ["long"], name="Cast", to=TensorProto.FLOAT),
        helper.make_node("Add", ["begin", "long"], ["end"], name="end"),
        helper.make_node("Range", ["begin", "end", "step"], ["r"], name="Range"),
    ]
    return with_number(chain(*nodes, *behind, step=1, **stored_values), "last", np.int64(3))


@pytest.mark.parametrize(
    "model",
    [
        ranging(node("Mul", "r rate", "m"), node("Relu", "x", "p"), helper.make_node("Add", ["p", "m"], ["y"]),
                begin=0, rate=0.3),
        # places beyond 2048 are not told apart in float16, nor are their angles
        ranging(node("Mul", "r rate", "m"), node("Cos", "m", "c"), helper.make_node("Mul", ["x", "c"], ["y"]),
                begin=4001, rate=0.3),
    ],
    ids=["added", "angles"],
)  # fmt: skip
def test_a_range_of_floats_loads_and_is_near(model: onnx.ModelProto, tmp_path: Path) -> None:
    source = stored(model, tmp_path / "a.onnx")
    made = convert(source, "fp16", "cpu", tmp_path / "h.onnx")
    assert "Range" in made.recipe["float32_because"]
    rounded = onnx.load(made.path)
    with_rounding(rounded)
    onnx.save(rounded, tmp_path / "rounded.onnx")
    x = images(2)
    expected = run(source.path, x)
    for path in (made.path, tmp_path / "rounded.onnx"):
        np.testing.assert_allclose(run(path, x), expected, atol=2e-3 * np.abs(expected).max())
