"""What networks are built of: the plan that several share, and the blocks that one repeats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby, pairwise

from deploykit.claims.check import check
from deploykit.claims.margin import Margin, Stated
from deploykit.claims.networks import Network, NetworkLayer
from deploykit.claims.verdict import Outcome, PartResult, Value, figure, listed, millions, percent

#: So many of the differences between two networks are told.
_SHOWN = 8


@check
def same_sequence_of_layers(network: Network, base: Network) -> Outcome:
    """Whether `network` has the convolutions, pools and linear layers of `base`, in its order.

    What differs in those that correspond (kernel, stride, groups, channels) is listed.
    """
    plans = {
        n.name: [i for i in n.layers if i.weighted or i.kind == "pool"] for n in (network, base)
    }
    kinds = {name: [layer.kind for layer in plan] for name, plan in plans.items()}
    same = kinds[network.name] == kinds[base.name]
    pairs = zip(plans[network.name], plans[base.name], strict=False)
    differences = [
        f"layer {number} ({own.kind}): {_shape(other)} became {_shape(own)}"
        for number, (own, other) in enumerate(pairs, 1)
        if _shape(own) != _shape(other)
    ]
    evidence: dict[str, Value] = {f"layers({name})": "-".join(plan) for name, plan in kinds.items()}
    evidence["differences"] = len(differences)
    shown = differences[:_SHOWN]
    if len(differences) > _SHOWN:
        shown.append(f"{len(differences) - _SHOWN} more")
    explanation = (
        f"{network.name} has {'the same' if same else 'another'} sequence of convolutions, pools and linear "
        f"layers {'as' if same else 'than'} {base.name}; {len(differences)} of {len(plans[base.name])} "
        f"differ: {listed(shown)}."
    )
    computed = "same layers, other sizes" if same else "other layers"
    return Outcome([PartResult("same sequence of layers", same)], computed, explanation, evidence)


@check
def one_blueprint(networks: tuple[Network, ...]) -> Outcome:
    """Whether the networks differ in plan: the claim holds for a network whose plan is not the first one's.

    The plan is the order of depthwise kernels and strides, repeats merged: what a search would choose.
    """
    first, larger = networks[0], networks[1:]
    plans = {network.name: _depthwise_plan(network) for network in networks}
    plan = plans[first.name]
    same = [network.name for network in larger if plans[network.name] == plan]
    explanation = (
        f"{len(same)} of {len(larger)} larger networks repeat the depthwise kernels and strides of "
        f"{first.name} in the same order ({plan}); repeats, widths and inputs differ."
        if same
        else f"No larger network repeats the depthwise kernels and strides of {first.name}."
    )
    parts = [PartResult(f"{n.name} has a plan of its own", n.name not in same) for n in larger]
    return Outcome(parts, f"{len(same)} of {len(larger)} share one plan", explanation, plans)


@check
def grows_in_all_three(networks: tuple[Network, ...]) -> Outcome:
    """Whether depth, width and resolution never fall from one network to the next, and grow over all.

    Depth is the number of depthwise layers, width the channels of the last convolution.
    """
    first, last = networks[0], networks[-1]
    sizes = {
        "depth": [sum(layer.depthwise for layer in network.layers) for network in networks],
        "width": [network.convolutions[-1].out_channels for network in networks],
        "resolution": [network.facts.resolution_px for network in networks],
    }
    growth = {what: values[-1] / values[0] for what, values in sizes.items()}
    macs = last.macs / first.macs
    evidence: dict[str, Value] = {
        what: " ".join(map(str, values)) for what, values in sizes.items()
    }
    evidence[f"macs({last.name})/macs({first.name})"] = round(macs, 3)
    grown = listed(f"{what} {figure(ratio)} times" for what, ratio in growth.items())
    predicted = growth["depth"] * growth["width"] ** 2 * growth["resolution"] ** 2
    explanation = (
        f"From {first.name} to {last.name} grow {grown}; MACs {figure(macs)} times, where depth times the "
        f"squares of width and resolution would give {figure(predicted)}."
    )
    parts = [PartResult(what, _grows(values)) for what, values in sizes.items()]
    computed = ", ".join(f"{what} x{ratio:.2f}" for what, ratio in growth.items())
    return Outcome(parts, computed, explanation, evidence)


@check
def modules_and_stages(network: Network, modules: int, stages: int) -> Outcome:
    """Whether `network` has so many modules that join branches, and so many sizes of feature map."""
    joined = network.nodes("Concat")
    sides = sorted({layer.output[-1] for layer in network.convolutions}, reverse=True)
    sizes = ", ".join(map(str, sides))
    parts = [
        PartResult(f"{modules} modules", joined == modules),
        PartResult(f"{stages} stages", len(sides) == stages),
    ]
    explanation = (
        f"{network.name} joins branches {joined} times and convolves at {len(sides)} map sizes, "
        f"{sizes} px."
    )
    evidence: dict[str, Value] = {"concatenations": joined, "map_sizes_px": sizes}
    return Outcome(parts, f"{joined} in {len(sides)}", explanation, evidence)


def _shape(layer: NetworkLayer) -> str:
    """What can be tuned of a layer, as text; a linear layer's input follows from the layer before."""
    if layer.kind == "linear":
        return f"{layer.out_channels} units"
    text = f"{layer.size}/{layer.stride[0]}"
    if layer.kind == "conv":
        text += f" {layer.out_channels} channels"
    return text if layer.groups == 1 else f"{text} in {layer.groups} groups"


