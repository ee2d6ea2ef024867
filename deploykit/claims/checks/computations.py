"""Claims that a small computation decides: folding batch normalisation, learning exclusive-or."""

from __future__ import annotations

import functools
from itertools import product
from typing import TYPE_CHECKING, Any

from deploykit.claims.check import check
from deploykit.claims.effort import one_thread
from deploykit.claims.margin import Margin, Stated
from deploykit.claims.networks import Network
from deploykit.claims.verdict import Outcome, PartResult, Value
from deploykit.figures import significant
from deploykit.graph import fold
from deploykit.lazy import np, onnx, torch
from deploykit.spec import ModelSpec
from deploykit.zoo import create, lookup

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EPSILON = 1e-5
#: Half a unit in the last place of float32.
_UNIT_ROUNDOFF = 2.0**-24
#: Subtraction, square root, division, product and sum, each rounded.
_STEPS_OF_NORMALISING = 5
_CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))
_STEPS = 200


@check
def folding_keeps_outputs(
    stated: Stated, margin: Margin, channels: int, size_px: int, seed: int
) -> Outcome:
    """Compare a convolution with normalisation, in ONNX's reference evaluator, before and after folding.

    Also with gamma * x_hat + beta worked out by hand. Deviations are relative to the largest output, and told as
    shares of what float32 may round: half a unit in the last place for each term of a sum.
    """
    random = np.random.default_rng(seed)
    drawn = {
        "w": random.standard_normal((channels, channels, 3, 3)) / 3,
        "gamma": random.uniform(0.5, 2, channels),
        "beta": random.standard_normal(channels),
        "mean": random.standard_normal(channels),
        "variance": random.uniform(0.1, 4, channels),
    }
    values = {name: value.astype(np.float32) for name, value in drawn.items()}
    x = random.standard_normal((1, channels, size_px, size_px)).astype(np.float32)
    model = _normalised_convolution(values, size_px)
    before, convolved = _outputs(model, x)

    def per_channel(name: str) -> NDArray[np.float64]:
        return values[name].astype(np.float64).reshape(1, -1, 1, 1)

    x_hat = (convolved - per_channel("mean")) / np.sqrt(per_channel("variance") + _EPSILON)
    by_formula = per_channel("gamma") * x_hat + per_channel("beta")
    del model.graph.output[1]
    folded = fold.fold_batchnorm(model)
    (after,) = _outputs(model, x)

    largest = float(np.abs(before).max())
    rounding = (channels * 9 + _STEPS_OF_NORMALISING) * _UNIT_ROUNDOFF
    off_formula = float(np.abs(before - by_formula).max()) / largest
    off_folding = float(np.abs(before - after).max()) / largest
    identical = float(np.mean(before == after))
    parts = [
        PartResult("formula", margin.agrees(off_formula / rounding, stated)),
        PartResult("folding", folded == 1 and margin.agrees(off_folding / rounding, stated)),
    ]
    evidence: dict[str, Value] = {
        "deviation(formula)": float(f"{off_formula:.3g}"),
        "deviation(folding)": float(f"{off_folding:.3g}"),
        "share_bitwise_identical(folding)": round(identical, 4),
        "deviation(rounding allows)": float(f"{rounding:.3g}"),
        "nodes_folded": folded,
    }
    explanation = (
        f"The operator and gamma * x_hat + beta differ by {significant(off_formula, 2)} of the largest output. "
        f"Folded into the convolution before, it differs by {significant(off_folding, 2)}, where rounding "
        f"of float32 may come to {significant(rounding, 2)}; it leaves {identical:.0%} of the values "
        "the same bit for bit."
    )
    return Outcome(parts, off_folding / rounding, explanation, evidence)


