"""Where in a network the parameters sit, and how much memory they take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from deploykit.claims.checks.parameters import within
from deploykit.claims.claim import Claim
from deploykit.claims.measured import MeasuredRow
from deploykit.claims.networks import Layer, counts, layers
from deploykit.claims.registry import check
from deploykit.claims.verdict import Finding, Value
from deploykit.claims.wording import figure, listed, millions, percent

_BYTES_FP32 = 4

#: Weights, their gradients, and the two moments that optimisers such as Adam keep of each.
_COPIES_IN_TRAINING = 4


def linear_layers(model: str) -> list[Layer]:
    """The fully connected layers of a catalogue network, in order."""
    return [layer for layer in layers(model) if layer.kind == "linear"]


@check
def linear_share(
    claim: Claim,
    rows: Iterable[MeasuredRow],
    /,
    *,
    model: str,
    first: int | None = None,
    others: Sequence[str] = (),
) -> Finding:
    """Whether more than the stated share of parameters is in the fully connected layers.

    `first` counts only so many of them, from the input on; the shares of `others` are given beside it.
    """
    if isinstance(claim.stated, str):
        raise ValueError(f"claim {claim.id}: a stated share is needed")
    shares = {name: _linear_share(name, first) for name in (model, *others)}
    evidence: dict[str, Value] = {
        f"linear_share({name})": round(share, 4) for name, share in shares.items()
    }
    which = "fully connected layers" if first is None else "first fully connected layer"
    held = sum(layer.parameters for layer in linear_layers(model)[:first])
    evidence[f"parameters({model}, {which})"] = held
    explanation = (
        f"The {which} of {model} hold{'s' if first == 1 else ''} {millions(held)} of "
        f"{millions(counts(model).parameters)} parameters, {percent(shares[model])}."
    )
    if others:
        explanation += f" {listed(f'{n} has {percent(shares[n])}' for n in others)} there."
    return Finding(
        {claim.about: shares[model] > claim.stated}, shares[model], explanation, evidence
    )


@check
def parameters_growth(
    claim: Claim, rows: Iterable[MeasuredRow], /, *, models: Sequence[str]
) -> Finding:
    """Whether parameters grow by no more than the stated share from the first to the last of `models`.

    The second part is the reason given: that most sit in the fully connected layers of each.
    """
    if isinstance(claim.stated, str):
        raise ValueError(f"claim {claim.id}: a stated growth is needed")
    totals = {name: counts(name) for name in models}
    smallest, largest = totals[models[0]], totals[models[-1]]
    growth = largest.parameters / smallest.parameters - 1
    work = largest.macs / smallest.macs
    shares = {name: _linear_share(name) for name in models}
    evidence: dict[str, Value] = {f"parameters({n})": totals[n].parameters for n in models}
    evidence |= {f"linear_share({n})": round(shares[n], 4) for n in models}
    evidence[f"macs({models[-1]})/macs({models[0]})"] = round(work, 4)
    explanation = (
        f"From {models[0]} to {models[-1]} parameters grow from {millions(smallest.parameters)} to "
        f"{millions(largest.parameters)}, {percent(growth, signed=True)}, because "
        f"{percent(shares[models[-1]])} to {percent(shares[models[0]])} of them are in the fully connected "
        f"layers, which stay the same. The work does grow: MACs times {figure(work)}."
    )
    holds = {
        "growth of parameters": growth <= claim.stated,
        "most in fully connected layers": min(shares.values()) > 0.5,
    }
    return Finding(holds, growth, explanation, evidence)


@check
def hidden_linear_bytes(claim: Claim, rows: Iterable[MeasuredRow], /, *, model: str) -> Finding:
    """Bytes of the fully connected layers but the last, as float32, against the stated MB (10^6)."""
    hidden = linear_layers(model)[:-1]
    parameters = sum(layer.parameters for layer in hidden)
    size_mb = parameters * _BYTES_FP32 / 1e6
    training_mb = size_mb * _COPIES_IN_TRAINING
    evidence: dict[str, Value] = {f"parameters({n.name})": n.parameters for n in hidden}
    evidence["float32_mb"] = round(size_mb, 3)
    evidence["training_mb(four copies)"] = round(training_mb, 3)
    explanation = (
        f"The {len(hidden)} hidden fully connected layers of {model} hold {millions(parameters)} parameters, "
        f"{size_mb:.0f} MB as float32. Training with Adam keeps four copies (weights, gradients, two moments), "
        f"{training_mb:.0f} MB, which is as near as it comes."
    )
    return Finding({claim.about: within(claim, size_mb)}, size_mb, explanation, evidence)


@check
def weights_below(
    claim: Claim,
    rows: Iterable[MeasuredRow],
    /,
    *,
    model: str,
    below_mb: float,
    bits: Mapping[str, int],
    published_mb: Mapping[str, float],
) -> Finding:
    """Whether the weights of `model` take less than `below_mb` (10^6 bytes) at each of some precisions.

    `bits` per weight by precision are counted; `published_mb` are sizes that a paper printed for compressed
    files, which can't be counted from the structure.
    """
    parameters = counts(model).parameters
    sizes_mb = {name: parameters * width / 8 / 1e6 for name, width in bits.items()}
    needed_bits = below_mb * 1e6 * 8 / parameters
    holds = {name: size < below_mb for name, size in sizes_mb.items()}
    holds |= {f"{name} (published)": size < below_mb for name, size in published_mb.items()}
    evidence: dict[str, Value] = {f"mb({n})": round(size, 4) for n, size in sizes_mb.items()}
    evidence |= {f"published_mb({name})": size for name, size in published_mb.items()}
    evidence["bits_per_weight_needed"] = round(needed_bits, 3)
    smallest = min(sizes_mb.values())
    explanation = (
        f"The {figure(parameters)} parameters of {model} take "
        f"{listed(f'{size:.2f} MB in {name}' for name, size in sizes_mb.items())}; below {below_mb:g} MB means "
        f"{needed_bits:.1f} bits per weight on average, so pruning and coding too. Published: "
        f"{listed(f'{size:g} MB with {name}' for name, size in published_mb.items())}."
    )
    return Finding(dict(holds), f"{smallest:.2f} MB or more, uncompressed", explanation, evidence)


def _linear_share(model: str, first: int | None = None) -> float:
    held = sum(layer.parameters for layer in linear_layers(model)[:first])
    return held / counts(model).parameters
