"""What is saved, and what isn't, when a large kernel is replaced by a stack of smaller ones."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from deploykit.claims.checks.parameters import within
from deploykit.claims.claim import Claim
from deploykit.claims.measured import MeasuredRow
from deploykit.claims.networks import counts
from deploykit.claims.registry import check
from deploykit.claims.verdict import Finding, Value
from deploykit.claims.wording import figure, millions, percent
from deploykit.errors import MissingDependency
from deploykit.zoo import count_module

if TYPE_CHECKING:
    from deploykit.spec import Counts

Kernel = tuple[int, int]


@check
def stack_weights_ratio(
    claim: Claim,
    rows: Iterable[MeasuredRow],
    /,
    *,
    replacements: Mapping[str, Mapping[str, Sequence[Sequence[int]] | float]],
    channels: int,
) -> Finding:
    """Parameters of a stack over those of the kernel it replaces, each beside the ratio that is stated.

    `replacements` by name: `stack` and `single` list kernels as [height, width], `ratio` is what is stated.
    """
    if claim.tolerance is None:
        raise ValueError(f"claim {claim.id}: a tolerance is needed")
    holds: dict[str, bool | None] = {}
    evidence: dict[str, Value] = {}
    sentences = []
    for name, facts in replacements.items():
        stack, single = _kernels(facts["stack"]), _kernels(facts["single"])
        one, other = _counts(stack, channels), _counts(single, channels)
        ratio, stated = one.parameters / other.parameters, facts["ratio"]
        assert isinstance(stated, int | float)
        holds[name] = abs(ratio / stated - 1) <= claim.tolerance
        evidence[f"parameters({name})"] = f"{one.parameters}/{other.parameters}"
        evidence[f"ratio({name})"] = round(ratio, 4)
        sentences.append(
            f"{name}, {_weights(stack)}C^2 instead of {_weights(single)}C^2 weights, a ratio of "
            f"{figure(ratio)} where {figure(float(stated))} is stated"
        )
    found = [value for name, value in evidence.items() if name.startswith("ratio")]
    only = found[0] if len(found) == 1 else ", ".join(str(value) for value in found)
    return Finding(
        holds,
        only,
        f"Counted with C = {channels}, without biases: {'; '.join(sentences)}.",
        evidence,
    )


@check
def stack_has_only_benefits(
    claim: Claim,
    rows: Iterable[MeasuredRow],
    /,
    *,
    kernel: int,
    times: int,
    single: int,
    channels: int,
    size_px: int,
) -> Finding:
    """Parameters, MACs and activations of `times` convolutions of `kernel` over those of one of `single`.

    Each is followed by a ReLU, which is counted among the activations.
    """
    stack = _counts([(kernel, kernel)] * times, channels, size_px)
    one = _counts([(single, single)], channels, size_px)
    ratios = {
        "parameters": stack.parameters / one.parameters,
        "MACs": stack.macs / one.macs,
        "activation bytes": stack.activation_bytes / one.activation_bytes,
        "layers in sequence": float(times),
    }
    holds: dict[str, bool | None] = {f"lower {what}": ratio < 1 for what, ratio in ratios.items()}
    holds["lower latency"] = None
    evidence: dict[str, Value] = {
        f"{what}(stack)/{what}(single)": round(r, 4) for what, r in ratios.items()
    }
    explanation = (
        f"For {channels} channels at {size_px} px, {times} convolutions of {kernel}x{kernel} take "
        f"{figure(ratios['parameters'])} of the parameters and {figure(ratios['MACs'])} of the MACs of one "
        f"{single}x{single}, but {figure(ratios['activation bytes'])} times the activation memory, in {times} "
        f"steps that wait for each other. Latency: not measured."
    )
    return Finding(holds, ratios["MACs"], explanation, evidence)


@check
def fewer_than_network(
    claim: Claim,
    rows: Iterable[MeasuredRow],
    /,
    *,
    model: str,
    than: str,
    kernel: int,
    times: int,
    single: int,
) -> Finding:
    """Parameters of `model` over those of `than`, and of a stack of kernels over the one it replaces.

    Both against the stated ratio: the claim may have taken the one for the other.
    """
    ratio = counts(model).parameters / counts(than).parameters
    small, large = times * kernel**2, single**2
    evidence: dict[str, Value] = {
        f"parameters({model})": counts(model).parameters,
        f"parameters({than})": counts(than).parameters,
        f"{model}/{than}": round(ratio, 4),
        "stack/single": round(small / large, 4),
        "single/stack": round(large / small, 4),
    }
    holds = {
        f"{model} over {than}": within(claim, ratio),
        f"{times} of {kernel}x{kernel} over one {single}x{single}": within(claim, small / large),
    }
    explanation = (
        f"{model} has {millions(counts(model).parameters)} parameters, {figure(ratio)} times those of {than} "
        f"({millions(counts(than).parameters)}). Layer by layer, {times} convolutions of {kernel}x{kernel} have "
        f"{percent(1 - small / large)} fewer weights than one {single}x{single} ({small}C^2 against {large}C^2), "
        f"which is to say that the {single}x{single} has {percent(large / small - 1)} more."
    )
    return Finding(dict(holds), ratio, explanation, evidence)


def _kernels(value: Sequence[Sequence[int]] | float) -> list[Kernel]:
    assert not isinstance(value, int | float)
    return [(kernel[0], kernel[1]) for kernel in value]


def _weights(kernels: Iterable[Kernel]) -> int:
    return sum(math.prod(kernel) for kernel in kernels)


def _counts(kernels: Sequence[Kernel], channels: int, size_px: int = 16) -> Counts:
    """Counts of convolutions without bias that keep channels and size, each with its ReLU."""
    try:
        from torch import nn
    except ModuleNotFoundError as error:
        raise MissingDependency(
            'torch is not installed: pip install "deploykit[export]"'
        ) from error

    modules: list[nn.Module] = []
    for kernel in kernels:
        padding = (kernel[0] // 2, kernel[1] // 2)
        modules += [
            nn.Conv2d(channels, channels, kernel, padding=padding, bias=False, device="meta"),
            nn.ReLU(),
        ]
    return count_module(nn.Sequential(*modules), (channels, size_px, size_px))
