"""What layers networks are made of: how many, of which kernels, widths and groups."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from deploykit.claims.check import check
from deploykit.claims.margin import Margin, Stated
from deploykit.claims.networks import Network
from deploykit.claims.verdict import Outcome, PartResult, Value, figure, listed, percent

_FILTER = 5 * 5


@check
def kernels_and_depths(
    networks: tuple[Network, ...], kernel: int, pool: int, depths: tuple[int, ...]
) -> Outcome:
    """Whether all convolutions of `networks` have `kernel`, all pools `pool`, and the depths are as stated."""
    layers = [layer for network in networks for layer in network.layers]
    kernels = {layer.kernel for layer in layers if layer.kind == "conv"}
    pools = {layer.kernel for layer in layers if layer.kind == "pool"}
    by_network = {n.name: sum(layer.weighted for layer in n.layers) for n in networks}
    evidence: dict[str, Value] = {"kernels": _sizes(kernels), "pools": _sizes(pools)}
    evidence |= {f"weight_layers({name})": depth for name, depth in by_network.items()}
    parts = [
        PartResult(f"{kernel}x{kernel} kernels", kernels == {(kernel, kernel)}),
        PartResult(f"{pool}x{pool} pooling", pools == {(pool, pool)}),
        PartResult(
            f"{' or '.join(map(str, depths))} layers", set(by_network.values()) <= set(depths)
        ),
    ]
    explanation = (
        f"{listed(by_network)} use {_sizes(kernels)} kernels and {_sizes(pools)} pooling and have "
        f"{listed(map(str, by_network.values()))} layers with weights."
    )
    return Outcome(parts, f"{_sizes(kernels)}, {_sizes(pools)}", explanation, evidence)


@check
def convolutions_per_stage(networks: tuple[Network, ...], repeats: tuple[int, ...]) -> Outcome:
    """Whether each run of convolutions before a pool has one of the lengths `repeats`, in each network."""
    stages = {network.name: _stages(network) for network in networks}
    parts = [PartResult(name, set(runs) <= set(repeats)) for name, runs in stages.items()]
    evidence = {name: _dashed(runs) for name, runs in stages.items()}
    good = [part.name for part in parts if part.holds]
    other = [f"{part.name} has {evidence[part.name]}" for part in parts if not part.holds]
    explanation = (
        f"{listed(good) or 'No network'} repeat{'s' if len(good) == 1 else ''} "
        f"{' or '.join(map(str, repeats))} times{f', but {listed(other)}' if other else ''}."
    )
    computed = "; ".join(f"{name} {runs}" for name, runs in evidence.items())
    return Outcome(parts, computed, explanation, evidence)


@check
def layers_and_widths(
    network: Network, conv: int, linear: int, narrowest: int, widest: int
) -> Outcome:
    """Whether `network` has so many convolutions and linear layers, of so many channels."""
    widths = [layer.out_channels for layer in network.convolutions]
    dense = len(network.linear_layers)
    parts = [
        PartResult(f"{conv} convolutions", len(widths) == conv),
        PartResult(f"{linear} fully connected layers", dense == linear),
        PartResult(
            f"{narrowest} to {widest} channels", (min(widths), max(widths)) == (narrowest, widest)
        ),
    ]
    channels = _dashed(widths)
    explanation = (
        f"{network.name} has {len(widths)} convolutions of {channels} channels and {dense} fully connected "
        "layers."
    )
    evidence: dict[str, Value] = {
        "convolutions": len(widths),
        "linear_layers": dense,
        "channels": channels,
    }
    return Outcome(parts, f"{len(widths)}+{dense}", explanation, evidence)


@check
def last_convolutions_width(stated: Stated, network: Network, last: int, kernel: int) -> Outcome:
    """Whether each of the last convolutions of `network` has `kernel` and the stated number of channels."""
    numbered = list(enumerate(network.convolutions, 1))[-last:]
    parts = [
        PartResult(
            f"convolution {number}",
            layer.kernel == (kernel, kernel) and layer.out_channels == int(stated),
        )
        for number, layer in numbered
    ]
    channels = _dashed(layer.out_channels for _, layer in numbered)
    explanation = (
        f"The last {last} convolutions of {network.name} all have {figure(stated)} channels."
        if all(part.holds for part in parts)
        else f"The last {last} convolutions of {network.name} have {channels} channels, not all {figure(stated)}."
    )
    evidence = {
        f"convolution {number}": f"{layer.size}, {layer.out_channels} channels"
        for number, layer in numbered
    }
    return Outcome(parts, channels, explanation, evidence)


@check
def channels_ratio(stated: Stated, margin: Margin, network: Network, to: Network) -> Outcome:
    """Whether each convolution of `network` has so many times the channels of `to`'s, as far as both go."""
    widths, others = ([layer.out_channels for layer in n.convolutions] for n in (network, to))
    ratios = [a / b for a, b in zip(widths, others, strict=False)]
    parts = [
        PartResult(f"convolution {number}", margin.agrees(ratio, stated))
        for number, ratio in enumerate(ratios, 1)
    ]
    explanation = (
        f"The convolutions of {network.name} have {_dashed(widths)} channels, those of {to.name} "
        f"{_dashed(others)}: {listed(figure(ratio) for ratio in ratios)} times as many in the first "
        f"{len(ratios)}."
    )
    evidence = {
        f"channels({network.name})": _dashed(widths),
        f"channels({to.name})": _dashed(others),
    }
    farthest = max(ratios, key=lambda ratio: abs(ratio - stated))
    return Outcome(parts, farthest, explanation, evidence)


