"""Squeeze-and-excitation: what its block is made of, and what it adds to a network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from deploykit.claims.claim import Claim
from deploykit.claims.measured import MeasuredRow
from deploykit.claims.networks import Layer, counts, layers
from deploykit.claims.registry import check
from deploykit.claims.verdict import Finding, Value
from deploykit.claims.wording import figure, percent


def _blocks(model: str, part: str) -> dict[str, list[Layer]]:
    """Layers of each block, by the name up to and with `part`."""
    blocks: dict[str, list[Layer]] = {}
    for layer in layers(model):
        before, dot, _ = layer.name.partition(f".{part}.")
        if dot:
            blocks.setdefault(f"{before}.{part}", []).append(layer)
    return blocks


def _dense(block: list[Layer]) -> int:
    """Fully connected layers of a block; a 1x1 convolution of a 1x1 map is one."""
    return sum(
        layer.kind == "linear" or (layer.kind == "conv" and layer.output[1:] == (1, 1))
        for layer in block
    )


@check
def excitation_is_one_layer_and_softmax(
    claim: Claim, rows: Iterable[MeasuredRow], /, *, model: str, part: str
) -> Finding:
    """Whether the blocks called `part` have one fully connected layer, end in a softmax, and sum."""
    blocks = _blocks(model, part)
    dense = {_dense(block) for block in blocks.values()}
    last = Counter(block[-1].kind for block in blocks.values())
    operators = counts(model).by_operator
    softmax = operators["Softmax"].nodes if "Softmax" in operators else 0
    products = operators["Mul"].nodes if "Mul" in operators else 0
    evidence: dict[str, Value] = {
        "blocks": len(blocks),
        "fully_connected_per_block": " ".join(map(str, sorted(dense))),
        "last_activation": " ".join(last),
        "Softmax": softmax,
        "Mul": products,
    }
    holds = {
        "one fully connected layer": dense == {1},
        "softmax": softmax >= len(blocks) > 0,
        "sum instead of product": products < len(blocks),
    }
    explanation = (
        f"Each of the {len(blocks)} blocks of {model} has {' or '.join(map(str, sorted(dense)))} fully connected "
        f"layers and ends in a {' or '.join(last).lower()}; the network has {softmax} softmax operators, and "
        f"{products} products, by which the channels are scaled."
    )
    return Finding(
        dict(holds), f"{max(dense)} + {' or '.join(last).lower()}", explanation, evidence
    )


@check
def excitation_costs_little(
    claim: Claim,
    rows: Iterable[MeasuredRow],
    /,
    *,
    model: str,
    base: str,
    part: str,
    parameters_at_most: float,
    macs_at_most: float,
) -> Finding:
    """What `model` has more than `base`, which differs by the blocks called `part`; each as a share."""
    blocks = _blocks(model, part)
    dense = {_dense(block) for block in blocks.values()}
    parameters = counts(model).parameters / counts(base).parameters - 1
    macs = counts(model).macs / counts(base).macs - 1
    added = counts(model).parameters - counts(base).parameters
    inside = sum(layer.parameters for block in blocks.values() for layer in block)
    evidence: dict[str, Value] = {
        "blocks": len(blocks),
        "parameters_added": added,
        "parameters(blocks)": inside,
        "parameters_added_share": round(parameters, 4),
        "macs_added_share": round(macs, 6),
    }
    holds = {
        "two fully connected layers each": dense == {2},
        "nothing else changes": added == inside,
        "few parameters": parameters <= parameters_at_most,
        "little work": macs <= macs_at_most,
        "any model": None,
    }
    explanation = (
        f"{len(blocks)} blocks turn {base} into {model}: {figure(added)} parameters more, "
        f"{percent(parameters, signed=True)}, and MACs {macs * 100:+.2f}%. That it fits any model is not "
        "checked."
    )
    return Finding(dict(holds), parameters, explanation, evidence)
