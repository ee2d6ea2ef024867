"""Claims about how layers are joined: what follows what, what branches do, what is added and scaled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from deploykit.claims import wiring
from deploykit.claims.check import check
from deploykit.claims.networks import Network
from deploykit.claims.verdict import Outcome, PartResult, Value, listed
from deploykit.claims.wiring import Operation


class Following(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What should read the outputs of some operations.

    Attributes:
        network: whose operations.
        after: their name, as in `wiring.Operation`.
        comes: names of what may read their outputs; "nothing" where they are the network's output.
        within: part of the name of the module that they run in.
    """

    network: Network
    after: str
    comes: tuple[str, ...]
    within: str = ""


@check
def followed_by(sequences: Mapping[str, Following]) -> Outcome:
    """Whether all that reads the operations named is what is stated, and there are such operations."""
    parts, evidence, sentences = [], dict[str, Value](), []
    for name, each in sequences.items():
        readers = wiring.readers(each.network.wiring)
        chosen = [
            one
            for one in each.network.wiring
            if one.name == each.after and each.within in one.module
        ]
        found: Counter[str] = Counter()
        for one in chosen:
            found.update({reader.name for reader in readers[one.index]} or {"nothing"})
        right = bool(chosen) and set(found) <= set(each.comes)
        parts.append(PartResult(name, right))
        evidence[
            f"after {each.after}({each.network.name}{f', {each.within}' if each.within else ''})"
        ] = ", ".join(f"{count} {what}" for what, count in found.most_common())
        sentences.append(
            f"after the {len(chosen)} {each.after} operations of {each.network.name}"
            f"{f' within {each.within}' if each.within else ''} come "
            f"{listed(f'{count} times {what}' for what, count in found.most_common()) or 'none'}"
        )
    held = sum(bool(part.holds) for part in parts)
    text = "; ".join(sentences)
    return Outcome(parts, f"{held} of {len(parts)}", f"{text[:1].upper()}{text[1:]}.", evidence)


@check
def added_alike(networks: tuple[Network, ...]) -> Outcome:
    """Whether the two sides of every addition of two activations have one shape, in each network."""
    parts, evidence, sentences = [], dict[str, Value](), []
    for network in networks:
        additions = [o for o in network.wiring if o.name == "add" and len(o.reads) == 2]
        same = sum(one.shapes[0] == one.shapes[1] == one.shape for one in additions)
        parts.append(PartResult(network.name, same == len(additions) > 0))
        evidence[f"same shape({network.name})"] = f"{same} of {len(additions)}"
        sentences.append(f"{same} of {len(additions)} in {network.name}")
    explanation = f"Additions of which both sides have the same shape: {listed(sentences)}."
    held = sum(bool(part.holds) for part in parts)
    return Outcome(parts, f"{held} of {len(parts)}", explanation, evidence)


@check
def scales_channels_by_averages(networks: tuple[Network, ...]) -> Outcome:
    """Whether every product of two activations scales channels by one number each, made from a global average."""
    parts, evidence, sentences = [], dict[str, Value](), []
    for network in networks:
        operations = network.wiring
        products = [o for o in operations if o.name == "mul" and len(o.reads) == 2]
        per_channel = [o for o in products if (o.shape[0], 1, 1) in o.shapes]
        averaged = [o for o in per_channel if _from_average(operations, o)]
        parts += [
            PartResult(
                f"{network.name}: a number per channel", len(per_channel) == len(products) > 0
            ),
            PartResult(
                f"{network.name}: from a global average", len(averaged) == len(products) > 0
            ),
        ]
        evidence[f"products({network.name})"] = len(products)
        evidence[f"per channel({network.name})"] = len(per_channel)
        evidence[f"from an average({network.name})"] = len(averaged)
        sentences.append(
            f"of {len(products)} products in {network.name}, {len(per_channel)} scale by a value per channel and "
            f"{len(averaged)} of these come from a global average"
        )
    text = "; ".join(sentences)
    held = sum(bool(part.holds) for part in parts)
    return Outcome(parts, f"{held} of {len(parts)}", f"{text[:1].upper()}{text[1:]}.", evidence)


def _from_average(operations: Sequence[Operation], product: Operation) -> bool:
    """Whether the factor of one value per channel goes back to an average, through layers on single pixels."""
    factor = (product.shape[0], 1, 1)
    index = product.reads[product.shapes.index(factor)]
    while index >= 0:
        operation = operations[index]
        if operation.name == "average":
            return True
        if operation.shape[1:] not in ((1, 1), ()):
            return False
        index = operation.reads[0]
    return False


class _Module:
    """A module whose last operation joins branches."""

    def __init__(self, operations: Sequence[Operation], join: Operation) -> None:
        self.join = join
        self._operations = operations
        prefix = f"{join.module}."
        self._inside = {
            o.index for o in operations if o.module == join.module or o.module.startswith(prefix)
        }

    @property
    def side_in_px(self) -> int:
        """Side of the map that its branches read."""
        return max(
            shape[-1]
            for index in self._inside
            for source, shape in zip(
                self._operations[index].reads, self._operations[index].shapes, strict=True
            )
            if source not in self._inside
        )

    def branches(self) -> Iterator[list[Operation]]:
        """Operations of each branch from the input to the join, following what each reads first."""
        for source in self.join.reads:
            chain: list[Operation] = []
            while source in self._inside:
                chain.append(self._operations[source])
                source = self._operations[source].reads[0]
            yield chain[::-1]


def _modules(network: Network) -> list[_Module]:
    """Modules that end in a concatenation; of several in one module the last counts."""
    last = {join.module: join for join in wiring.joins(network.wiring)}
    return [_Module(network.wiring, join) for join in last.values()]


