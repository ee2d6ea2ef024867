"""Equalisation changes how channels are divided between weights, and nothing of what the network computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from small_graphs import N, data, graph, quantised, random, run, snr_db

from deploykit.errors import UnknownName, UsageError
from deploykit.graph.calibrate import Calibration
from deploykit.graph.calibrate.channels import channel_statistics
from deploykit.graph.precision import find_recipe
from deploykit.graph.precision.equalise import equalise

SHAPE = ["N", 3, 8, 8]
SPREAD = (10.0 ** np.linspace(-1.5, 1.5, 8)).astype(np.float32)
ZERO, SIX = np.float32(0), np.float32(6)


def images() -> Calibration:
    return Calibration(batches=lambda: iter([data((3, 8, 8))]), count=8)


def weights(more: dict[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:
    """Of a convolution to 8 channels of very unlike size, a depthwise one behind it and two that read it."""
    return {
        "w": random(8, 3, 3, 3) * SPREAD[:, None, None, None],
        "b": random(8, seed=1) * SPREAD,
        "dw": random(8, 1, 3, 3, seed=2) * SPREAD[::-1, None, None, None] / SPREAD[:, None, None, None],
        "db": random(8, seed=3),
        "u": random(4, 8, 1, 1, seed=4) / SPREAD[None, :, None, None],
        "ud": random(4, 8, 1, 1, seed=4) / SPREAD[None, ::-1, None, None],
        "g": random(5, 8 * 6 * 6, seed=5) / np.repeat(SPREAD, 36),
        "q": random(4, 4, 3, 3, seed=6),
        "zero": ZERO,
        "six": SIX,
    } | (more or {})  # fmt: skip


FIRST = N("Conv", ["x", "w", "b"], ["c"], name="first")
LAST = N("Conv", ["r", "u"], ["y"], name="last")

SCALABLE = {
    "relu": [FIRST, N("Relu", ["c"], ["r"]), LAST],
    "leaky": [FIRST, N("LeakyRelu", ["c"], ["r"]), LAST],
    "prelu": [FIRST, N("PRelu", ["c", "slope"], ["r"]), LAST],
    "linear": [FIRST, N("Identity", ["c"], ["r"]), LAST],
    "depthwise": [
        FIRST, N("Relu", ["c"], ["r1"]), N("Conv", ["r1", "dw", "db"], ["d"], name="middle", group=8),
        N("Relu", ["d"], ["r"]), N("Conv", ["r", "ud"], ["y"], name="last"),
    ],
    "unbounded clip": [FIRST, N("Clip", ["c", "zero"], ["r"]), LAST],
    "bound of each channel": [FIRST, N("Relu", ["c"], ["p"]), N("Min", ["p", "bounds"], ["r"]), LAST],
    "pools": [
        FIRST, N("Relu", ["c"], ["p"]), N("MaxPool", ["p"], ["m"], kernel_shape=[2, 2]),
        N("AveragePool", ["m"], ["r"], kernel_shape=[2, 2], pads=[1, 1, 1, 1]), LAST,
    ],
    "rows": [
        FIRST, N("Relu", ["c"], ["r"]), N("Flatten", ["r"], ["f"]),
        N("Gemm", ["f", "g"], ["y"], name="last", transB=1),
    ],
    "two readers": [
        FIRST, N("Relu", ["c"], ["r"]), N("Conv", ["r", "u"], ["a"], name="last"),
        N("Conv", ["r", "u2"], ["e"], name="other"), N("Add", ["a", "e"], ["y"]),
    ],
    "join": [
        FIRST, N("Relu", ["c"], ["r"]), N("Conv", ["x", "k"], ["o"], name="beside"),
        N("Concat", ["o", "r"], ["j"], axis=1),
        N("Conv", ["j", "v"], ["y"], name="last"),
    ],
    "groups": [
        FIRST, N("Relu", ["c"], ["r"]), N("Conv", ["r", "half"], ["y"], name="last", group=2),
    ],
    "gate": [
        FIRST, N("Relu", ["c"], ["p"]), N("GlobalAveragePool", ["p"], ["s"]),
        N("Conv", ["s", "sq"], ["t"], name="squeeze"), N("Sigmoid", ["t"], ["h"]),
        N("Mul", ["p", "h"], ["r"]), LAST,
    ],
}  # fmt: skip
MORE = {
    "slope": np.linspace(-0.5, 0.5, 8, dtype=np.float32).reshape(8, 1, 1),
    "bounds": (6 * SPREAD).reshape(1, 8, 1, 1),
    "u2": random(4, 8, 1, 1, seed=7) / SPREAD[None, :, None, None],
    "k": random(3, 3, 3, 3, seed=8),
    "v": random(4, 11, 1, 1, seed=9)
    / np.concatenate([np.ones(3), SPREAD])[None, :, None, None].astype(np.float32),
    "half": random(4, 4, 1, 1, seed=10)
    / SPREAD.reshape(2, 1, 4, 1, 1).repeat(2, 1).reshape(4, 4, 1, 1),
    "sq": random(8, 8, 1, 1, seed=11) / SPREAD[None, :, None, None],
}


@pytest.mark.parametrize("name", sorted(SCALABLE))
def test_factors_change_the_weights_and_not_the_function(name: str) -> None:
    model = graph(SCALABLE[name], SHAPE, weights(MORE), opset=17)
    x = data((3, 8, 8), seed=12)
    before = run(model, x)
    made = equalise(model, images())
    assert "first" in made.products
    assert made.sha256
    onnx.checker.check_model(model, full_check=True)
    assert snr_db(before, run(model, x)) > 120


@pytest.mark.parametrize("name", sorted(SCALABLE))
def test_channels_are_nearer_to_each_other_afterwards(name: str) -> None:
    model = graph(SCALABLE[name], SHAPE, weights(MORE), opset=17)

    def spread() -> float:
        peak = channel_statistics(model, ["c"], images())["c"].peak
        return float(np.log(peak).std())

    before = spread()
    equalise(model, images())
    assert spread() < 0.6 * before


def test_bounds_that_come_to_be_one_are_a_clip_again() -> None:
    model = graph(SCALABLE["bound of each channel"], SHAPE, weights(MORE), opset=17)
    x = 10 * data((3, 8, 8), seed=12)  # so that the bounds are reached
    before = run(model, x)
    equalise(model, images())
    assert [node.op_type for node in model.graph.node] == ["Conv", "Relu", "Clip", "Conv"]
    assert snr_db(before, run(model, x)) > 110


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ([FIRST, N("Sigmoid", ["c"], ["r"], name="s"), LAST], "Sigmoid 's' reads it"),
        ([FIRST, N("Add", ["c", "c"], ["r"], name="a"), LAST], "Add 'a' reads it"),
        ([FIRST, N("Mul", ["c", "c"], ["r"], name="m"), LAST], "Mul 'm' reads it"),
        (
            [FIRST, N("Relu", ["c"], ["p"]), N("GlobalAveragePool", ["p"], ["s"]),
             N("Mul", ["p", "s"], ["r"], name="m"), LAST],
            "Mul 'm' multiplies it with itself",
        ),
        ([FIRST, N("Relu", ["c"], ["y"])], "it is an output"),
        ([FIRST, N("Concat", ["c", "c"], ["r"], axis=2, name="j"), LAST], "Concat 'j' reads it"),
    ],
)  # fmt: skip
def test_what_is_no_factor_of_channels_stays_and_says_why(
    nodes: list[onnx.NodeProto], reason: str
) -> None:
    model = graph(nodes, SHAPE, weights(), opset=17)
    before = {t.name: t.SerializeToString() for t in model.graph.initializer}
    made = equalise(model, images())
    assert made.products == ()
    assert reason in made.skipped["first"]
    after = {t.name: t.SerializeToString() for t in model.graph.initializer}
    assert after.items() <= before.items()


#: Channels of x, as many as its mean is above -1: three, which no inference sees.
COUNTED = [
    N("ReduceMean", ["x"], ["mean"], keepdims=0), N("Greater", ["mean", "low"], ["many"]),
    N("Cast", ["many"], ["one"], to=onnx.TensorProto.INT64), N("Mul", ["one", "three"], ["n"]),
    N("Slice", ["x", "start", "n", "axis"], ["o"]),
]  # fmt: skip


def test_a_join_behind_channels_that_inference_does_not_count_is_left_alone() -> None:
    nodes = [
        FIRST, N("Relu", ["c"], ["r"]), *COUNTED,
        N("Concat", ["o", "r"], ["j"], axis=1, name="join"), N("Conv", ["j", "v"], ["y"], name="last"),
    ]  # fmt: skip
    counting = {"low": np.float32(-1), "start": np.array([0]), "axis": np.array([1])}
    model = graph(
        nodes,
        SHAPE,
        weights(MORE | counting | {"three": np.array([3])})
        | {"w": random(8, 3, 1, 1) * SPREAD[:, None, None, None]},
        opset=17,
    )
    x = data((3, 8, 8), seed=12)
    before = run(model, x)
    made = equalise(model, images())
    assert "Concat 'join' reads it" in made.skipped["first"]
    assert snr_db(before, run(model, x)) > 120


RELU6 = [FIRST, N("Clip", ["c", "zero", "six"], ["r"]), LAST]


def test_behind_a_relu6_channels_are_only_made_larger_and_none_meets_the_bound() -> None:
    model = graph(RELU6, SHAPE, weights(), opset=17)
    x = data((3, 8, 8))
    before = run(model, x)
    assert (channel_statistics(model, ["r"], images())["r"].peak == 6).any()
    assert equalise(model, images()).products == ("first",)
    assert snr_db(before, run(model, x)) > 120
    value = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    first = next(v for name, v in value.items() if name.startswith("w_"))
    factors = np.abs(first / weights()["w"]).max(axis=(1, 2, 3))
    assert factors.min() > 0.999999
    assert factors.max() > 3


def test_int8_of_unlike_channels_behind_a_relu6_gains(tmp_path: Path) -> None:
    parts = weights()
    parts["u"] = random(4, 8, 1, 1, seed=4) / np.minimum(SPREAD, 1)[None, :, None, None]
    model = graph(RELU6, [1, *SHAPE[1:]], parts, opset=17)
    x = data((3, 8, 8))[:1]
    found = [
        snr_db(run(model, x), run(quantised(model, tmp_path, steps=steps).path, x))
        for steps in ((), ("equalise",))
    ]
    assert found[1] > found[0] + 6


def test_a_weight_that_two_products_share_is_changed_for_one_alone() -> None:
    nodes = [
        FIRST, N("Relu", ["c"], ["r"]), N("Conv", ["r", "u"], ["a"], name="last"),
        N("Conv", ["a", "q"], ["p"]), N("Conv", ["x8", "u"], ["e"], name="other"),
        N("GlobalAveragePool", ["p"], ["p1"]), N("GlobalAveragePool", ["e"], ["e1"]), N("Add", ["p1", "e1"], ["y"]),
    ]  # fmt: skip
    nodes.insert(0, N("Conv", ["x", "k8"], ["k1"]))
    nodes.insert(1, N("Tanh", ["k1"], ["x8"]))
    model = graph(nodes, SHAPE, weights({"k8": random(8, 3, 1, 1, seed=13)}), opset=17)
    x = data((3, 8, 8), seed=12)
    before = run(model, x)
    assert "first" in equalise(model, images()).products
    assert snr_db(before, run(model, x)) > 120


def test_a_channel_that_was_silent_on_the_images_is_not_blown_up() -> None:
    parts = weights()
    parts["b"] = parts["b"].copy()
    parts["b"][0] = -1000.0  # never above zero
    model = graph(SCALABLE["relu"], SHAPE, parts, opset=17)
    equalise(model, images())
    value = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    first = next(v for name, v in value.items() if name.startswith("w_"))
    peaks = np.abs(first).max(axis=(1, 2, 3))
    assert peaks[0] < 20 * np.median(peaks[1:])


def test_int8_of_unlike_channels_is_good_with_it_and_poor_without(tmp_path: Path) -> None:
    model = graph(SCALABLE["depthwise"], [1, *SHAPE[1:]], weights(), opset=17)
    x = data((3, 8, 8))[:1]
    found = {}
    for steps in ((), ("equalise",)):
        made = quantised(model, tmp_path, steps=steps)
        assert made.recipe["int8_steps"] == list(steps)
        found[steps] = snr_db(run(model, x), run(made.path, x))
    assert made.recipe["equalised"] == ["first", "middle"]
    assert found["equalise",] > 28
    assert found["equalise",] > found[()] + 10


def test_steps_are_chosen_by_name() -> None:
    recipe = find_recipe("int8", "cpu")
    assert recipe.chosen("default") == recipe.default_steps
    assert recipe.chosen("plain") == ()
    assert recipe.chosen("bias, equalise") == ("equalise", "bias")
    assert recipe.chosen("default,weight-mse") == ("equalise", "weight-mse", "bias")
    with pytest.raises(
        UnknownName, match=r"unknown step of int8 'equalize'.*did you mean equalise"
    ):
        recipe.chosen("equalize")
    with pytest.raises(UnknownName, match="plain"):
        recipe.chosen("plain,bias")
    with pytest.raises(UsageError, match="--int8 bias and bias-fast are alternatives: name one"):
        recipe.chosen("default,bias-fast")
    with pytest.raises(UsageError, match="--int8 needs a step"):
        recipe.chosen(",")
    with pytest.raises(UsageError, match="has no steps to choose from: leave --int8 out"):
        find_recipe("int8", "tensorrt").chosen("bias")
