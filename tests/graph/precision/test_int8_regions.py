from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from small_graphs import N, data, engine, graph, quantised, random, run, snr_db

from deploykit.backends.onnxruntime_types import read_back
from deploykit.graph.precision import KeepRules

IMAGE = ["N", 3, 16, 16]


def kinds(path: Path) -> Counter[str]:
    return Counter(node.op_type for node in engine(path).graph.node)


def head(behind: list[onnx.NodeProto], **weights: np.ndarray) -> onnx.ModelProto:
    """Two branches of one convolution: "big" in pixels, up to 640, and "small" between 0 and 1."""
    nodes = [
        N("Conv", ["x", "w"], ["c"]), N("Relu", ["c"], ["r"]),
        N("Conv", ["r", "wb"], ["b"]), N("Sigmoid", ["b"], ["bs"]), N("Mul", ["bs", "size"], ["big"]),
        N("Conv", ["r", "ws"], ["s"]), N("Sigmoid", ["s"], ["small"]),
        N("Concat", ["big", "small"], ["both"], axis=1),
    ]  # fmt: skip
    known = {
        "w": random(8, 3, 3, 3), "wb": random(4, 8, 1, 1), "ws": random(6, 8, 1, 1, seed=1),
        "size": np.float32(640),
    }  # fmt: skip
    return graph(nodes + behind, IMAGE, known | weights)


def test_scores_beside_boxes_keep_their_own_scale(tmp_path: Path) -> None:
    shape = np.array([0, 10, -1])
    model = head([N("Reshape", ["both", "shape"], ["y"])], shape=shape)
    made = quantised(model, tmp_path)
    x = data((3, 16, 16))
    truth, value = run(model, x), run(made.path, x)
    assert snr_db(truth[:, 4:], value[:, 4:]) > 35
    assert snr_db(truth[:, :4], value[:, :4]) > 35


def test_a_join_that_only_products_read_stays_in_integers(tmp_path: Path) -> None:
    model = head([N("Conv", ["both", "last"], ["y"])], last=random(3, 10, 1, 1))
    found = kinds(quantised(model, tmp_path).path)
    assert found["QLinearConcat"] == 1
    assert found["Concat"] == 0


def test_a_join_far_before_the_products_that_read_it_stays_in_integers(tmp_path: Path) -> None:
    steps = [
        N("Transpose", [f"t{i}" if i else "both"], [f"t{i + 1}"], perm=[0, 1, 3, 2])
        for i in range(600)
    ]
    model = head([*steps, N("Conv", ["t600", "last"], ["y"])], last=random(3, 10, 1, 1))
    assert kinds(quantised(model, tmp_path).path)["QLinearConcat"] == 1


def test_branches_of_like_range_are_joined_in_integers(tmp_path: Path) -> None:
    nodes = [
        N("Conv", ["x", "a"], ["l"]), N("Conv", ["x", "b"], ["r"]), N("Concat", ["l", "r"], ["j"], axis=1),
        N("Tanh", ["j"], ["t"]), N("Conv", ["j", "c"], ["k"]), N("Add", ["k", "t"], ["y"]),
    ]  # fmt: skip
    weights = {
        "a": random(4, 3, 1, 1),
        "b": 2 * random(4, 3, 1, 1, seed=1),
        "c": random(8, 8, 1, 1),
    }
    made = quantised(graph(nodes, IMAGE, weights), tmp_path)
    assert kinds(made.path)["Concat"] == 0


@pytest.mark.parametrize("fill", [-1e4, -1e9, -3.4e38, -np.inf])
@pytest.mark.parametrize("behind", ["constant", "computed"])
def test_a_mask_does_not_destroy_the_scale_of_what_it_is_added_to(
    fill: float, behind: str, tmp_path: Path
) -> None:
    mask = np.where(np.triu(np.ones((6, 6)), 1) > 0, fill, 0.0).astype(np.float32)
    nodes = [
        N("MatMul", ["x", "w"], ["a"], name="a"), N("Add", ["a", "mask"], ["m"]),
        N("Softmax", ["m"], ["p"], axis=-1), N("MatMul", ["p", "v"], ["y"], name="b"),
    ]  # fmt: skip
    weights = {"w": random(16, 6), "v": random(6, 8), "mask": mask}
    if behind == "computed":  # of the size of the batch, as padding is masked
        del weights["mask"]
        weights |= {"part": np.minimum(mask, 0), "axes": np.array([1, 2])}
        nodes = [
            N("ReduceMean", ["x"], ["e"], axes=[1, 2], keepdims=1), N("Abs", ["e"], ["f"]),
            N("Add", ["f", "part"], ["mask"]), *nodes,
        ]  # fmt: skip
    model = graph(nodes, ["N", 6, 16], weights)
    made = quantised(model, tmp_path)
    x = data((6, 16))
    assert snr_db(run(model, x), run(made.path, x)) > 30
    assert kinds(made.path)["MatMulIntegerToFloat"] == 2