@check
def modules_keep_size(networks: tuple[Network, ...]) -> Outcome:
    """Whether every module that joins branches puts out maps of the size that it reads."""
    parts, evidence, sentences = [], dict[str, Value](), []
    for network in networks:
        modules = _modules(network)
        other = [m for m in modules if m.join.shape[-1] != m.side_in_px]
        parts.append(PartResult(network.name, not other and bool(modules)))
        sizes = [f"{m.side_in_px} to {m.join.shape[-1]} px in {m.join.module}" for m in other]
        evidence[f"modules({network.name})"] = len(modules)
        evidence[f"other size({network.name})"] = ", ".join(sizes) or "none"
        sentences.append(
            f"{len(modules) - len(other)} of {len(modules)} modules of {network.name} keep the size"
            f"{f' (not: {listed(sizes)})' if sizes else ''}"
        )
    held = sum(bool(part.holds) for part in parts)
    text = "; ".join(sentences)
    return Outcome(parts, f"{held} of {len(parts)}", f"{text}.", evidence)


@check
def pointwise_branch_is_shortcut(network: Network) -> Outcome:
    """Whether a branch of each module passes its input on unchanged, and is added to the rest, as shortcuts do."""
    modules = _modules(network)
    single = unchanged = 0
    for module in modules:
        for branch in module.branches():
            convolutions = [o for o in branch if o.name == "conv"]
            single += [o.kernel for o in convolutions] == [(1, 1)] and branch[0].name == "conv"
            unchanged += not branch
    added = sum(o.name == "add" and len(o.reads) == 2 for o in network.wiring)
    parts = [
        PartResult("passes its input on unchanged", unchanged == len(modules) > 0),
        PartResult("is added to the others", added >= len(modules) > 0),
    ]
    evidence: dict[str, Value] = {
        "modules": len(modules),
        "branches of one 1x1 convolution": single,
        "branches that pass the input on": unchanged,
        "additions": added,
    }
    explanation = (
        f"Of the {len(modules)} modules of {network.name}, {single} have a branch of one 1x1 convolution with "
        "weights "
        f"and a ReLU of its own; {unchanged} pass their input on unchanged, and the network adds {added} "
        "times: branches "
        "are concatenated."
    )
    return Outcome(parts, unchanged, explanation, evidence)


@check
def filters_in_order(orders: Mapping[str, Literal["1x1 first", "1x1 last"]]) -> Outcome:
    """Whether the networks, by name, filter across channels before or after they filter in space.

    Looked at are pairs of a 1x1 and a larger convolution in one branch of a module that joins branches, and
    pairs of a depthwise and a 1x1 convolution with nothing between, in networks without such modules.
    """
    parts, evidence, sentences = [], dict[str, Value](), []
    for name, order in orders.items():
        pairs = Counter(_orders(Network.named(name)))
        right = pairs[order] == pairs.total() > 0
        parts.append(PartResult(f"{name}: {order}", right))
        evidence |= {f"{which}({name})": pairs[which] for which in ("1x1 first", "1x1 last")}
        sentences.append(
            f"{name} filters by 1x1 first in {pairs['1x1 first']} and last in {pairs['1x1 last']} of "
            f"{pairs.total()} cases"
        )
    held = sum(bool(part.holds) for part in parts)
    return Outcome(parts, f"{held} of {len(parts)}", f"{'; '.join(sentences)}.", evidence)


def _orders(network: Network) -> Iterator[str]:
    modules = _modules(network)
    for module in modules:
        for branch in module.branches():
            kernels = [o.kernel for o in branch if o.name == "conv"]
            if (1, 1) in kernels and any(k != (1, 1) for k in kernels):
                yield "1x1 first" if kernels[0] == (1, 1) else "1x1 last"
    if modules:
        return
    operations = network.wiring
    for operation in operations:
        if operation.name == "conv" and operation.reads[0] >= 0:
            before = operations[operation.reads[0]]
            if before.name == "conv" and (before.kernel == (1, 1)) != (operation.kernel == (1, 1)):
                yield "1x1 first" if before.kernel == (1, 1) else "1x1 last"


@check
def maps_shrink_by_pooling(networks: tuple[Network, ...], by_half: float) -> Outcome:
    """Whether no layer's map is larger than what it reads, and whether pools alone make maps smaller.

    A map is made smaller where its side is at most `by_half` of what was read; unpadded kernels cut off less.
    """
    parts, evidence, sentences = [], dict[str, Value](), []
    grown = 0
    for network in networks:
        steps = [o for o in network.wiring if len(o.shape) == 3 and len(o.shapes[0]) == 3]
        grown += sum(o.shape[-1] > o.shapes[0][-1] for o in steps)
        smaller = Counter(
            o.name
            for o in steps
            if o.shape[-1] <= by_half * o.shapes[0][-1] and o.name in ("conv", "maxpool", "avgpool")
        )
        pools = smaller["maxpool"] + smaller["avgpool"]
        parts.append(PartResult(f"by pools alone: {network.name}", pools == smaller.total() > 0))
        evidence[f"smaller by({network.name})"] = ", ".join(f"{n} {w}" for w, n in smaller.items())
        sentences.append(f"{network.name} by {pools} pools and {smaller['conv']} convolutions")
    parts.insert(0, PartResult("maps never grow", not grown))
    explanation = f"Maps are made smaller in {listed(sentences)}; {grown} layers make them larger."
    computed = f"{sum(bool(p.holds) for p in parts[1:])} of {len(networks)} by pools alone"
    return Outcome(parts, computed, explanation, evidence)
