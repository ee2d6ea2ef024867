"""Fully connected layers: whether networks have them, and what of the parameters sits in them."""

from __future__ import annotations

from deploykit.claims.check import check
from deploykit.claims.margin import Margin, Stated
from deploykit.claims.networks import BYTES_FP32, Network, refuse_one_alone
from deploykit.claims.verdict import (
    Outcome,
    PartResult,
    Value,
    figure,
    listed,
    millions,
    percent,
)

#: Weights, their gradients, and the two moments that optimisers such as Adam keep of each.
_COPIES_IN_TRAINING = 4


@check
def linear_share(
    stated: Stated,
    margin: Margin,
    about: str,
    network: Network,
    first: int | None = None,
    others: tuple[Network, ...] = (),
) -> Outcome:
    """Whether the stated share of parameters is in the fully connected layers.

    `first` counts only so many of them, from the input on; the shares of `others` are given beside it.
    """
    shares = {n.name: _share(n, first) for n in (network, *others)}
    share = shares.pop(network.name)
    which = "fully connected layers" if first is None else "first fully connected layer"
    held = _held(network, first)
    evidence: dict[str, Value] = {f"linear_share({network.name})": round(share, 4)}
    evidence |= {f"linear_share({name})": round(other, 4) for name, other in shares.items()}
    evidence[f"parameters({network.name}, {which})"] = held
    explanation = (
        f"The {which} of {network.name} hold{'s' if first == 1 else ''} {millions(held)} of "
        f"{millions(network.parameters)} parameters, {percent(share)}."
    )
    if shares:
        beside = listed(f"{name} has {percent(other)}" for name, other in shares.items())
        explanation += f" {beside} there."
    return Outcome([PartResult(about, margin.agrees(share, stated))], share, explanation, evidence)


@check
def parameters_growth(stated: Stated, margin: Margin, networks: tuple[Network, ...]) -> Outcome:
    """Whether parameters grow by the stated factor from the first to the last of `networks`.

    The second part is the reason given: that most sit in the fully connected layers of each.

    Raises:
        UsageError: there are fewer than two networks.
    """
    refuse_one_alone(networks)
    smallest, largest = networks[0], networks[-1]
    growth = largest.parameters / smallest.parameters - 1
    work = largest.macs / smallest.macs
    shares = {network.name: _share(network) for network in networks}
    evidence: dict[str, Value] = {f"parameters({n.name})": n.parameters for n in networks}
    evidence |= {f"linear_share({name})": round(share, 4) for name, share in shares.items()}
    evidence[f"macs({largest.name})/macs({smallest.name})"] = round(work, 4)
    explanation = (
        f"From {smallest.name} to {largest.name} parameters grow from {millions(smallest.parameters)} to "
        f"{millions(largest.parameters)}, {percent(growth, signed=True)}, because "
        f"{percent(shares[largest.name])} to {percent(shares[smallest.name])} of them are in the fully "
        f"connected layers, which stay the same. The work does grow: MACs times {figure(work)}."
    )
    parts = [
        PartResult("growth of parameters", margin.agrees(1 + growth, stated)),
        PartResult("most in fully connected layers", min(shares.values()) > 0.5),
    ]
    return Outcome(parts, 1 + growth, explanation, evidence)


@check
def hidden_linear_bytes(stated: Stated, margin: Margin, about: str, network: Network) -> Outcome:
    """Bytes of the fully connected layers but the last, as float32, against the stated MB (10^6)."""
    hidden = network.linear_layers[:-1]
    parameters = sum(layer.parameters for layer in hidden)
    size_mb = parameters * BYTES_FP32 / 1e6
    training_mb = size_mb * _COPIES_IN_TRAINING
    evidence: dict[str, Value] = {f"parameters({n.name})": n.parameters for n in hidden}
    evidence["float32_mb"] = round(size_mb, 3)
    evidence["training_mb(four copies)"] = round(training_mb, 3)
    explanation = (
        f"The {len(hidden)} hidden fully connected layers of {network.name} hold {millions(parameters)} "
        f"parameters, {size_mb:.0f} MB as float32. Training with Adam keeps four copies (weights, gradients, "
        f"two moments), {training_mb:.0f} MB, which is as near as it comes."
    )
    part = PartResult(about, margin.agrees(size_mb, stated))
    return Outcome([part], size_mb, explanation, evidence)


@check
def more_linear_layers(
    stated: Stated, margin: Margin, networks: tuple[Network, ...], than: Network
) -> Outcome:
    """By how many fully connected layers each of `networks` has more than `than`."""
    numbers = {network.name: linear_operations(network) for network in networks}
    fewest = linear_operations(than)
    evidence: dict[str, Value] = {f"linear_layers({than.name})": fewest}
    evidence |= {f"linear_layers({name})": number for name, number in numbers.items()}
    explanation = (
        f"{than.name} has {fewest} fully connected layers, "
        f"{listed(f'{name} {number}' for name, number in numbers.items())}."
    )
    parts = [PartResult(name, margin.agrees(n - fewest, stated)) for name, n in numbers.items()]
    return Outcome(parts, max(numbers.values()) - fewest, explanation, evidence)


@check
def no_linear_layers(
    stated: Stated,
    margin: Margin,
    networks: tuple[Network, ...],
    fewer_than: Network | None = None,
    averaged: bool = False,
) -> Outcome:
    """Whether each of `networks` has as many fully connected layers as stated, which is none.

    With `fewer_than`, also whether each has much fewer parameters than that network; with `averaged`, also
    whether it averages its last maps as a whole.
    """
    parts: list[PartResult] = []
    evidence: dict[str, Value] = {}
    sentences = []
    numbers = {network.name: linear_operations(network) for network in networks}
    far_fewer = Margin("much less")
    for network in networks:
        name, number = network.name, numbers[network.name]
        if averaged:
            averages = sum(one.is_global_average for one in network.operations)
            evidence[f"global_averages({name})"] = averages
            parts.append(PartResult(f"{name} averages its maps", averages > 0, name))
        wanted = figure(stated) if stated else "none"
        parts.append(PartResult(f"{name} has {wanted}", margin.agrees(number, stated), name))
        evidence[f"linear_layers({name})"] = number
        held = f"{number}, {millions(_held(network))} of {millions(network.parameters)} parameters"
        sentences.append(f"{name} has {held if number else 'none'}")
        if fewer_than is not None:
            ratio = network.parameters / fewer_than.parameters
            evidence[f"parameters({name})/parameters({fewer_than.name})"] = round(ratio, 4)
            parts.append(
                PartResult(f"{name} has far fewer parameters", far_fewer.agrees(ratio, 1), name)
            )
            sentences[-1] += f" and {figure(ratio)} times the parameters of {fewer_than.name}"
        if averaged:
            sentences[-1] += f" and averages its maps {evidence[f'global_averages({name})']} times"
    explanation = f"Fully connected layers: {listed(sentences)}."
    return Outcome(parts, max(numbers.values()), explanation, evidence)


def linear_operations(network: Network) -> int:
    """How many fully connected layers are run, by modules or not."""
    return sum(one.kind == "linear" for one in network.operations)


def _held(network: Network, first: int | None = None) -> int:
    """Parameters of the first so many fully connected layers, or of all."""
    return sum(layer.parameters for layer in network.linear_layers[:first])


def _share(network: Network, first: int | None = None) -> float:
    return _held(network, first) / network.parameters
