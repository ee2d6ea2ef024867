"""Claims about single units and their sums: where gradients vanish, and what can be approximated."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from deploykit.claims.check import check
from deploykit.claims.verdict import Outcome, PartResult, Value, figure, listed
from deploykit.figures import significant
from deploykit.lazy import np, torch

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Points of the interval from -1 to 1 at which approximations are held against their function.
_POINTS = 501


@check
def sigmoid_saturates(outputs: tuple[float, ...], nearly_zero: float, rectified: float) -> Outcome:
    """Gradients of a sigmoid where its output is one of `outputs`, and of a ReLU at positive inputs.

    A gradient is nearly zero where it is at most `nearly_zero` of the sigmoid's largest; that of the ReLU must be
    `rectified` at each of a grid of positive inputs.
    """
    places = torch.tensor([0.5, *outputs], dtype=torch.float64)
    x = torch.logit(places).requires_grad_()
    (slopes,) = torch.autograd.grad(torch.sigmoid(x).sum(), x)
    largest, *flat = slopes.tolist()
    positive = torch.linspace(1e-3, 100, 1000, dtype=torch.float64, requires_grad=True)
    (steps,) = torch.autograd.grad(torch.relu(positive).sum(), positive)
    parts = [
        PartResult(f"sigmoid at an output of {output:g}", slope <= nearly_zero * largest)
        for output, slope in zip(outputs, flat, strict=True)
    ]
    parts.append(PartResult("ReLU", bool((steps == rectified).all())))
    evidence: dict[str, Value] = {"gradient(sigmoid at 0.5)": largest}
    evidence |= {
        f"gradient(sigmoid at {output:g})": float(f"{slope:.4g}")
        for output, slope in zip(outputs, flat, strict=True)
    }
    evidence["gradients(ReLU, positive)"] = listed(figure(v) for v in sorted({*steps.tolist()}))
    said = listed(f"{slope / largest:.2%} at {o:g}" for o, slope in zip(outputs, flat, strict=True))
    explanation = (
        f"The gradient of a sigmoid is largest, {figure(largest)}, where it puts out 0.5, and {said} of that. "
        "That of "
        f"a ReLU is {evidence['gradients(ReLU, positive)']} at all {len(steps)} positive inputs tried."
    )
    return Outcome(parts, max(flat) / largest, explanation, evidence)


@check
def gradient_vanishes_with_depth(
    depths: tuple[int, ...], width: int, seeds: int, vanished: float
) -> Outcome:
    """Gradient of the first layer over that of the last in networks of sigmoids, and of ReLUs, by depth.

    Weights are drawn after Glorot for sigmoids and after He for ReLUs; medians of `seeds` drawings. The gradient
    has vanished where the ratio is at most `vanished`.
    """
    ratios: dict[str, dict[int, float]] = {
        "sigmoid": {depth: _first_over_last(depth, width, seeds, sigmoid=True) for depth in depths},
        "ReLU": {depth: _first_over_last(depth, width, seeds, sigmoid=False) for depth in depths},
    }
    parts = [
        PartResult(f"vanishes in {depth} layers of sigmoids", ratio <= vanished)
        for depth, ratio in ratios["sigmoid"].items()
    ]
    parts.append(
        PartResult("does not with ReLUs", all(r > vanished for r in ratios["ReLU"].values()))
    )
    evidence: dict[str, Value] = {
        f"first/last({kind}, {depth} layers)": float(f"{ratio:.3g}")
        for kind, by_depth in ratios.items()
        for depth, ratio in by_depth.items()
    }
    said = "; ".join(
        f"{kind}, {listed(f'{significant(r, 2)} in {d} layers' for d, r in by_depth.items())}"
        for kind, by_depth in ratios.items()
    )
    explanation = (
        f"The gradient of the first layer over that of the last, median of {seeds} drawings, before any training: "
        f"{said}."
    )
    return Outcome(parts, ratios["sigmoid"][depths[-1]], explanation, evidence)


def _first_over_last(depth: int, width: int, seeds: int, *, sigmoid: bool) -> float:
    ratios = []
    for seed in range(seeds):
        random = torch.Generator().manual_seed(seed)
        weights = []
        for _ in range(depth):
            weight = torch.empty(width, width, dtype=torch.float64)
            if sigmoid:
                torch.nn.init.xavier_normal_(weight, generator=random)
            else:
                torch.nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=random)
            weights.append(weight.requires_grad_())
        x = torch.randn(32, width, generator=random, dtype=torch.float64)
        for weight in weights:
            x = torch.sigmoid(x @ weight.T) if sigmoid else torch.relu(x @ weight.T)
        gradients = torch.autograd.grad(x.square().mean(), [weights[0], weights[-1]])
        ratios.append(float(gradients[0].norm() / gradients[1].norm()))
    return float(np.median(ratios))


#: Functions on the interval from -1 to 1.
_TARGETS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "sin(pi x)": lambda x: np.sin(np.pi * x),
    "|x|": lambda x: np.abs(x),
    "a step": lambda x: (x > 0).astype(np.float64),
}


@check
def one_layer_approximates(
    functions: tuple[str, ...], widths: tuple[int, ...], close: float, seed: int
) -> Outcome:
    """Largest error of one hidden layer of sigmoids, by its width, for functions on -1 to 1.

    The layer's weights are random and its output is fitted by least squares. A function is approximated where the
    error falls from the first width to the last and is there at most `close`.
    """
    x = np.linspace(-1, 1, _POINTS)
    errors = {
        name: [_fitted_error(x, _TARGETS[name](x), width, seed) for width in widths]
        for name in functions
    }
    parts = [
        PartResult(name, found[-1] <= close and found[-1] < found[0])
        for name, found in errors.items()
    ]
    evidence: dict[str, Value] = {
        f"error({name}, {width} units)": float(f"{error:.3g}")
        for name, found in errors.items()
        for width, error in zip(widths, found, strict=True)
    }
    said = listed(
        f"{significant(f[0], 2)} to {significant(f[-1], 2)} for {name}"
        for name, f in errors.items()
    )
    explanation = (
        f"From {widths[0]} to {widths[-1]} sigmoids the largest error goes from {said}. The theorem is of "
        "continuous "
        "functions: a step stays away by about half its height at its edge, whatever the width."
    )
    return Outcome(parts, max(f[-1] for f in errors.values()), explanation, evidence)


def _fitted_error(x: NDArray[Any], y: NDArray[Any], width: int, seed: int) -> float:
    random = np.random.default_rng(seed)
    # Centres over the interval, slopes that grow with the width, so that units can tell nearer points apart.
    centres = np.linspace(-1.1, 1.1, width) + random.normal(0, 0.01, width)
    features = 1 / (1 + np.exp(-(x[:, None] - centres) * 2.0 * width**0.75))
    features = np.hstack([features, np.ones((len(x), 1))])
    weights, *_ = np.linalg.lstsq(features, y, rcond=None)
    return float(np.abs(features @ weights - y).max())


@check
def maxout_is_convex(pieces: tuple[int, ...], close: float, tries: int, seed: int) -> Outcome:
    """Largest errors of a maxout unit for a convex and for a concave function, and of two ReLUs for the latter.

    The convex one is x^2 on -1 to 1, approached by tangents; the concave one is -|x|, for which `tries` random
    units of as many pieces and every constant are tried.
    """
    x = np.linspace(-1, 1, _POINTS)
    convex = {k: _tangent_error(x, k) for k in pieces}
    random = np.random.default_rng(seed)
    concave = -np.abs(x)
    constants = min(float(np.abs(c - concave).max()) for c in np.linspace(-1, 0, 101))
    drawn = min(
        float(np.abs(_maxout(x, random.normal(0, 1, (pieces[-1], 2))) - concave).max())
        for _ in range(tries)
    )
    best = min(constants, drawn)
    rectified = float(np.abs(-(np.maximum(x, 0) + np.maximum(-x, 0)) - concave).max())
    parts = [
        PartResult("maxout approximates x^2", convex[pieces[-1]] <= close),
        PartResult("maxout misses -|x|", best > close),
        PartResult("two ReLUs and a sum give -|x|", rectified <= close),
    ]
    evidence: dict[str, Value] = {
        f"error(x^2, {k} pieces)": float(f"{error:.3g}") for k, error in convex.items()
    }
    evidence |= {"error(-|x|, maxout, best)": round(best, 4), "error(-|x|, two ReLUs)": rectified}
    explanation = (
        f"The largest of {pieces[-1]} tangents is within {significant(convex[pieces[-1]], 2)} of x^2. A "
        "maximum of lines "
        f"is convex, so that none comes nearer to -|x| than {best:.2f} ({tries} random ones and all constants "
        f"tried), while two ReLUs and a 1x1 convolution, as in Network in Network, miss it by {figure(rectified)}."
    )
    return Outcome(parts, convex[pieces[-1]], explanation, evidence)


def _tangent_error(x: NDArray[Any], pieces: int) -> float:
    touched = (2 * np.arange(pieces) + 1) / pieces - 1
    lines = np.stack([2 * touched, -(touched**2)], axis=1)
    shift = 0.5 / pieces**2  # halves the error, which is on one side without it
    return float(np.abs(_maxout(x, lines) + shift - x**2).max())


def _maxout(x: NDArray[Any], lines: NDArray[Any]) -> NDArray[Any]:
    """The largest of some lines, each as slope and height, at `x`."""
    largest: NDArray[Any] = (x[:, None] * lines[:, 0] + lines[:, 1]).max(axis=1)
    return largest
