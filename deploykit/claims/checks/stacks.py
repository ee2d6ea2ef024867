"""Stacks of small kernels in place of a large one: what they see, what is saved, and what isn't."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from deploykit.claims.check import MeasuredRow, check
from deploykit.claims.margin import Margin, Stated
from deploykit.claims.networks import Network
from deploykit.claims.row_ratio import all_agree, confidence_of_each, latency_ratios, range_of
from deploykit.claims.verdict import Outcome, PartResult, Value, figure, listed, millions, percent
from deploykit.errors import UsageError
from deploykit.lazy import torch
from deploykit.zoo import count_module

if TYPE_CHECKING:
    from torch import nn

    from deploykit.spec import Counts

Kernel = tuple[int, int]


class Replacement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A stack of kernels and what it replaces, each as [height, width], and the ratio stated for it.

    None is the claim's own figure.
    """

    stack: tuple[Kernel, ...]
    single: tuple[Kernel, ...]
    ratio: Stated | None = None


@check
def stack_weights_ratio(
    stated: Any, margin: Margin, replacements: Mapping[str, Replacement], channels: int
) -> Outcome:
    """Parameters of stacks over those of the kernels they replace, each beside the ratio that is stated.

    Raises:
        UsageError: a replacement has no ratio, and the claim's figure is no number.
    """
    parts: list[PartResult] = []
    evidence: dict[str, Value] = {}
    sentences, ratios = [], []
    for name, replacement in replacements.items():
        stack = _counts(replacement.stack, channels).parameters
        single = _counts(replacement.single, channels).parameters
        ratio = stack / single
        wanted = stated if replacement.ratio is None else replacement.ratio
        if not isinstance(wanted, Stated):
            raise UsageError(f"{name}: give it a 'ratio', or the claim a number")
        ratios.append(round(ratio, 4))
        parts.append(PartResult(name, margin.agrees(ratio, wanted)))
        evidence[f"parameters({name})"] = f"{stack}/{single}"
        evidence[f"ratio({name})"] = round(ratio, 4)
        sentences.append(
            f"{name}, {_weights(replacement.stack)}C^2 instead of {_weights(replacement.single)}C^2 weights, a "
            f"ratio of {figure(ratio)} where {figure(wanted)} is stated"
        )
    return Outcome(
        parts,
        ratios[0] if len(ratios) == 1 else ", ".join(map(str, ratios)),
        f"Counted with C = {channels}, without biases: {'; '.join(sentences)}.",
        evidence,
    )


@check
def stack_has_only_benefits(
    rows: Sequence[MeasuredRow], stack: Network, single: Network
) -> Outcome:
    """What a stack of convolutions takes over a single one; latency where rows of both were measured.

    All that either puts out on the way is counted among the activations, as training keeps it.
    """
    one = single.counts
    ratios = {
        "parameters": stack.counts.parameters / one.parameters,
        "MACs": stack.counts.macs / one.macs,
        "activation bytes": stack.counts.activation_bytes / one.activation_bytes,
    }
    latency = latency_ratios(rows, _is_called(stack.spec.name), _is_called(single.spec.name))
    parts = [PartResult(f"lower {what}", ratio < 1) for what, ratio in ratios.items()]
    lower = all_agree(latency.values(), lambda ratio: int(ratio >= 1))
    parts.append(PartResult("lower latency", lower))
    confidence = confidence_of_each(len(latency))
    said = (f"{range_of(r.ends(confidence))} times ({label})" for label, r in latency.items())
    measured = f"Measured latency: {listed(said)}." if latency else "Latency: not measured."
    explanation = (
        f"For {stack.input_shape[0]} channels at {stack.input_shape[1]} px, convolutions of {_kernels(stack)} take "
        f"{figure(ratios['parameters'])} times the parameters, {figure(ratios['MACs'])} times the MACs and "
        f"{figure(ratios['activation bytes'])} times the activation memory of {_kernels(single)}, in "
        f"{len(stack.convolutions)} steps that wait for each other. {measured}"
    )
    evidence: dict[str, Value] = {
        f"{what}(stack)/{what}(single)": round(ratio, 4) for what, ratio in ratios.items()
    }
    evidence |= {f"latency({label})": ratio.evidence for label, ratio in latency.items()}
    counted = ", ".join(f"{figure(ratio)} of the {what}" for what, ratio in ratios.items())
    return Outcome(parts, counted, explanation, evidence, lacks_rows=not latency)


@check
def fewer_than_network(
    stated: Stated,
    margin: Margin,
    network: Network,
    than: Network,
    kernel: int,
    times: int,
    single: int,
) -> Outcome:
    """Parameters of `network` over those of `than`, and of a stack of kernels over the one it replaces.

    Both against the stated ratio: the claim may have taken the one for the other.
    """
    ratio = network.parameters / than.parameters
    small, large = times * kernel**2, single**2
    evidence: dict[str, Value] = {
        f"parameters({network.name})": network.parameters,
        f"parameters({than.name})": than.parameters,
        f"{network.name}/{than.name}": round(ratio, 4),
        "stack/single": round(small / large, 4),
        "single/stack": round(large / small, 4),
    }
    parts = [
        PartResult(f"{network.name} over {than.name}", margin.agrees(ratio, stated)),
        PartResult(
            f"{times} of {kernel}x{kernel} over one {single}x{single}",
            margin.agrees(small / large, stated),
        ),
    ]
    explanation = (
        f"{network.name} has {millions(network.parameters)} parameters, {figure(ratio)} times those of "
        f"{than.name} ({millions(than.parameters)}). Layer by layer, {times} convolutions of {kernel}x{kernel} "
        f"have {percent(1 - small / large)} fewer weights than one {single}x{single} ({small}C^2 against "
        f"{large}C^2), which is to say that the {single}x{single} has {percent(large / small - 1)} more."
    )
    return Outcome(parts, ratio, explanation, evidence)