def _depthwise_plan(network: Network) -> str:
    steps = [f"{layer.size}/{layer.stride[0]}" for layer in network.layers if layer.depthwise]
    return " ".join(step for step, _ in groupby(steps))


def _grows(values: Sequence[int]) -> bool:
    return list(values) == sorted(values) and values[-1] > values[0]


@check
def shortcuts_without_parameters(network: Network, blocks: int, projection: str) -> Outcome:
    """Whether the shortcuts of `network` have no parameters: those that are identities, and those that project.

    Layers whose name contains `projection` belong to a shortcut; of `blocks` the others are identities.
    """
    on_shortcuts = [layer for layer in network.layers if projection in layer.name]
    projecting = sum(layer.kind == "conv" for layer in on_shortcuts)
    parameters = sum(layer.parameters for layer in on_shortcuts)
    share = parameters / network.parameters
    evidence: dict[str, Value] = {
        "shortcuts": blocks,
        "projecting": projecting,
        "parameters(projections)": parameters,
        "share": round(share, 4),
    }
    parts = [
        PartResult(f"{blocks - projecting} identities", blocks > projecting),
        PartResult(f"{projecting} projections", parameters == 0),
    ]
    explanation = (
        f"Of {blocks} shortcuts in {network.name}, {blocks - projecting} are identities without parameters; "
        f"{projecting}, where channels or size change, are 1x1 convolutions with {millions(parameters)} "
        f"parameters in all, {percent(share)} of the network."
    )
    return Outcome(parts, parameters, explanation, evidence)


@check
def bottleneck_saves(network: Network, block: str) -> Outcome:
    """Whether a bottleneck block has fewer weights than two 3x3 convolutions on as many channels."""
    convolutions = [layer for layer in network.convolutions if layer.name.startswith(f"{block}.")]
    channels = convolutions[-1].out_channels
    weights = sum(layer.parameters for layer in convolutions)
    plain = 2 * 9 * channels**2
    kernels = "-".join(layer.size for layer in convolutions)
    evidence: dict[str, Value] = {
        "kernels": kernels,
        "channels": channels,
        "weights(bottleneck)": weights,
        "weights(two 3x3)": plain,
    }
    explanation = (
        f"Block {block} of {network.name} ({kernels} on {channels} channels) has {figure(weights)} weights; "
        f"two 3x3 on {channels} channels would have {figure(plain)}, {figure(plain / weights)} times as many."
    )
    part = PartResult("fewer parameters", weights < plain)
    return Outcome([part], weights / plain, explanation, evidence)