@pytest.mark.parametrize("activation", ["Relu", "Tanh", "Sigmoid", "Elu", "LeakyRelu"])
def test_a_dense_layer_before_the_last_activation_runs_in_integers(
    activation: str, tmp_path: Path
) -> None:
    nodes = [
        N("Conv", ["x", "c"], ["a"]), N("Relu", ["a"], ["r"]), N("GlobalAveragePool", ["r"], ["g"]),
        N("Flatten", ["g"], ["f"]), N("Gemm", ["f", "w", "b"], ["l"], name="fc"),
        N(activation, ["l"], ["e"]), N("Softmax", ["e"], ["y"]),
    ]  # fmt: skip
    weights = {"c": random(8, 3, 3, 3), "w": random(8, 10), "b": random(10)}
    model = graph(nodes, IMAGE, weights)
    made = quantised(model, tmp_path)
    engine(made.path)
    assert set(read_back(made.path.with_suffix(".engine.onnx"))) == {"int8"}
    x = data((3, 16, 16))
    assert snr_db(run(model, x), run(made.path, x)) > 30


@pytest.mark.parametrize("cast", [False, True])
@pytest.mark.parametrize("first", [False, True])
def test_a_product_and_a_bias_of_keras_are_one_dense_layer(
    cast: bool, first: bool, tmp_path: Path
) -> None:
    nodes = [N("MatMul", ["x", "w"], ["m"], name="dense")]
    if cast:
        nodes.append(N("Cast", ["m"], ["mc"], to=onnx.TensorProto.FLOAT))
    operands = ["mc" if cast else "m", "b"]
    nodes += [
        N("Add", operands[::-1] if first else operands, ["a"]), N("Relu", ["a"], ["r"]),
        N("MatMul", ["r", "v"], ["n"], name="last"), N("Add", ["n", "b2"], ["l"]), N("Softmax", ["l"], ["y"]),
    ]  # fmt: skip
    weights = {"w": random(16, 12), "b": random(12), "v": random(12, 5), "b2": random(1, 5)}
    model = graph(nodes, ["N", 16], weights)
    made = quantised(model, tmp_path)
    assert made.recipe["products_quantised"] == 2
    assert "kept" not in made.recipe
    engine(made.path)
    assert read_back(made.path.with_suffix(".engine.onnx")).keys() == {"int8"}
    x = data((16,))
    assert snr_db(run(model, x), run(made.path, x)) > 30


@pytest.mark.parametrize("behind", ["Relu", "Tanh"])
def test_a_product_that_is_added_to_something_runs_in_integers(behind: str, tmp_path: Path) -> None:
    """ONNX Runtime makes a Gemm in float of a MatMul and the Add of what is no constant."""
    nodes = [
        N("MatMul", ["x", "w"], ["m"], name="first"), N("MatMul", ["x", "v"], ["n"], name="second"),
        N("Add", ["n", "m"], ["a"]), N(behind, ["a"], ["r"]),
        N("MatMul", ["r", "u"], ["o"], name="last"), N("Add", ["x", "o"], ["y"]),
    ]  # fmt: skip
    model = graph(nodes, ["N", 16], {k: random(16, 16, seed=i) for i, k in enumerate("wvu")})
    made = quantised(model, tmp_path)
    engine(made.path)
    types = read_back(made.path.with_suffix(".engine.onnx"))
    assert {kind: sorted(names) for kind, names in types.items()} == {
        "int8": ["first", "last", "second"]
    }
    x = data((16,))
    assert snr_db(run(model, x), run(made.path, x)) > 30


def attention() -> onnx.ModelProto:
    nodes = [
        N("MatMul", ["x", "wq"], ["q"], name="q"), N("Mul", ["q", "scale"], ["qs"], name="scaled"),
        N("MatMul", ["x", "wk"], ["k"], name="k"), N("Add", ["k", "b"], ["kb"], name="shifted"),
        N("Transpose", ["kb"], ["kt"], perm=[0, 2, 1]), N("MatMul", ["qs", "kt"], ["s"], name="scores"),
        N("Softmax", ["s"], ["y"], axis=-1),
    ]  # fmt: skip
    weights = {"wq": random(32, 32), "wk": random(32, 32, seed=1), "b": random(32)}
    return graph(nodes, ["N", 20, 32], weights | {"scale": np.float32(0.2)})