@check
def stack_sees_as_one(stated: Stated, kernel: int, times: int, single: int) -> Outcome:
    """Whether `times` convolutions of `kernel` at stride 1 see as much as one of `single`.

    Decided twice: by the arithmetic of receptive fields, and by the gradient of one output with respect to
    the input of small networks with a ReLU after each convolution.
    """
    stack = [kernel] * times
    by_arithmetic = receptive_field_px(stack)
    seen, centre = seen_px(stack)
    seen_single, centre_single = seen_px([single])
    evidence: dict[str, Value] = {
        "receptive_field_px(stack, arithmetic)": by_arithmetic,
        "receptive_field_px(stack, gradient)": seen,
        "receptive_field_px(single, gradient)": seen_single,
        "weights(stack)/weights(single)": round(times * kernel**2 / single**2, 4),
        "centre_influence(stack)": round(centre, 4),
        "centre_influence(single)": round(centre_single, 4),
    }
    parts = [
        PartResult("arithmetic", by_arithmetic == single == int(stated)),
        PartResult("gradient", seen == seen_single == int(stated)),
    ]
    explanation = (
        f"{times} convolutions of {kernel}x{kernel} see {by_arithmetic}x{by_arithmetic} inputs by arithmetic and "
        f"{seen}x{seen} by gradient, one {single}x{single} sees {seen_single}x{seen_single}. The same window, but "
        f"not the same weighting: with equal weights the centre has {percent(centre)} of the influence in the "
        f"stack and {percent(centre_single)} in the single one. With C channels in and out the stack has "
        f"{times * kernel**2}C^2 weights against {single**2}C^2."
    )
    return Outcome(parts, seen, explanation, evidence)


def _is_called(name: str) -> Callable[[MeasuredRow], bool]:
    return lambda row: row.model == name


def receptive_field_px(kernels: Sequence[int], strides: Sequence[int] | None = None) -> int:
    """Inputs along one axis that reach one output: 1 + sum of (kernel - 1) * product of earlier strides.

    >>> receptive_field_px([3, 3]), receptive_field_px([3, 3, 3], [2, 1, 1])
    (5, 11)
    """
    field, jump = 1, 1
    for kernel, stride in zip(kernels, strides or [1] * len(kernels), strict=True):
        field += (kernel - 1) * jump
        jump *= stride
    return field


def seen_px(kernels: Sequence[int]) -> tuple[int, float]:
    """Side of the square of inputs that one output depends on, and the centre's share of the gradient.

    Inputs and weights are positive, so that no ReLU blocks a path and no two paths cancel.
    """
    layers: list[nn.Module] = []
    for kernel in kernels:
        convolution = torch.nn.Conv2d(1, 1, kernel, bias=False, dtype=torch.float64)
        torch.nn.init.constant_(convolution.weight, 1 / kernel**2)
        layers += [convolution, torch.nn.ReLU()]
    # Wider than the field, so that an input beyond it could show.
    size = 2 * sum(kernels) + 1
    image = torch.ones(1, 1, size, size, dtype=torch.float64, requires_grad=True)
    output = torch.nn.Sequential(*layers)(image)
    middle = output.shape[-1] // 2
    (gradient,) = torch.autograd.grad(output[0, 0, middle, middle], image)
    return _extent(gradient[0, 0])


def _extent(gradient: torch.Tensor) -> tuple[int, float]:
    reached = gradient.nonzero()
    rows, columns = (sorted(set(reached[:, axis].tolist())) for axis in (0, 1))
    height, width = len(rows), len(columns)
    if height != width or len(reached) != height * width:
        raise AssertionError("the inputs seen are no full square")
    centre = gradient[rows[height // 2], columns[width // 2]] / gradient.sum()
    return height, float(centre)


def _kernels(network: Network) -> str:
    return listed(layer.size for layer in network.convolutions)


def _weights(kernels: Iterable[Kernel]) -> int:
    return sum(math.prod(kernel) for kernel in kernels)


def _counts(kernels: Sequence[Kernel], channels: int) -> Counts:
    """Counts of convolutions without bias that keep channels and size, each with its ReLU."""
    modules: list[nn.Module] = []
    for kernel in kernels:
        padding = (kernel[0] // 2, kernel[1] // 2)
        convolution = torch.nn.Conv2d(
            channels, channels, kernel, padding=padding, bias=False, device="meta"
        )
        modules += [convolution, torch.nn.ReLU()]
    return count_module(torch.nn.Sequential(*modules), (channels, 16, 16))