@check
def built_on_groups(about: str, network: Network) -> Outcome:
    """Whether more than half of the convolutions of `network` are grouped, without being depthwise."""
    convolutions = network.convolutions
    grouped = [layer for layer in convolutions if layer.groups > 1 and not layer.depthwise]
    share = len(grouped) / len(convolutions)
    ungrouped_macs = network.macs + sum(layer.macs * (layer.groups - 1) for layer in grouped)
    groups = [str(number) for number in sorted({layer.groups for layer in grouped})]
    evidence: dict[str, Value] = {
        "convolutions": len(convolutions),
        "grouped": len(grouped),
        "groups": " ".join(groups),
        "macs": network.macs,
        "macs_without_groups": ungrouped_macs,
    }
    explanation = (
        f"{len(grouped)} of {len(convolutions)} convolutions of {network.name} are grouped, in "
        f"{' or '.join(groups) or 'no'} groups ({percent(share)}); with full ones the same widths would take "
        f"{figure(ungrouped_macs / network.macs)} times the MACs."
    )
    return Outcome([PartResult(about, share > 0.5)], share, explanation, evidence)


@check
def no_relu(network: Network) -> Outcome:
    """Whether `network` has no ReLU, anywhere, and between a depthwise convolution and the 1x1 after it."""
    # A bounded ReLU, such as ReLU6, is a Clip.
    rectifiers = network.nodes("Relu") + network.nodes("Clip")
    after = [second for first, second in pairwise(network.layers) if first.depthwise]
    direct = sum(layer.pointwise for layer in after)
    evidence: dict[str, Value] = {
        "Relu": rectifiers,
        "depthwise": len(after),
        "depthwise_followed_by_1x1": direct,
    }
    parts = [
        PartResult("no ReLU in the network", rectifiers == 0),
        PartResult("none between depthwise and 1x1", direct == len(after) > 0),
    ]
    explanation = (
        f"{network.name} has {rectifiers} ReLUs, but none inside a separable convolution: {direct} of "
        f"{len(after)} depthwise convolutions are followed by their 1x1 directly."
        if direct == len(after)
        else f"{network.name} has {rectifiers} ReLUs; {direct} of {len(after)} depthwise convolutions are "
        "followed by a 1x1 directly."
    )
    return Outcome(parts, rectifiers, explanation, evidence)


def trained_in_1998() -> dict[str, int]:
    """Trained parameters of each layer of LeNet-5 in 1998, from the geometry of LeCun et al., section II.B.

    Averaging had a coefficient and a bias per map. The 16 maps of C3 saw 3, 4 or all 6 of S2's (table I: 6, 9
    and 1 of them). The output units compared with codes drawn by hand, which were not trained.

    >>> sum(trained_in_1998().values())
    60000
    """
    return {
        "C1": 6 * (_FILTER + 1),
        "S2": 6 * 2,
        "C3": (6 * 3 + 9 * 4 + 1 * 6) * _FILTER + 16,
        "S4": 16 * 2,
        "C5": 120 * (16 * _FILTER + 1),
        "F6": 84 * (120 + 1),
        "output": 0,
    }


@check
def layers_with_parameters(stated: Stated, network: Network) -> Outcome:
    """Whether LeNet-5 has the stated number of layers, each with trained parameters, then and now."""
    today = [layer for layer in network.layers if layer.weighted or layer.kind == "pool"]
    trained = [layer for layer in today if layer.parameters]
    original = trained_in_1998()
    trained_then = [name for name, parameters in original.items() if parameters]
    evidence: dict[str, Value] = {
        f"{network.name}.{layer.name}({layer.kind})": layer.parameters for layer in today
    }
    evidence |= {f"1998.{name}": parameters for name, parameters in original.items()}
    parts = [
        PartResult(f"{figure(stated)} layers", len(today) == len(original) == int(stated)),
        PartResult("each trained, 1998", len(trained_then) == len(original)),
        PartResult("each trained, today", len(trained) == len(today)),
    ]
    bare = sorted({layer.kind for layer in today if not layer.parameters})
    explanation = (
        f"{network.name} has {len(today)} layers, {len(trained)} of them with parameters"
        f"{f' (none in: {listed(bare)})' if bare else ''}. In 1998 averaging was trained as well, which makes "
        f"{len(trained_then)} of {len(original)} and {figure(sum(original.values()))} parameters; the output "
        "units compared with codes set by hand."
    )
    return Outcome(parts, len(today), explanation, evidence)


def _stages(network: Network) -> list[int]:
    """Lengths of the runs of convolutions, each ended by a pool."""
    lengths, run = [], 0
    for layer in network.layers:
        if layer.kind == "conv":
            run += 1
        elif layer.kind == "pool":
            lengths.append(run)
            run = 0
    return lengths


def _sizes(kernels: Iterable[tuple[int, ...]]) -> str:
    return listed("x".join(map(str, kernel)) for kernel in sorted(kernels))


def _dashed(numbers: Iterable[int]) -> str:
    return "-".join(map(str, numbers))
