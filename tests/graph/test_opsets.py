"""Each operator computes the same after its opset was raised: it is run before and after, or held against numpy."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from plain_runs import X, run

from deploykit.errors import InvalidModel
from deploykit.graph import equivalence, opsets
from deploykit.graph.opsets import raise_opset


def one(op_type: str, opset: int, inputs: dict[str, Any] | None = None, **attributes: Any) -> Any:
    """A model of one operator on "x"."""
    stored = {name: np.asarray(value) for name, value in (inputs or {}).items()}
    node = helper.make_node(op_type, ["x", *stored], ["y"], name="n", **attributes)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in stored.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)


def f32(*values: float) -> np.ndarray:
    return np.asarray(values, np.float32)


NORM = {name: f32(1, 2, 3, 4) for name in ("scale", "shift", "mean", "variance")}
CASES = [
    *(one("Upsample", 7, mode=mode, scales=[1.0, 1.0, s, s])
      for mode in ("nearest", "linear") for s in (2.0, 3.0, 1.5)),
    *(one("Upsample", 9, {"s": f32(1, 1, s, s)}, mode=mode)
      for mode in ("nearest", "linear") for s in (2.0, 3.0, 1.5)),
    *(one("Resize", 10, {"s": f32(1, 1, s, s)}, mode=mode)
      for mode in ("nearest", "linear") for s in (2.0, 1.5, 0.5)),
    # places between two values, or not those of pixels' middles; along one axis larger and along the other smaller
    *(one("Upsample", 9, {"s": f32(1, 1, s, s)}, mode="nearest") for s in (4 / 3, 1.25)),
    *(one("Resize", 10, {"s": f32(1, 1, *s)}, mode="nearest")
      for s in ((4 / 3, 4 / 3), (1 / 3, 1 / 3), (2 / 3, 2 / 3), (2, 0.5), (1.5, 1 / 3))),
    *(one("Resize", 11, {"r": f32(), "s": f32(1, 1, 2, 2)}, mode="linear", coordinate_transformation_mode=mode)
      for mode in ("half_pixel", "asymmetric", "align_corners")),
    *(one(op_type, opset, **({} if axis is None else {"axis": axis}))
      for op_type in ("Hardmax", "Softmax", "LogSoftmax") for opset in (7, 11) for axis in (None, 1, 2, 3)),
    *(one("BatchNormalization", opset, NORM, epsilon=1e-3) for opset in (7, 9)),
    one("Dropout", 7, ratio=0.3),
    one("Dropout", 10, ratio=0.3),
    one("Clip", 9, min=-0.5),
    one("Pad", 10, pads=[0, 0, 1, 1, 0, 0, 1, 1], value=1.0),
    one("ReduceSum", 11, axes=[1, 2], keepdims=0),
    one("ReduceMean", 11),
    one("Slice", 9, starts=[1, 0], ends=[3, 100], axes=[1, 3]),
    one("AveragePool", 9, kernel_shape=[3, 3], pads=[1] * 4, strides=[2, 2]),
    one("InstanceNormalization", 7, {"s": f32(1, 2, 3, 4), "b": f32(1, 2, 3, 4)}, epsilon=1e-2),
]  # fmt: skip


@pytest.mark.parametrize("least", [13, 22])
@pytest.mark.parametrize("place", range(len(CASES)))
def test_an_operator_computes_the_same_in_a_later_opset(place: int, least: int) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(CASES[place])
    before = run(model)
    assert raise_opset(model, least, "int8")
    np.testing.assert_allclose(run(model), before, atol=1e-5)


def test_group_normalization_keeps_its_values_per_group() -> None:
    model = one(
        "GroupNormalization", 18, {"s": f32(2, 3), "b": f32(4, 5)}, num_groups=2, epsilon=0.1
    )
    groups = X.reshape(2, 2, -1).astype(np.float64)
    mean, variance = groups.mean(2, keepdims=True), groups.var(2, keepdims=True)
    normal = (groups - mean) / np.sqrt(variance + 0.1)
    expected = normal * f32(2, 3).reshape(1, 2, 1) + f32(4, 5).reshape(1, 2, 1)
    assert raise_opset(model, 22, "bf16")
    np.testing.assert_allclose(run(model), expected.reshape(X.shape), atol=1e-5)


@pytest.mark.parametrize("opset", [7, 9, 10])
def test_resizings_between_other_nodes_keep_their_coordinates(opset: int) -> None:
    # the converter renames what is no output of the graph; one of the two is nearest
    sizes = {"scales": [1.0, 1.0, 2.0, 2.0]} if opset < 9 else {}
    more = [] if opset < 9 else ["s"]
    op_type = "Resize" if opset == 10 else "Upsample"
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node(op_type, ["r", *more], ["a"], mode="nearest", **sizes),
        helper.make_node(op_type, ["a", *more], ["b"], mode="linear", **sizes),
        helper.make_node("Sigmoid", ["b"], ["y"]),
    ]
    model = one("Relu", opset, {"s": f32(1, 1, 2, 2)} if more else {})
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    before = run(model)
    raise_opset(model, 13, "int8")
    np.testing.assert_allclose(run(model), before, atol=1e-5)


def test_a_hardmax_keeps_its_name_and_its_neighbours() -> None:
    model = one("Hardmax", 11, axis=2)
    raise_opset(model, 13, "int8")
    assert [n.name for n in model.graph.node if n.op_type == "Hardmax"] == ["n"]
    assert [value.name for value in model.graph.output] == ["y"]


# ---- bodies


def in_both_branches(
    op_type: str, opset: int, inputs: dict[str, Any] | None = None, **attributes: Any
) -> Any:
    """An If that runs one operator on what a Softmax makes, which opset 13 has in another form."""
    stored = {name: np.asarray(value) for name, value in (inputs or {}).items()}
    bodies = [
        helper.make_graph(
            [helper.make_node(op_type, ["soft", *stored], [name], name=name, **attributes)],
            name,
            [],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)],
        )
        for name in ("then", "else")
    ]
    model = one("Relu", opset, inputs)
    del model.graph.node[:]
    model.graph.node.extend(
        [
            helper.make_node("Softmax", ["x"], ["soft"], name="soft", axis=1),
            helper.make_node("ReduceMax", ["x"], ["most"], name="most", keepdims=0),
            helper.make_node("Cast", ["most"], ["is_any"], name="is_any", to=TensorProto.BOOL),
            helper.make_node(
                "If", ["is_any"], ["y"], name="if", then_branch=bodies[0], else_branch=bodies[1]
            ),
        ]
    )
    return model


BODIES = [
    in_both_branches("Upsample", 7, mode="linear", scales=[1.0, 1.0, 2.0, 2.0]),
    in_both_branches("Upsample", 9, {"s": f32(1, 1, 2, 2)}, mode="linear"),
    in_both_branches("Resize", 10, {"s": f32(1, 1, 2, 2)}, mode="linear"),
    in_both_branches("Hardmax", 11, axis=1),
    in_both_branches("ReduceSum", 11, axes=[1]),
    in_both_branches("BatchNormalization", 9, NORM),
]


@pytest.mark.parametrize("least", [13, 22])
@pytest.mark.parametrize("place", range(len(BODIES)))
def test_an_operator_in_a_body_computes_the_same_in_a_later_opset(place: int, least: int) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(BODIES[place])
    before = run(model)
    assert raise_opset(model, least, "int8")["opset_compared"] == "the same in ONNX Runtime"
    np.testing.assert_allclose(run(model), before, atol=1e-5)


# ---- before opset 7, which ONNX Runtime has few operators of

COLUMN = f32(0.1, 0.2, 0.3, 0.4).reshape(4, 1, 1)
PER_ELEMENT = {
    name: np.random.default_rng(place).uniform(0.5, 1.5, (4, 6, 6)).astype(np.float32)
    for place, name in enumerate(("scale", "shift", "mean", "variance"))
}
OLD: list[tuple[Any, Any]] = [
    (one("Gemm", 6, {"w": np.ones((36, 3), np.float32), "b": f32(1, 2, 3)}, broadcast=1, alpha=0.5, beta=2.0),
     lambda x: 0.5 * x.reshape(8, 36) @ np.ones((36, 3), np.float32) + 2 * f32(1, 2, 3)),
    (one("Add", 6, {"w": COLUMN.ravel()}, axis=1, broadcast=1), lambda x: x + COLUMN),
    (one("Pow", 1, {"w": f32(2)}, broadcast=1), lambda x: x**2),
    (one("PRelu", 6, {"w": COLUMN.ravel()}), lambda x: np.where(x > 0, x, COLUMN * x)),
    (one("Greater", 1, {"w": COLUMN.ravel()}, axis=1, broadcast=1), lambda x: x > COLUMN),
    (one("Less", 6, {"w": np.float32(0.5)}, broadcast=1), lambda x: x < 0.5),
    (one("Cast", 1, to="INT32"), lambda x: x.astype(np.int32)),
    (one("Pad", 1, paddings=[0, 0, 1, 1, 0, 0, 1, 1], value=2.0),
     lambda x: np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=2)),
    (one("Upsample", 1, mode="nearest", height_scale=2.0, width_scale=2.0),
     lambda x: x.repeat(2, axis=2).repeat(2, axis=3)),
    (one("Clip", 1, min=-0.5, max=0.7), lambda x: x.clip(-0.5, 0.7)),
    (one("Dropout", 1, is_test=1, ratio=0.3), lambda x: x),
    (one("Concat", 1, {"w": X}), lambda x: np.concatenate([x, X], axis=1)),
    (one("Reshape", 1, shape=[2, -1]), lambda x: x.reshape(2, -1)),
    (one("LpPool", 1, kernel_shape=[6, 6], p=2.0),
     lambda x: np.sqrt(np.square(x).sum((2, 3), keepdims=True))),
    *((one("BatchNormalization", opset, PER_ELEMENT, spatial=0, epsilon=0.01, **old),
       lambda x: (x - PER_ELEMENT["mean"]) / np.sqrt(PER_ELEMENT["variance"] + 0.01)
       * PER_ELEMENT["scale"] + PER_ELEMENT["shift"])
      for opset, old in ((1, {"is_test": 1, "consumed_inputs": [0, 0, 0, 1, 1]}), (6, {"is_test": 1}), (7, {}))),
]  # fmt: skip


@pytest.mark.parametrize("least", [13, 22])
@pytest.mark.parametrize("place", range(len(OLD)))
def test_an_operator_of_an_old_opset_computes_what_it_says(place: int, least: int) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(OLD[place][0])
    if model.graph.node[0].op_type == "Gemm":  # takes matrices
        model.graph.node.insert(0, helper.make_node("Reshape", ["x", "to"], ["m"], name="m"))
        model.graph.initializer.append(numpy_helper.from_array(np.asarray([8, 36]), "to"))
        model.graph.node[1].input[0] = "m"
    kinds = {"Greater": TensorProto.BOOL, "Less": TensorProto.BOOL, "Cast": TensorProto.INT32}
    kind = kinds.get(model.graph.node[-1].op_type, TensorProto.FLOAT)
    model.graph.output[0].type.tensor_type.elem_type = kind
    raise_opset(model, least, "int8")
    np.testing.assert_allclose(run(model), OLD[place][1](X), atol=1e-5)


def test_a_mask_that_nothing_reads_is_taken_away() -> None:
    model = one("Dropout", 7, ratio=0.3)
    model.graph.node[0].output.append("mask")
    raise_opset(model, 13, "int8")
    assert list(model.graph.node[-1].output) == ["y"]
    np.testing.assert_allclose(run(model), X)


# ---- the comparison


def broken(monkeypatch: pytest.MonkeyPatch, op_type: str) -> None:
    """Let the converter turn nodes of a type into others."""
    convert = opsets._converted

    def converted(light: onnx.ModelProto, least: int) -> onnx.ModelProto:
        made = convert(light, least)
        for node in made.graph.node:
            if node.op_type == op_type:
                node.op_type = "Tanh"
        return made

    monkeypatch.setattr(opsets, "_converted", converted)


def three(opset: int, first: str = "Relu") -> onnx.ModelProto:
    model = one("Relu", opset)
    del model.graph.node[:]
    model.graph.node.extend(
        [
            helper.make_node(first, ["x"], ["a"], name="first"),
            helper.make_node("Sigmoid", ["a"], ["b"], name="second"),
            helper.make_node("Exp", ["b"], ["y"], name="third"),
        ]
    )
    return model


@pytest.mark.parametrize("opset", [11, 6])
def test_a_network_that_computes_something_else_is_refused_by_its_operator(
    opset: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch, "Sigmoid")
    with pytest.raises(
        InvalidModel, match="Sigmoid node 'second' computes something else"
    ) as error:
        raise_opset(three(opset), 13, "int8")
    assert "\n" not in str(error.value)


def test_onnxs_reference_compares_what_the_runtime_does_not_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(equivalence, "installed_version", lambda: None)
    said = raise_opset(three(11), 13, "int8")["opset_compared"]
    assert said == "the same in ONNX's reference"
    broken(monkeypatch, "Exp")
    with pytest.raises(InvalidModel, match="Exp node 'third'"):
        raise_opset(three(11), 13, "int8")


def test_a_network_of_random_values_is_not_taken_for_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = three(11, "RandomNormalLike")
    before = [node.op_type for node in model.graph.node]
    raise_opset(model, 13, "int8")
    assert [node.op_type for node in model.graph.node] == before
    assert [value.name for value in model.graph.output] == ["y"]


def test_what_cant_be_run_is_not_called_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equivalence, "installed_version", lambda: None)
    monkeypatch.setattr(equivalence, "_REFERENCE_BYTES", -1)
    assert raise_opset(three(11), 13, "int8")["opset_compared"].startswith("not run: ")


def test_what_the_converter_refuses_is_named() -> None:
    model = one("Tile", 1, {"tiles": f32(2), "axis": f32(1)})
    with pytest.raises(InvalidModel, match="Tile node 'n' can't be raised to 7") as error:
        raise_opset(model, 13, "int8")
    assert not re.search(r"/\S+\.(cc|h)", str(error.value))