def _normalised_convolution(values: dict[str, NDArray[Any]], size_px: int) -> onnx.ModelProto:
    """A convolution and its batch normalisation; outputs are the latter's, then the former's."""
    helper = onnx.helper
    shape = [1, len(values["gamma"]), size_px, size_px]
    x, y, c = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in "xyc")
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node(
            "BatchNormalization",
            ["c", "gamma", "beta", "mean", "variance"],
            ["y"],
            epsilon=_EPSILON,
        ),
    ]
    stored = [onnx.numpy_helper.from_array(value, name) for name, value in values.items()]
    graph = helper.make_graph(nodes, "convolution", [x], [y, c], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


def _outputs(model: onnx.ModelProto, x: NDArray[Any]) -> list[NDArray[Any]]:
    from onnx.reference import ReferenceEvaluator  # which `import onnx` leaves out

    outputs: Any = ReferenceEvaluator(model).run(None, {"x": x})
    return [np.asarray(output) for output in outputs]


@check
def solves_xor(stated: Stated, margin: Margin, network: Network, seeds: int) -> Outcome:
    """Train `network` on the four cases from several seeds; it solves XOR if the best gets the stated share right.

    Beside it, the best that a single threshold unit can do, by trying every one that differs.
    """
    right = [_trained(network.spec.name, seed) for seed in range(seeds)]
    solved = sum(number == len(_CORNERS) for number in right)
    single = best_threshold_unit()
    evidence: dict[str, Value] = {
        "parameters": network.facts.parameters,
        "seeds": seeds,
        "seeds_solved": solved,
        "right_of_4_by_seed": " ".join(map(str, right)),
        "right_of_4(single unit, best)": single,
    }
    explanation = (
        f"Trained from {seeds} seeds, {network.name} gets all four cases right in {solved}; the others got "
        f"stuck. A single threshold unit gets {single} of 4 at best."
        if solved < seeds
        else f"Trained from {seeds} seeds, {network.name} gets all four cases right in every one; a single "
        f"threshold unit gets {single} of 4 at best."
    )
    best = max(right) / len(_CORNERS)
    part = PartResult("XOR learnt", margin.agrees(best, stated))
    return Outcome([part], best, explanation, evidence)


@check
def seeds_get_stuck(network: Network, seeds: int, stated: Stated, margin: Margin) -> Outcome:
    """Whether so large a share of seeds ends with fewer than the four cases of exclusive-or right."""
    right = [_trained(network.spec.name, seed) for seed in range(seeds)]
    share = sum(number < len(_CORNERS) for number in right) / seeds
    evidence: dict[str, Value] = {"right_of_4_by_seed": " ".join(map(str, right))}
    explanation = (
        f"Trained from {seeds} seeds, {network.name} ends with fewer than all four cases right in "
        f"{share:.0%} of them."
    )
    part = PartResult("seeds that get stuck", margin.agrees(share, stated))
    return Outcome([part], share, explanation, evidence)


def best_threshold_unit() -> int:
    """Most cases of XOR that w1*a + w2*b > t gets right, over all units.

    Weights of -1, 0, 1 and thresholds between the integers give each of the 14 functions of two bits that
    such a unit can compute.
    """
    units = product((-1, 0, 1), (-1, 0, 1), (-1.5, -0.5, 0.5, 1.5))
    return max(sum((w1 * a + w2 * b > t) == (a != b) for a, b in _CORNERS) for w1, w2, t in units)


@functools.cache
@one_thread()
def _trained(name: str, seed: int) -> int:
    """Cases that come out right after training from one seed."""
    module = create(ModelSpec(name, seed=seed)).train()
    cases = torch.tensor(_CORNERS, dtype=torch.float32).reshape(4, *lookup(name).input_shape)
    targets = torch.tensor([[float(a != b)] for a, b in _CORNERS])
    optimiser = torch.optim.LBFGS(
        module.parameters(), max_iter=_STEPS, line_search_fn="strong_wolfe"
    )
    loss_of = torch.nn.BCEWithLogitsLoss()

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss: torch.Tensor = loss_of(module(cases), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        return int(((module(cases) > 0) == (targets > 0.5)).sum())
