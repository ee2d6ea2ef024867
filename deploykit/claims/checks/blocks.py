"""The blocks that networks repeat, by how they are wired: shortcuts, bottlenecks, dense layers, excitation."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from deploykit.claims.check import check
from deploykit.claims.excitation import with_excitation
from deploykit.claims.margin import Margin, Stated
from deploykit.claims.networks import Network
from deploykit.claims.operations import Operation, joined, shortcuts
from deploykit.claims.tracing import NetworkLayer
from deploykit.claims.verdict import Outcome, PartResult, Value, figure, listed, millions, percent


@check
def shortcuts_without_parameters(stated: Stated, margin: Margin, network: Network) -> Outcome:
    """Whether the shortcuts of `network` have as many parameters each as stated, which is none.

    Where the shape stays, and where it changes.
    """
    weights = {layer.name: layer.parameters for layer in network.layers}
    found = [
        (one.keeps_shape, sum(weights[name] for name in one.modules))
        for one in shortcuts(network.operations)
    ]
    kept, changed = ([size for keeps, size in found if keeps is wanted] for wanted in (True, False))
    parameters = sum(kept) + sum(changed)
    evidence: dict[str, Value] = {
        "shortcuts": len(found),
        "shortcuts(shape kept)": len(kept),
        "shortcuts(with parameters)": sum(size > 0 for size in kept + changed),
        "parameters(shortcuts)": parameters,
        "share": round(parameters / network.parameters, 4),
    }
    parts = [
        PartResult(name, bool(sizes) and all(margin.agrees(size, stated) for size in sizes))
        for name, sizes in (("where the shape stays", kept), ("where the shape changes", changed))
    ]
    explanation = (
        f"Of {len(found)} residual sums in {network.name}, {len(kept)} keep the shape and have "
        f"{millions(sum(kept))} parameters on their shortcuts; {len(changed)} change channels or size and have "
        f"{millions(sum(changed))}, {percent(sum(changed) / network.parameters)} of the network."
    )
    return Outcome(parts, parameters, explanation, evidence)


@check
def bottleneck_saves(stated: Stated, margin: Margin, network: Network, block: str) -> Outcome:
    """Weights of a bottleneck block over those of two 3x3 convolutions on as many channels."""
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
    part = PartResult("fewer parameters", margin.agrees(weights / plain, stated))
    return Outcome([part], weights / plain, explanation, evidence)


@check
def connects_to_all_previous(network: Network, block: str, layer: str) -> Outcome:
    """Whether each layer of a dense block reads the block's input and the outputs of all layers before it.

    Names of blocks contain `block` and their layers' first convolutions end in `layer`. Across blocks: whether the
    first layer of each reads those of the block before.
    """
    operations = network.operations
    blocks: dict[str, list[tuple[frozenset[int], int]]] = {}
    for number, one in enumerate(operations):
        name, _, inner = one.module.rpartition(f".{layer}")
        if one.kind == "conv" and block in one.module and name and not inner:
            read = _read_by(operations, number)
            blocks.setdefault(name.rpartition(".")[0], []).append(
                (read, _last_of(operations, name))
            )
    layers = [layer for found in blocks.values() for layer in found]
    dense = sum(
        read == found[0][0] | {output for _, output in found[:number]}
        for found in blocks.values()
        for number, (read, _) in enumerate(found)
    )
    chained = list(blocks.values())
    across = sum(
        {output for _, output in before} <= after[0][0] for before, after in pairwise(chained)
    )
    evidence: dict[str, Value] = {
        name: " ".join(str(len(read)) for read, _ in found) for name, found in blocks.items()
    }
    evidence |= {
        "layers": len(layers),
        "layers_that_read_all": dense,
        "blocks_that_read_all": across,
    }
    parts = [
        PartResult("within a block", len(layers) == dense > 0),
        PartResult("across blocks", len(chained) - 1 == across > 0),
    ]
    explanation = (
        f"{dense} of {len(layers)} layers in the {len(blocks)} blocks of {network.name} read the input of their "
        f"block and what every layer before them put out; {across} of {max(0, len(blocks) - 1)} blocks read the "
        "layers of the block before, as between blocks stand transitions that mix and thin what came."
    )
    return Outcome(
        parts, "all" if all(part.holds for part in parts) else "not all", explanation, evidence
    )


def _read_by(operations: tuple[Operation, ...], place: int) -> frozenset[int]:
    """What a convolution reads, through its normalisation and ReLU, concatenations taken apart."""
    (source,) = operations[place].sources
    while source >= 0 and operations[source].kind in ("batchnorm", "relu"):
        source = operations[source].sources[0]
    return joined(operations, source)


def _last_of(operations: tuple[Operation, ...], name: str) -> int:
    """The last operation of the module `name`."""
    return max(n for n, one in enumerate(operations) if f"{one.module}.".startswith(f"{name}."))


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
def excitation_fits(networks: tuple[Network, ...], reduction: int) -> Outcome:
    """Whether SE can be put behind every spatial convolution of each of `networks`, and they still run.

    Held is that as many blocks run as there are places, each of two fully connected layers and a product with the
    map, and that the network's output keeps its shape.
    """
    parts: list[PartResult] = []
    evidence: dict[str, Value] = {}
    sentences = []
    for network in networks:
        places = sum(layer.kernel > (1, 1) for layer in network.convolutions)
        plain, products, shape = network.counts, network.nodes("Mul"), network.operations[-1].shape
        with with_excitation(network, reduction) as excited:
            ran = _blocks(excited, "se")
            dense = {_dense(block) for block in ran.values()}
            products = excited.nodes("Mul") - products
            same = excited.operations[-1].shape == shape
            added = excited.parameters / plain.parameters - 1
            work = excited.macs / plain.macs - 1
        evidence[f"blocks({network.name})"] = len(ran)
        evidence[f"parameters_added({network.name})"] = round(added, 4)
        evidence[f"macs_added({network.name})"] = round(work, 6)
        fits = len(ran) == places == products > 0
        parts.append(PartResult(network.name, fits and dense == {2} and same))
        sentences.append(f"{network.name} {len(ran)} and {percent(added, signed=True)} parameters")
    return Outcome(
        parts,
        f"{sum(part.holds is True for part in parts)} of {len(parts)} networks",
        f"Put behind every spatial convolution: {listed(sentences)}. That is {len(networks)} networks of all there "
        "could be.",
        evidence,
    )


@check
def excitation_costs(
    stated: Stated, margin: Margin, network: Network, base: Network, part: str
) -> Outcome:
    """Parameters and MACs of `network` over those of `base`, which differs by the blocks called `part`."""
    blocks = _blocks(network, part)
    parameters, macs = network.parameters / base.parameters, network.macs / base.macs
    added = network.parameters - base.parameters
    inside = sum(layer.parameters for block in blocks.values() for layer in block)
    evidence: dict[str, Value] = {
        "blocks": len(blocks),
        "parameters_added": added,
        "parameters(blocks)": inside,
        "parameters_added_share": round(parameters - 1, 4),
        "macs_added_share": round(macs - 1, 6),
    }
    parts = [
        PartResult("two fully connected layers each", {_dense(b) for b in blocks.values()} == {2}),
        PartResult("nothing else changes", added == inside),
        PartResult("few parameters", margin.agrees(parameters, stated)),
        PartResult("little work", margin.agrees(macs, stated)),
    ]
    explanation = (
        f"{len(blocks)} blocks turn {base.name} into {network.name}: {figure(added)} parameters more, "
        f"{percent(parameters - 1, signed=True)}, and MACs {(macs - 1) * 100:+.2f}%."
    )
    return Outcome(parts, parameters, explanation, evidence)


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
