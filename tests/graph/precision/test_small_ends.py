"""A last small product stays in float where its own rounding to 8 bits is most of an output's noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from small_graphs import N, data, graph, quantised, random, run, snr_db

from deploykit.backends import get
from deploykit.graph.precision import KeepRules, int8_cpu
from deploykit.spec import BuildOptions

IMAGE = ["N", 3, 16, 16]
#: Behind them values are spread so widely that 256 steps leave little of most.
WIDE = [N("Mul", ["b", "two"], ["m"]), N("Exp", ["m"], ["t"])]


def network(
    *behind: onnx.NodeProto, channels: int = 1, spread: float = 2.0, last: str = "y"
) -> onnx.ModelProto:
    """Two convolutions, an exponential, and a convolution "end" of few channels that makes `last`."""
    nodes = [
        N("Conv", ["x", "u"], ["a"], name="first", pads=[2] * 4),
        N("Relu", ["a"], ["r"]),
        N("Conv", ["r", "v"], ["b"], name="second", pads=[1] * 4),
        *WIDE,
        N("Conv", ["t", "w", "c"], [last], name="end"),
        *behind,
    ]
    weights = {"u": random(16, 3, 5, 5), "v": random(16, 16, 3, 3), "w": random(channels, 16, 1, 1)}
    return graph(nodes, IMAGE, weights | {"c": random(channels), "two": np.float32(spread)})


ENDS = {
    "an output": network(),
    "an activation that is part of it": network(N("Relu", ["e"], ["y"]), last="e"),
    "a float one": network(N("Softplus", ["e"], ["y"]), last="e"),
    "what depends on its shape": network(
        N("Shape", ["e"], ["s"]), N("Reshape", ["e", "s"], ["y"]), last="e"
    ),
}


@pytest.mark.parametrize("name", ENDS)
def test_it_gains_what_its_own_rounding_cost(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x = ENDS[name], data((3, 16, 16))
    made = quantised(model, tmp_path)
    assert made.recipe["kept"] == ["end"]
    assert made.recipe["products_quantised"] == made.recipe["biases_corrected"] == 2
    assert made.recipe["kept_by_value"]["end"].startswith("8 bits cost it ")
    kept = snr_db(run(model, x), run(made.path, x))
    facts = get("onnxruntime").build(made, BuildOptions(), tmp_path / "engine.onnx")
    assert facts["compute_types"] == {"int8": ["first", "second"], "fp32": ["end"]}
    monkeypatch.setattr(int8_cpu, "costly_ends", lambda *_: {})
    assert kept > snr_db(run(model, x), run(quantised(model, tmp_path).path, x)) + 3


def test_scores_that_boxes_stand_beside_in_one_layer_count_as_much(tmp_path: Path) -> None:
    nodes = [
        N("Conv", ["x", "u"], ["a"], name="first", pads=[2] * 4), N("Relu", ["a"], ["r"]),
        N("Conv", ["r", "v"], ["b"], name="second", pads=[1] * 4), N("Relu", ["b"], ["t"]),
        N("Conv", ["t", "w"], ["e"], name="end"), N("Split", ["e"], ["boxes", "scores"], axis=1),
        N("Sigmoid", ["scores"], ["y"]),
    ]  # fmt: skip
    ends = random(2, 24, 1, 1) * np.float32([300, 1]).reshape(2, 1, 1, 1)
    weights = {"u": random(24, 3, 5, 5), "v": random(24, 24, 3, 3), "w": ends}
    model, x = graph(nodes, IMAGE, weights), data((3, 16, 16))
    made = quantised(model, tmp_path)
    assert made.recipe["kept"] == ["end"]
    assert snr_db(run(model, x), run(made.path, x)) > 40


OTHERS = {
    "an output that is near enough": (network(spread=0.1), KeepRules()),
    "a layer of more than a hundredth": (network(channels=6), KeepRules()),
    "nothing may be kept": (network(), KeepRules(strict=True)),
    "another product behind it": (
        network(N("MatMul", ["e", "e"], ["y"]), last="e"),
        KeepRules(),
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_others_stay_in_integers(name: str, tmp_path: Path) -> None:
    model, keep = OTHERS[name]
    facts = quantised(model, tmp_path, keep).recipe
    assert "kept_by_value" not in facts
    assert "end" not in facts.get("kept", ())