def test_a_product_of_activations_that_is_kept_is_computed_in_float(tmp_path: Path) -> None:
    made = quantised(attention(), tmp_path, KeepRules(nodes=("scores",)))
    types = {n.name: n.op_type for n in engine(made.path).graph.node}
    assert next(kind for name, kind in types.items() if name.startswith("scores")) in (
        "MatMul", "FusedMatMul",
    )  # fmt: skip
    # The others do not lose their integers by it.
    assert sum("Integer" in kind or "QLinearMatMul" in kind for kind in types.values()) == 2


def test_an_addition_that_is_kept_is_computed_in_float(tmp_path: Path) -> None:
    nodes = [
        N("Conv", ["x", "a"], ["l"]), N("Conv", ["x", "b"], ["r"]), N("Add", ["l", "r"], ["s"], name="sum"),
        N("Relu", ["s"], ["t"]), N("Conv", ["t", "c"], ["y"]),
    ]  # fmt: skip
    weights = {"a": random(4, 3, 1, 1), "b": random(4, 3, 1, 1, seed=1), "c": random(4, 4, 1, 1)}
    model = graph(nodes, IMAGE, weights)
    assert kinds(quantised(model, tmp_path).path)["QLinearAdd"] == 1
    found = kinds(quantised(model, tmp_path, KeepRules(nodes=("sum",))).path)
    assert found["QLinearAdd"] == 0
    assert found["QLinearConv"] == 3


@pytest.mark.parametrize("upper", [-1.0, 4.0])
def test_a_clip_whose_bounds_are_the_wrong_way_round_is_not_taken_for_a_relu(
    upper: float, tmp_path: Path
) -> None:
    # ONNX: where the upper bound lies below the lower one, every result is the upper bound.
    nodes = [
        N("Conv", ["x", "a"], ["l"]), N("Clip", ["l", "low", "high"], ["r"]), N("Conv", ["r", "c"], ["y"]),
    ]  # fmt: skip
    weights = {"a": random(4, 3, 1, 1), "c": random(4, 4, 1, 1)}
    bounds = {"low": np.float32(0), "high": np.float32(upper)}
    model = graph(nodes, IMAGE, weights | bounds)
    made = quantised(model, tmp_path)
    x = data((3, 16, 16))
    if upper < 0:
        truth = np.broadcast_to(
            -weights["c"].sum(axis=(1, 2, 3)).reshape(1, 4, 1, 1), (8, 4, 16, 16)
        )
        assert snr_db(truth, run(made.path, x)) > 30
    else:
        assert snr_db(run(model, x), run(made.path, x)) > 30


@pytest.mark.parametrize("size", [1e-5, 1e-9])
@pytest.mark.parametrize("target", ["cpu", "tensorrt-rtx"])
def test_small_weights_and_activations_are_not_rounded_away(
    size: float, target: str, tmp_path: Path
) -> None:
    nodes = [N("Conv", ["x", "a"], ["l"]), N("Relu", ["l"], ["r"]), N("Conv", ["r", "b"], ["y"])]
    weights = {
        "a": np.float32(size) * random(4, 3, 1, 1),
        "b": np.float32(1 / size) * random(4, 4, 1, 1),
    }
    model = graph(nodes, IMAGE, weights)
    made = quantised(model, tmp_path, target=target)
    x = data((3, 16, 16))
    assert snr_db(run(model, x), run(made.path, x)) > 30


def test_the_last_scores_are_not_rounded_to_256_steps(tmp_path: Path) -> None:
    nodes = [N("Conv", ["x", "a"], ["l"]), N("Relu", ["l"], ["r"]), N("GlobalAveragePool", ["r"], ["p"]),
             N("Flatten", ["p"], ["f"]), N("Gemm", ["f", "w"], ["g"]), N("Reshape", ["g", "s"], ["y"])]  # fmt: skip
    weights = {"a": random(8, 3, 3, 3), "w": random(8, 400), "s": np.array([0, 20, 20])}
    made = quantised(graph(nodes, IMAGE, weights), tmp_path)
    assert np.unique(run(made.path, data((3, 16, 16)))).size > 300
