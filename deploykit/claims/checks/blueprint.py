"""Whether networks are built to one plan, and in what they differ."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from deploykit.claims.claim import Claim
from deploykit.claims.measured import MeasuredRow
from deploykit.claims.networks import Layer, counts, layers
from deploykit.claims.registry import check
from deploykit.claims.verdict import Finding, Value
from deploykit.claims.wording import figure, listed
from deploykit.zoo import lookup

_PLAN = ("conv", "pool", "linear")


@check
def same_sequence_of_layers(
    claim: Claim, rows: Iterable[MeasuredRow], /, *, model: str, base: str
) -> Finding:
    """Whether `model` has the convolutions, pools and linear layers of `base`, in its order.

    What differs in those that correspond (kernel, stride, groups, channels) is listed.
    """
    one, other = _plan(model), _plan(base)
    same = [layer.kind for layer in one] == [layer.kind for layer in other]
    differences = [
        f"layer {i} ({a.kind}): {_shape(b)} became {_shape(a)}"
        for i, (a, b) in enumerate(zip(one, other, strict=False), 1)
        if _shape(a) != _shape(b)
    ]
    evidence: dict[str, Value] = {
        f"layers({name})": "-".join(layer.kind for layer in plan)
        for name, plan in ((model, one), (base, other))
    }
    evidence["differences"] = ", ".join(differences)
    explanation = (
        f"{model} has {'the same' if same else 'another'} sequence of convolutions, pools and linear layers "
        f"{'as' if same else 'than'} {base}; {len(differences)} of {len(other)} differ: "
        f"{listed(differences)}."
    )
    found = "same layers, other sizes" if same else "other layers"
    return Finding({"same sequence of layers": same}, found, explanation, evidence)


@check
def one_blueprint(
    claim: Claim, rows: Iterable[MeasuredRow], /, *, models: Sequence[str]
) -> Finding:
    """Whether the networks differ in plan: the claim holds for a network whose plan is not the first one's.

    The plan is the order of depthwise kernels and strides, repeats merged: what a search would choose.
    """
    plans = {name: _depthwise_plan(name) for name in models}
    first = plans[models[0]]
    holds = {f"{name} has a plan of its own": plans[name] != first for name in models[1:]}
    evidence: dict[str, Value] = {name: " ".join(plan) for name, plan in plans.items()}
    same = [name for name in models[1:] if plans[name] == first]
    explanation = (
        f"{len(same)} of {len(models) - 1} larger networks repeat the depthwise kernels and strides of "
        f"{models[0]} in the same order ({' '.join(first)}); repeats, widths and inputs differ."
        if same
        else f"No larger network repeats the depthwise kernels and strides of {models[0]}."
    )
    found = f"{len(same)} of {len(models) - 1} share one plan"
    return Finding(dict(holds), found, explanation, evidence)


@check
def grows_in_all_three(
    claim: Claim, rows: Iterable[MeasuredRow], /, *, models: Sequence[str]
) -> Finding:
    """Whether depth, width and resolution never fall from one network to the next, and grow over all.

    Depth is the number of depthwise layers, width the channels of the last convolution.
    """
    sizes = {
        "depth": [sum(layer.depthwise for layer in layers(name)) for name in models],
        "width": [
            [layer for layer in layers(name) if layer.kind == "conv"][-1].out_channels
            for name in models
        ],
        "resolution": [lookup(name).resolution_px for name in models],
    }
    holds = {what: _never_falls(values) for what, values in sizes.items()}
    growth = {what: values[-1] / values[0] for what, values in sizes.items()}
    macs = counts(models[-1]).macs / counts(models[0]).macs
    evidence: dict[str, Value] = {
        what: " ".join(map(str, values)) for what, values in sizes.items()
    }
    evidence[f"macs({models[-1]})/macs({models[0]})"] = round(macs, 3)
    grown = listed(f"{what} {figure(ratio)} times" for what, ratio in growth.items())
    predicted = growth["depth"] * growth["width"] ** 2 * growth["resolution"] ** 2
    explanation = (
        f"From {models[0]} to {models[-1]} grow {grown}; MACs {figure(macs)} times, where depth times the "
        f"squares of width and resolution would give {figure(predicted)}."
    )
    found = ", ".join(f"{what} x{ratio:.2f}" for what, ratio in growth.items())
    return Finding(dict(holds), found, explanation, evidence)


@check
def modules_and_stages(
    claim: Claim, rows: Iterable[MeasuredRow], /, *, model: str, modules: int, stages: int
) -> Finding:
    """Whether `model` has so many modules that join branches, and so many sizes of feature map."""
    joined = counts(model).by_operator["Concat"].nodes
    sides = sorted({layer.output[-1] for layer in layers(model) if layer.kind == "conv"})
    sizes = ", ".join(f"{side}" for side in reversed(sides))
    evidence: dict[str, Value] = {"concatenations": joined, "map_sizes_px": sizes}
    holds = {f"{modules} modules": joined == modules, f"{stages} stages": len(sides) == stages}
    explanation = f"{model} joins branches {joined} times and convolves at {len(sides)} map sizes, {sizes} px."
    return Finding(dict(holds), f"{joined} in {len(sides)}", explanation, evidence)


def _plan(model: str) -> list[Layer]:
    return [layer for layer in layers(model) if layer.kind in _PLAN]


def _shape(layer: Layer) -> str:
    """What can be tuned of a layer, as text; a linear layer's input follows from the layer before."""
    if layer.kind == "linear":
        return f"{layer.out_channels} units"
    text = f"{layer.kernel[0]}x{layer.kernel[1]}/{layer.stride[0]}"
    if layer.kind == "conv":
        text += f" {layer.out_channels} channels"
    return text if layer.groups == 1 else f"{text} in {layer.groups} groups"


def _depthwise_plan(model: str) -> list[str]:
    found = [f"{n.kernel[0]}x{n.kernel[1]}/{n.stride[0]}" for n in layers(model) if n.depthwise]
    return [kind for kind, _ in groupby(found)]


def _never_falls(values: Sequence[int]) -> bool:
    return list(values) == sorted(values) and values[-1] > values[0]
