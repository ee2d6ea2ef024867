"""Batch normalisation: its formula, and what folding it into a convolution changes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from deploykit.claims.claim import Claim
from deploykit.claims.measured import MeasuredRow
from deploykit.claims.registry import check
from deploykit.claims.verdict import Finding, Value


@check
def folding_keeps_outputs(
    claim: Claim, rows: Iterable[MeasuredRow], /, *, channels: int, size_px: int, seed: int
) -> Finding:
    """Compare a convolution with normalisation, in ONNX's reference evaluator, before and after folding.

    Also with gamma * x_hat + beta worked out by hand. Deviations are relative to the largest output.
    """
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper
    from onnx.reference import ReferenceEvaluator

    from deploykit.graph.folding import fold_batchnorm

    random = np.random.default_rng(seed)
    epsilon = 1e-5
    values = {
        "w": random.standard_normal((channels, channels, 3, 3)) / 3,
        "gamma": random.uniform(0.5, 2, channels),
        "beta": random.standard_normal(channels),
        "mean": random.standard_normal(channels),
        "variance": random.uniform(0.1, 4, channels),
    }
    values = {name: value.astype(np.float32) for name, value in values.items()}
    shape = [1, channels, size_px, size_px]
    float32 = onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node(
            "BatchNormalization",
            ["c", "gamma", "beta", "mean", "variance"],
            ["y"],
            epsilon=epsilon,
        ),
    ]
    stored = [numpy_helper.from_array(value, name) for name, value in values.items()]

    def ending_with(output: str, length: int) -> onnx.ModelProto:
        graph = helper.make_graph(
            nodes[:length],
            "convolution",
            [helper.make_tensor_value_info("x", float32, shape)],
            [helper.make_tensor_value_info(output, float32, shape)],
            stored[:1] if length == 1 else stored,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])

    bare, model = ending_with("c", 1), ending_with("y", 2)
    x = random.standard_normal(shape).astype(np.float32)

    def output_of(model: onnx.ModelProto) -> np.ndarray:
        outputs: Any = ReferenceEvaluator(model).run(None, {"x": x})
        return np.asarray(outputs[0])

    before, convolved = output_of(model), output_of(bare)

    def per_channel(name: str) -> np.ndarray:
        return values[name].astype(np.float64).reshape(1, -1, 1, 1)

    x_hat = (convolved - per_channel("mean")) / np.sqrt(per_channel("variance") + epsilon)
    by_formula = per_channel("gamma") * x_hat + per_channel("beta")
    folded = fold_batchnorm(model)
    after = output_of(model)

    largest = float(np.abs(before).max())
    off_formula = float(np.abs(before - by_formula).max()) / largest
    off_folding = float(np.abs(before - after).max()) / largest
    identical = float(np.mean(before == after))
    tolerance = claim.tolerance or 0.0
    holds = {
        "formula": off_formula <= tolerance,
        "folding": folded == 1 and off_folding <= tolerance,
    }
    evidence: dict[str, Value] = {
        "deviation(formula)": float(f"{off_formula:.3g}"),
        "deviation(folding)": float(f"{off_folding:.3g}"),
        "share_bitwise_identical(folding)": round(identical, 4),
        "nodes_folded": folded,
    }
    explanation = (
        f"The operator and gamma * x_hat + beta differ by {off_formula:.1e} of the largest output. Folded into "
        f"the convolution before, it differs by {off_folding:.1e}: rounding of float32, which leaves "
        f"{identical:.0%} of the values the same bit for bit."
    )
    return Finding(dict(holds), off_folding, explanation, evidence)