@check
def connects_to_all_previous(network: Network, block: str, layer: str) -> Outcome:
    """Whether each layer of a dense block takes in the block's input and all outputs before it.

    Names of blocks contain `block` and their first convolutions end in `layer`. Across blocks, a transition
    stands between: it must be absent for the claim to hold of the whole network.
    """
    widths_in: dict[str, list[int]] = {}
    for inner in network.layers:
        if block in inner.name and inner.name.endswith(layer):
            widths_in.setdefault(inner.name.rsplit(".", 2)[0], []).append(inner.in_channels)
    transitions = sum("transition" in convolution.name for convolution in network.convolutions)
    steps = {after - before for widths in widths_in.values() for before, after in pairwise(widths)}
    growth = [str(step) for step in sorted(steps)]
    evidence: dict[str, Value] = {
        name: f"{widths[0]} to {widths[-1]} channels in {len(widths)} layers"
        for name, widths in widths_in.items()
    }
    evidence |= {"growth": " ".join(growth), "transitions": transitions}
    dense = len(steps) == 1 and min(steps) > 0
    parts = [PartResult("within a block", dense), PartResult("across blocks", not transitions)]
    explanation = (
        f"In each of the {len(widths_in)} blocks of {network.name}, every one of "
        f"{sum(map(len, widths_in.values()))} layers takes in {listed(growth)} channels more than the one "
        f"before, which is what that one put out. Between blocks stand {transitions} transitions, 1x1 "
        "convolutions that mix and thin what came before."
    )
    computed = "all of its block" if dense else "not all"
    return Outcome(parts, computed, explanation, evidence)


@check
def excitation_is_one_layer_and_softmax(network: Network, part: str) -> Outcome:
    """Whether the blocks called `part` have one fully connected layer, end in a softmax, and sum."""
    blocks = _blocks(network, part)
    dense = {_dense(block) for block in blocks.values()}
    layers = [str(number) for number in sorted(dense)]
    last = Counter(block[-1].kind for block in blocks.values())
    softmax, products = network.nodes("Softmax"), network.nodes("Mul")
    evidence: dict[str, Value] = {
        "blocks": len(blocks),
        "fully_connected_per_block": " ".join(layers),
        "last_activation": " ".join(last),
        "Softmax": softmax,
        "Mul": products,
    }
    parts = [
        PartResult("one fully connected layer", dense == {1}),
        PartResult("softmax", softmax >= len(blocks) > 0),
        PartResult("sum instead of product", products < len(blocks)),
    ]
    activation = " or ".join(last).lower()
    explanation = (
        f"Each of the {len(blocks)} blocks of {network.name} has {' or '.join(layers)} fully connected layers "
        f"and ends in a {activation}; the network has {softmax} softmax operators, and {products} products, by "
        "which the channels are scaled."
    )
    return Outcome(parts, f"{max(dense)} + {activation}", explanation, evidence)


@check
def excitation_costs_little(
    stated: Stated, margin: Margin, network: Network, base: Network, part: str
) -> Outcome:
    """What `network` has more than `base`, which differs by the blocks called `part`; each as a share."""
    blocks = _blocks(network, part)
    dense = {_dense(block) for block in blocks.values()}
    parameters = network.parameters / base.parameters - 1
    macs = network.macs / base.macs - 1
    added = network.parameters - base.parameters
    inside = sum(layer.parameters for block in blocks.values() for layer in block)
    evidence: dict[str, Value] = {
        "blocks": len(blocks),
        "parameters_added": added,
        "parameters(blocks)": inside,
        "parameters_added_share": round(parameters, 4),
        "macs_added_share": round(macs, 6),
    }
    parts = [
        PartResult("two fully connected layers each", dense == {2}),
        PartResult("nothing else changes", added == inside),
        PartResult("few parameters", margin.agrees(1 + parameters, stated)),
        PartResult("little work", margin.agrees(1 + macs, stated)),
        PartResult("any model", None),
    ]
    explanation = (
        f"{len(blocks)} blocks turn {base.name} into {network.name}: {figure(added)} parameters more, "
        f"{percent(parameters, signed=True)}, and MACs {macs * 100:+.2f}%. That it fits any model is not "
        "checked."
    )
    return Outcome(parts, 1 + parameters, explanation, evidence)


def _blocks(network: Network, part: str) -> dict[str, list[NetworkLayer]]:
    """Layers of each block, by the name up to and with `part`."""
    blocks: dict[str, list[NetworkLayer]] = {}
    for layer in network.layers:
        before, dot, _ = layer.name.partition(f".{part}.")
        if dot:
            blocks.setdefault(f"{before}.{part}", []).append(layer)
    return blocks


def _dense(block: list[NetworkLayer]) -> int:
    """Fully connected layers of a block; a 1x1 convolution of a 1x1 map is one."""
    return sum(
        layer.kind == "linear" or (layer.kind == "conv" and layer.output[1:] == (1, 1))
        for layer in block
    )
