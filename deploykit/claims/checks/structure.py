"""What layers networks are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from deploykit.claims.claim import Claim
from deploykit.claims.measured import MeasuredRow
from deploykit.claims.networks import Layer, layers
from deploykit.claims.registry import check
from deploykit.claims.verdict import Finding, Value
from deploykit.claims.wording import figure, listed


def convolutions(model: str) -> list[Layer]:
    """The convolutions of a catalogue network, in order."""
    return [layer for layer in layers(model) if layer.kind == "conv"]


def weight_layers(model: str) -> int:
    """How many layers multiply by weights: what papers count as a network's depth."""
    return sum(layer.kind in ("conv", "linear") for layer in layers(model))


@check
def kernels_and_depths(
    claim: Claim,
    rows: Iterable[MeasuredRow],
    /,
    *,
    models: Sequence[str],
    kernel: int,
    pool: int,
    depths: Sequence[int],
) -> Finding:
    """Whether all convolutions of `models` have `kernel`, all pools `pool`, and the depths are as said."""
    kernels = {layer.kernel for name in models for layer in convolutions(name)}
    pools = {layer.kernel for name in models for layer in layers(name) if layer.kind == "pool"}
    found = {name: weight_layers(name) for name in models}
    evidence: dict[str, Value] = {
        "kernels": _sizes(kernels),
        "pools": _sizes(pools),
        **{f"weight_layers({name})": depth for name, depth in found.items()},
    }
    holds = {
        f"{kernel}x{kernel} kernels": kernels == {(kernel, kernel)},
        f"{pool}x{pool} pooling": pools == {(pool, pool)},
        f"{' or '.join(map(str, depths))} layers": set(found.values()) <= set(depths),
    }
    explanation = (
        f"{listed(models)} use {_sizes(kernels)} kernels and {_sizes(pools)} pooling and have "
        f"{listed(map(str, found.values()))} layers with weights."
    )
    return Finding(dict(holds), f"{_sizes(kernels)}, {_sizes(pools)}", explanation, evidence)


@check
def convolutions_per_stage(
    claim: Claim,
    rows: Iterable[MeasuredRow],
    /,
    *,
    models: Sequence[str],
    repeats: Sequence[int],
) -> Finding:
    """Whether each run of convolutions before a pool has one of the lengths `repeats`, for each of `models`."""
    stages = {name: _stages(name) for name in models}
    holds = {name: set(lengths) <= set(repeats) for name, lengths in stages.items()}
    evidence: dict[str, Value] = {
        name: "-".join(map(str, lengths)) for name, lengths in stages.items()
    }
    allowed = " or ".join(map(str, repeats))
    good = [name for name, held in holds.items() if held]
    other = [f"{name} has {evidence[name]}" for name, held in holds.items() if not held]
    explanation = (
        f"{listed(good) or 'No network'} repeat{'s' if len(good) == 1 else ''} {allowed} times"
    )
    explanation += f", but {listed(other)}." if other else "."
    found = "; ".join(f"{name} {lengths}" for name, lengths in evidence.items())
    return Finding(dict(holds), found, explanation, evidence)


@check
def layers_and_widths(
    claim: Claim,
    rows: Iterable[MeasuredRow],
    /,
    *,
    model: str,
    conv: int,
    linear: int,
    narrowest: int,
    widest: int,
) -> Finding:
    """Whether `model` has so many convolutions and linear layers, of so many channels."""
    widths = [layer.out_channels for layer in convolutions(model)]
    dense = weight_layers(model) - len(widths)
    evidence: dict[str, Value] = {
        "convolutions": len(widths),
        "linear_layers": dense,
        "channels": "-".join(map(str, widths)),
    }
    holds = {
        f"{conv} convolutions": len(widths) == conv,
        f"{linear} fully connected layers": dense == linear,
        f"{narrowest} to {widest} channels": (min(widths), max(widths)) == (narrowest, widest),
    }
    explanation = (
        f"{model} has {len(widths)} convolutions of {evidence['channels']} channels and {dense} fully "
        "connected layers."
    )
    return Finding(dict(holds), f"{len(widths)}+{dense}", explanation, evidence)


