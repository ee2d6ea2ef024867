"""What layers networks are made of: how many, of which kernels, widths and groups."""

from __future__ import annotations

from collections.abc import Iterable

from deploykit.claims.check import check
from deploykit.claims.margin import Margin, Stated
from deploykit.claims.networks import Network
from deploykit.claims.operations import between_convolutions
from deploykit.claims.verdict import Outcome, PartResult, Value, figure, listed, percent


@check
def kernels_and_depths(
    networks: tuple[Network, ...], kernel: int, pool: int, depths: tuple[int, ...]
) -> Outcome:
    """Whether all convolutions of each network have `kernel`, all pools `pool`, and its depth is among `depths`."""
    parts: list[PartResult] = []
    evidence: dict[str, Value] = {}
    sentences = []
    deep = f"{' or '.join(map(str, depths))} layers"
    for network in networks:
        kernels = {layer.kernel for layer in network.layers if layer.kind == "conv"}
        pools = {layer.kernel for layer in network.layers if layer.kind == "pool"}
        depth = sum(layer.weighted for layer in network.layers)
        name = network.name
        parts += [
            PartResult(f"{name}: {kernel}x{kernel} kernels", kernels == {(kernel, kernel)}, name),
            PartResult(f"{name}: {pool}x{pool} pooling", pools == {(pool, pool)}, name),
            PartResult(f"{name}: {deep}", depth in depths, name),
        ]
        found = f"{_sizes(kernels)} kernels, {_sizes(pools)} pooling, {depth} layers with weights"
        evidence[name] = found
        sentences.append(f"{name} has {found}")
    computed = "; ".join(f"{name}: {found}" for name, found in evidence.items())
    return Outcome(parts, computed, f"{'; '.join(sentences)}.", evidence)


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
def built_on_groups(stated: Stated, margin: Margin, about: str, network: Network) -> Outcome:
    """Whether the stated share of the convolutions of `network` are grouped, without being depthwise."""
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
    return Outcome([PartResult(about, margin.agrees(share, stated))], share, explanation, evidence)


@check
def no_relu(stated: Stated, margin: Margin, network: Network) -> Outcome:
    """Whether `network` has the stated number of ReLUs, and none between a depthwise convolution and its 1x1."""
    operations = network.operations
    rectifiers = sum(one.kind == "relu" for one in operations)
    by_name = {layer.name: layer for layer in network.convolutions}
    after = [
        between_convolutions(operations, place)
        for place, one in enumerate(operations)
        if one.kind == "conv" and one.module in by_name and by_name[one.module].depthwise
    ]
    direct = sum(
        following is not None
        and "relu" not in kinds
        and operations[following].module in by_name
        and by_name[operations[following].module].pointwise
        for kinds, following in after
    )
    evidence: dict[str, Value] = {
        "Relu": rectifiers,
        "depthwise": len(after),
        "depthwise_followed_by_1x1_without_relu": direct,
    }
    parts = [
        PartResult("no ReLU in the network", margin.agrees(rectifiers, stated)),
        PartResult("none between depthwise and 1x1", direct == len(after) > 0),
    ]
    explanation = (
        f"{network.name} runs {rectifiers} ReLUs; {direct} of {len(after)} depthwise convolutions are followed by "
        "their 1x1 without one in between."
    )
    return Outcome(parts, rectifiers, explanation, evidence)


@check
def layers_with_parameters(stated: Stated, networks: tuple[Network, ...]) -> Outcome:
    """Whether each of `networks` has the stated number of layers, and each layer of it trainable parameters.

    A layer is an outermost module that gives another number of values than it takes.
    """
    parts: list[PartResult] = []
    evidence: dict[str, Value] = {}
    sentences = []
    for network in networks:
        layers = [unit for unit in network.units if unit.values_in != unit.values_out]
        bare = sorted({unit.kind for unit in layers if not unit.parameters})
        trained = sum(unit.parameters > 0 for unit in layers)
        name = network.name
        evidence |= {f"{name}.{unit.name}({unit.kind})": unit.parameters for unit in layers}
        parts += [
            PartResult(f"{name}: {figure(stated)} layers", len(layers) == int(stated), name),
            PartResult(f"{name}: each with parameters", trained == len(layers), name),
        ]
        sentences.append(
            f"{name} has {len(layers)} layers, {trained} of them with trainable parameters"
            f"{f' (none in: {listed(bare)})' if bare else ''}"
        )
    found = sum(unit.values_in != unit.values_out for unit in networks[0].units)
    return Outcome(parts, found, f"{'; '.join(sentences)}.", evidence)


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
