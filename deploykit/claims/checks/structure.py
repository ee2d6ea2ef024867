"""The plans that networks share, how a family grows, and how many modules there are in how many stages."""

from __future__ import annotations

from itertools import groupby, pairwise, zip_longest

from deploykit.claims.check import check
from deploykit.claims.networks import Network, refuse_one_alone
from deploykit.claims.tracing import NetworkLayer
from deploykit.claims.verdict import Outcome, PartResult, Value, figure, listed
from deploykit.claims.wiring import depth, joins

#: So many of the differences between two networks are told.
_SHOWN = 8

#: Modules that pass on what they are given when a network is used.
_IDLE = frozenset(("Dropout", "Flatten", "Identity"))


@check
def same_sequence_of_layers(network: Network, base: Network) -> Outcome:
    """Whether `network` has the layers of `base`, in its order: those with weights and pools, and all others too.

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
    own_kinds, base_kinds = (
        [i.kind for i in n.layers if i.kind not in _IDLE] for n in (network, base)
    )
    alike = own_kinds == base_kinds
    shown = differences[:_SHOWN]
    if len(differences) > _SHOWN:
        shown.append(f"{len(differences) - _SHOWN} more")
    explanation = (
        f"{network.name} has {'the same' if same else 'another'} sequence of convolutions, pools and linear "
        f"layers {'as' if same else 'than'} {base.name}; {len(differences)} of {len(plans[base.name])} "
        f"differ: {listed(shown)}."
    )
    if same and not alike:
        # The one may also go on where the other ends.
        steps = enumerate(zip_longest(own_kinds, base_kinds, fillvalue="nothing"), 1)
        place, own, other = next((n, a, b) for n, (a, b) in steps if a != b)
        evidence["first other layer"] = f"{place}: {own} for {other}"
        explanation += (
            f" With normalisations and activations the sequences differ: layer {place} is {own} where "
            f"{base.name} has {other}."
        )
    computed = (
        "same layers, other sizes"
        if alike
        else "same layers with weights and pools, others elsewhere"
        if same
        else "other layers"
    )
    parts = [
        PartResult("layers with weights and pools", same),
        PartResult("normalisations and activations too", alike),
    ]
    return Outcome(parts, computed, explanation, evidence)


@check
def one_blueprint(networks: tuple[Network, ...]) -> Outcome:
    """Whether the networks differ in plan: the claim holds for a network whose plan is not the first one's.

    The plan is the order of depthwise kernels and strides, repeats merged: what a search would choose.

    Raises:
        UsageError: there are fewer than two networks.
    """
    refuse_one_alone(networks)
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
    """Whether depth, width and resolution all grow, from each network to the next and over all of them.

    Depth is the number of layers on the longest way, width the channels of the last convolution.

    Raises:
        UsageError: there are fewer than two, of which none grows.
    """
    refuse_one_alone(networks)
    first, last = networks[0], networks[-1]
    sizes = {network.name: _sizes_of(network) for network in networks}
    growth = {what: sizes[last.name][what] / sizes[first.name][what] for what in sizes[first.name]}
    macs = last.macs / first.macs
    evidence: dict[str, Value] = {
        what: " ".join(str(sizes[network.name][what]) for network in networks) for what in growth
    }
    evidence[f"macs({last.name})/macs({first.name})"] = round(macs, 3)
    steps = [(first, last), *pairwise(networks)]
    stopped = {
        (one.name, next_.name): [
            what for what in growth if sizes[next_.name][what] <= sizes[one.name][what]
        ]
        for one, next_ in steps
    }
    grown = listed(f"{what} {figure(ratio)} times" for what, ratio in growth.items())
    predicted = growth["depth"] * growth["width"] ** 2 * growth["resolution"] ** 2
    explanation = (
        f"From {first.name} to {last.name} grow {grown}; MACs {figure(macs)} times, where depth times the "
        f"squares of width and resolution would give {figure(predicted)}."
    )
    still = [f"{listed(what)} from {a} to {b}" for (a, b), what in stopped.items() if what]
    if still:
        explanation += f" What does not grow: {'; '.join(still)}."
    parts = [PartResult(f"{a} to {b}", not what) for (a, b), what in stopped.items()]
    computed = ", ".join(f"{what} x{ratio:.2f}" for what, ratio in growth.items())
    return Outcome(parts, computed, explanation, evidence)


def _sizes_of(network: Network) -> dict[str, int]:
    return {
        "depth": depth(network.wiring),
        "width": network.convolutions[-1].out_channels,
        "resolution": network.input_shape[-1],
    }


@check
def modules_and_stages(network: Network, modules: int, stages: int) -> Outcome:
    """Whether `network` has so many modules that join branches, and it or they so many sizes of map."""
    joined = network.nodes("Concat")
    joined_px = sorted({one.shape[-1] for one in joins(network.wiring)}, reverse=True)
    sides = sorted({layer.output[-1] for layer in network.convolutions}, reverse=True)
    sizes, at = (", ".join(map(str, each)) for each in (sides, joined_px))
    parts = [
        PartResult(f"{modules} modules, in {place}", joined == modules and len(found) == stages)
        for place, found in (
            (f"a network of {stages} stages", sides),
            (f"{stages} stages themselves", joined_px),
        )
    ]
    explanation = (
        f"{network.name} joins branches {joined} times and convolves at {len(sides)} map sizes, "
        f"{sizes} px, and joins at {len(joined_px)} of them, {at or 'none'}."
    )
    evidence: dict[str, Value] = {
        "concatenations": joined,
        "map_sizes_px": sizes,
        "joined_at_px": at,
    }
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