@check
def more_linear_layers(
    claim: Claim, rows: Iterable[MeasuredRow], /, *, models: Sequence[str], than: str
) -> Finding:
    """Whether each of `models` has more fully connected layers than the network `than`."""
    numbers = {
        name: sum(layer.kind == "linear" for layer in layers(name)) for name in (than, *models)
    }
    holds = {name: numbers[name] > numbers[than] for name in models}
    evidence: dict[str, Value] = {f"linear_layers({name})": n for name, n in numbers.items()}
    explanation = (
        f"{than} has {numbers[than]} fully connected layers, "
        f"{listed(f'{name} {numbers[name]}' for name in models)}."
    )
    return Finding(dict(holds), max(numbers[name] for name in models), explanation, evidence)


@check
def last_convolutions_width(
    claim: Claim, rows: Iterable[MeasuredRow], /, *, model: str, last: int, kernel: int
) -> Finding:
    """Whether each of the last convolutions of `model` has `kernel` and the stated number of channels."""
    tail = convolutions(model)[-last:]
    first = len(convolutions(model)) - last + 1
    holds = {
        f"convolution {first + i}": layer.kernel == (kernel, kernel)
        and layer.out_channels == claim.stated
        for i, layer in enumerate(tail)
    }
    evidence: dict[str, Value] = {
        f"convolution {first + i}": f"{_sizes({layer.kernel})}, {layer.out_channels} channels"
        for i, layer in enumerate(tail)
    }
    found = "-".join(str(layer.out_channels) for layer in tail)
    explanation = (
        f"The last {last} convolutions of {model} have {found} channels, not all {claim.stated}."
    )
    if all(holds.values()):
        explanation = f"The last {last} convolutions of {model} all have {claim.stated} channels."
    return Finding(dict(holds), found, explanation, evidence)


@check
def channels_ratio(claim: Claim, rows: Iterable[MeasuredRow], /, *, model: str, to: str) -> Finding:
    """Whether each convolution of `model` has at least, and about, so many times the channels of `to`'s.

    Compared layer by layer as far as both go.
    """
    if isinstance(claim.stated, str) or claim.tolerance is None:
        raise ValueError(f"claim {claim.id}: a stated ratio and a tolerance are needed")
    wide, narrow = convolutions(model), convolutions(to)
    ratios = [a.out_channels / b.out_channels for a, b in zip(wide, narrow, strict=False)]
    evidence: dict[str, Value] = {
        f"channels({name})": "-".join(str(layer.out_channels) for layer in found)
        for name, found in ((model, wide), (to, narrow))
    }
    mean = sum(ratios) / len(ratios)
    holds = {
        f"at least {figure(claim.stated)} times": min(ratios) >= claim.stated,
        f"about {figure(claim.stated)} times": all(
            abs(ratio / claim.stated - 1) <= claim.tolerance for ratio in ratios
        ),
    }
    explanation = (
        f"The convolutions of {model} have {evidence[f'channels({model})']} channels, those of {to} "
        f"{evidence[f'channels({to})']}: {listed(figure(ratio) for ratio in ratios)} times as many in the "
        f"first {len(ratios)}."
    )
    return Finding(dict(holds), mean, explanation, evidence)


def _stages(model: str) -> list[int]:
    """Lengths of the runs of convolutions, each ended by a pool."""
    lengths, run = [], 0
    for layer in layers(model):
        if layer.kind == "conv":
            run += 1
        elif layer.kind == "pool":
            lengths.append(run)
            run = 0
    return lengths


def _sizes(kernels: Iterable[tuple[int, ...]]) -> str:
    return listed("x".join(map(str, kernel)) for kernel in sorted(kernels))
