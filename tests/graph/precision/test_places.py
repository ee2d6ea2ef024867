"""Lengths, places and angles need more digits than 16 or 8 bits have: they stay in float32 by themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_graphs import N, data, graph, quantised, random, run, snr_db

from deploykit.graph.calibrate import Calibration
from deploykit.graph.fold import fold_batchnorm
from deploykit.graph.precision import KeepRules, convert, is_reduced
from deploykit.graph.precision.rounding import with_rounding
from deploykit.graph.read_write import open_model

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def of_numbers(nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    """A network from whole numbers, "n" of any number, to "y"."""
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("n", INT64, ["N", 4])],
        [helper.make_tensor_value_info("y", FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    inferred = onnx.shape_inference.infer_shapes(model)
    model.graph.output[0].CopyFrom(inferred.graph.output[0])
    return model


LENGTHS = of_numbers(
    [
        N("Cast", ["n"], ["f"], to=FLOAT),
        N("Sub", ["f", "one"], ["s"]),
        N("Div", ["s", "two"], ["d"]),
        N("Floor", ["d"], ["w"]),
        N("Cast", ["w"], ["steps"], to=INT64),
        N("Less", ["steps", "ends"], ["mask"]),
        N("Cast", ["mask"], ["kept"], to=FLOAT),
        N("MatMul", ["kept", "m"], ["y"]),
    ],
    {
        "one": np.float32(1),
        "two": np.float32(2),
        "ends": np.array([2000, 2017, 80000, 2031]),
        "m": random(4, 3),
    },
)
ANGLES = of_numbers(
    [
        N("Cast", ["n"], ["f"], to=FLOAT),
        N("Unsqueeze", ["f", "last"], ["u"]),
        N("MatMul", ["u", "rates"], ["a"]),
        N("Cos", ["a"], ["c"]),
        N("MatMul", ["c", "m"], ["y"]),
    ],
    {
        "last": np.array([2]),
        "rates": (1 / 100 ** (np.arange(8) / 8)).astype(np.float32)[None],
        "m": random(8, 3),
    },
)
#: Lengths as numbers, with which the places of a sequence are compared.
MASKED = of_numbers(
    [
        N("Cast", ["n"], ["f"], to=FLOAT),
        N("Less", ["places", "f"], ["mask"]),
        N("Cast", ["mask"], ["kept"], to=FLOAT),
        N("MatMul", ["kept", "m"], ["y"]),
    ],
    {"places": np.float32([4000, 4033, 2, 4062]), "m": random(4, 3)},
)


def outputs(model: onnx.ModelProto, numbers: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(["y"], {"n": numbers})[0])


@pytest.mark.parametrize("network", [LENGTHS, ANGLES, MASKED], ids=["lengths", "angles", "masked"])
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_whole_numbers_and_angles_keep_their_digits(
    tmp_path: Path, network: onnx.ModelProto, precision: str
) -> None:
    """A length of 160001 was the least of all integers in fp16; angles of 4000 had an error of a tenth."""
    onnx.save(network, tmp_path / "a.onnx")
    numbers = np.array([[4001, 4033, 160001, 4063]])

    def batches():
        yield {"n": numbers}

    images = Calibration(batches=batches, count=1)
    given = None if precision == "fp16" else images  # whole numbers are made up as 0 and 1 there
    found = convert(open_model(tmp_path / "a.onnx"), precision, "cpu", tmp_path / "b.onnx", given)
    made = onnx.load(found.path)
    if precision == "fp16":
        with_rounding(made)
    assert snr_db(outputs(network, numbers), outputs(made, numbers)) > 30


def test_scales_that_are_computed_of_sizes_keep_their_digits(tmp_path: Path) -> None:
    """513 / 65 was 7.89 in fp16, and the image one line too small for what it is added to."""
    nodes = [
        N("Conv", ["x", "w"], ["c"], name="c"), N("Shape", ["c"], ["shape"]),
        N("Slice", ["shape", "two", "four"], ["sizes"]), N("Cast", ["sizes"], ["f"], name="cast", to=FLOAT),
        N("Div", ["target", "f"], ["s"], name="div"), N("Concat", ["ones", "s"], ["scales"], name="join", axis=0),
        N("Resize", ["c", "", "scales"], ["r"], name="resize"), N("Add", ["r", "prior"], ["y"]),
    ]  # fmt: skip
    weights = {
        "w": random(1, 1, 1, 1), "two": np.array([2]), "four": np.array([4]),
        "target": np.float32([513, 513]), "ones": np.ones(2, np.float32), "prior": random(1, 1, 513, 513),
    }  # fmt: skip
    network = graph(nodes, ["N", 1, 65, 65], weights)
    onnx.save(network, tmp_path / "a.onnx")
    found = convert(
        open_model(tmp_path / "a.onnx"), "fp16", "cpu", tmp_path / "b.onnx",
        keep=KeepRules(strict=True),
    )  # fmt: skip
    assert {"cast", "div", "join", "resize"} <= found.recipe["float32_because"].keys()
    made = onnx.load(found.path)
    with_rounding(made)
    x = data((1, 65, 65), 1)
    assert snr_db(run(network, x), run(made, x)) > 50


def test_the_largest_value_counts_in_fp16_whatever_a_method_would_cut(tmp_path: Path) -> None:
    nodes = [
        N("Conv", ["x", "w"], ["c"]),
        N("Mul", ["c", "c"], ["sq"], "sq"),
        N("Sqrt", ["sq"], ["r"]),
        N("Conv", ["r", "w"], ["y"]),
    ]
    model = graph(nodes, ["N", 3, 32, 32], {"w": random(3, 3, 1, 1)})
    onnx.save(model, tmp_path / "a.onnx")
    images = np.abs(data((3, 32, 32), 64))
    images[5, 0, 0, 0] = 4000.0

    def batches():
        yield images

    calibration = Calibration(batches=batches, count=64, method="percentile")
    source = open_model(tmp_path / "a.onnx")
    made = convert(source, "fp16", "cpu", tmp_path / "b.onnx", calibration)
    assert "sq" in made.recipe["kept_by_value"]


def test_a_gemm_without_an_addend_has_no_use_for_beta() -> None:
    nodes = [
        N("Gemm", ["x", "w"], ["g"], beta=0.0),
        N("Add", ["g", "b"], ["y"]),
    ]
    weights = {"w": np.eye(3, dtype=np.float32), "b": np.array([10, 20, 30], np.float32)}
    model = graph(nodes, ["N", 3], weights)
    x = np.ones((1, 3), np.float32)
    before = run(model, x)
    fold_batchnorm(model)
    np.testing.assert_array_equal(run(model, x), before)


def test_a_gemm_without_an_addend_is_right_in_int8(tmp_path: Path) -> None:
    nodes = [
        N("Conv", ["x", "c"], ["a"]),
        N("Flatten", ["a"], ["f"]),
        N("Gemm", ["f", "w"], ["g"], beta=0.0),
        N("Add", ["g", "b"], ["y"]),
    ]
    weights = {
        "c": random(4, 3, 1, 1),
        "w": random(64, 5),
        "b": np.arange(5, dtype=np.float32) * 10,
    }
    model = graph(nodes, ["N", 3, 4, 4], weights)
    made = quantised(model, tmp_path)
    x = data((3, 4, 4))
    assert snr_db(run(model, x), run(made.path, x)) > 25


def test_weights_that_are_only_stored_in_16_bits_make_no_reduced_network() -> None:
    nodes = [
        N("Cast", ["w"], ["v"], to=FLOAT),
        N("Conv", ["x", "v"], ["y"]),
    ]
    model = graph(nodes, ["N", 3, 8, 8], {"w": random(3, 3, 1, 1).astype(np.float16)})
    assert not is_reduced(model)


@pytest.mark.parametrize("added", [False, True])
def test_weights_that_are_moved_before_they_are_cast_are_computed_with_in_float32(
    added: bool, tmp_path: Path
) -> None:
    nodes = [
        N("Constant", [], ["w"], value=numpy_helper.from_array(random(6, 16).astype(np.float16))),
        N("Identity", ["w"], ["i"]), N("Transpose", ["i"], ["t"], perm=[1, 0]), N("Cast", ["t"], ["v"], to=FLOAT),
        N("MatMul", ["x", "v"], ["m"], name="m"), N("Gather", ["table", "n"], ["g"]),
        N("Cast", ["g"], ["h"], to=FLOAT), N("Add", ["m", "h"], ["y"]),
    ]  # fmt: skip
    if added:  # in 16 bits before it is cast
        nodes[6:7] = [N("Add", ["g", "g"], ["k"]), N("Cast", ["k"], ["h"], to=FLOAT)]
    weights = {"table": random(9, 6).astype(np.float16), "n": np.int64(3)}
    model = graph(nodes, ["N", 16], weights, opset=17)
    assert is_reduced(model) is added
    if not added:
        made = quantised(model, tmp_path)
        assert made.recipe["products_quantised"] == 1
        assert snr_db(run(model, data((16,))), run(made.path, data((16,)))) > 30


@pytest.mark.parametrize(
    ("rules", "operator"),
    [(KeepRules(nodes=("bn",)), "BatchNormalization"), (KeepRules(op_types=("Sum",)), "Sum")],
)
def test_what_a_rule_keeps_is_neither_folded_nor_written_otherwise(
    tmp_path: Path, rules: KeepRules, operator: str
) -> None:
    nodes = [
        N("Conv", ["x", "w"], ["c"]),
        N("BatchNormalization", ["c", "s", "h", "m", "v"], ["n"], "bn"),
        N("Sum", ["n", "x"], ["a"], "sum"),
        N("Conv", ["a", "w"], ["y"]),
    ]
    some = {name: random(3, seed=i) for i, name in enumerate("shm")}
    rest = {"v": np.abs(random(3, seed=5)) + 0.5, "w": random(3, 3, 1, 1)}
    made = quantised(graph(nodes, ["N", 3, 8, 8], some | rest), tmp_path, rules)
    assert operator in [node.op_type for node in onnx.load(made.path).graph.node]


def test_rounding_takes_no_name_that_the_user_has(tmp_path: Path) -> None:
    nodes = [
        N("MatMul", ["x", "w"], ["a"]),
        N("Sigmoid", ["a"], ["a_wide"]),
        N("MatMul", ["a_wide", "w"], ["a_rounded"]),
        N("Tanh", ["a_rounded"], ["b"]),
        N("Add", ["a", "b"], ["y"]),
    ]
    model = graph(nodes, ["N", 4], {"w": random(4, 4)})
    onnx.save(model, tmp_path / "a.onnx")
    made = convert(open_model(tmp_path / "a.onnx"), "fp16", "cpu", tmp_path / "b.onnx")
    rounded = onnx.load(made.path)
    with_rounding(rounded)
    x = data((4,))
    assert snr_db(run(model, x), run(rounded, x)) > 50


@pytest.mark.parametrize("operator", ["HannWindow", "HammingWindow", "BlackmanWindow"])
def test_a_window_is_made_in_half_precision_too(tmp_path: Path, operator: str) -> None:
    nodes = [
        N(operator, ["size"], ["h"]),
        N("Mul", ["x", "h"], ["m"]),
        N("MatMul", ["m", "w"], ["y"]),
    ]
    model = graph(nodes, ["N", 16], {"size": np.array(16), "w": random(16, 3)}, opset=17)
    onnx.save(model, tmp_path / "a.onnx")
    made = convert(open_model(tmp_path / "a.onnx"), "fp16", "cpu", tmp_path / "b.onnx")
    rounded = onnx.load(made.path)
    onnx.checker.check_model(rounded, full_check=True)
    with_rounding(rounded)
    x = data((16,))
    assert snr_db(run(model, x), run(rounded, x)) > 40


def test_layers_before_whole_numbers_are_no_places(tmp_path: Path) -> None:
    """A length that a network predicts ends in whole numbers, too: its layers stay in half precision."""
    nodes = [
        N("Conv", ["x", "w"], ["c"]),
        N("Reshape", ["c", "flat"], ["f"]),
        N("MatMul", ["f", "v"], ["m"]),
        N("Add", ["m", "b"], ["a"]),
        N("Round", ["a"], ["r"]),
        N("Cast", ["r"], ["i"], to=INT64),
        N("Cast", ["i"], ["y"], to=FLOAT),
    ]
    weights = {
        "w": random(4, 3, 1, 1),
        "flat": np.array([-1, 256]),
        "v": random(256, 64),
        "b": random(64),
    }
    onnx.save(graph(nodes, ["N", 3, 8, 8], weights), tmp_path / "a.onnx")
    made = convert(open_model(tmp_path / "a.onnx"), "fp16", "cpu", tmp_path / "b.onnx")
    assert not {"c", "m"} & set(made.recipe.get("kept_by_value", ()))
