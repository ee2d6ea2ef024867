"""What width (alpha) and resolution (rho) do to a network's cost, and the depthwise separable layers they act on.

A cost goes with a power of a multiplier where cost / (cost at 1 * multiplier^power) is 1: that is what is held
against the claim's margin, as it means the same of MACs, parameters and milliseconds and at every multiplier.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import msgspec

from deploykit.claims.check import MeasuredRow, by_setting, check, distinct_label
from deploykit.claims.margin import Margin, Stated
from deploykit.claims.networks import Network
from deploykit.claims.row_ratio import RowRatio, confidence_of_each, row_ratio
from deploykit.claims.verdict import Outcome, PartResult, Value, all_hold, figure, listed, percent

#: Costs over the one at resolution 1, by resolution.
Ratios = Mapping[Fraction, float]


@dataclass(frozen=True)
class Power:
    """The stated power of a multiplier, the share of it that is found where it is met, and the margin of both."""

    exponent: float
    stated: Stated
    margin: Margin

    def share(self, multiplier: float | Fraction, ratio: float) -> float:
        """A cost over the one at multiplier 1, as a share of what the power makes of it."""
        return float(ratio / float(multiplier) ** self.exponent)

    def meets(self, multiplier: float | Fraction, ratio: float) -> bool:
        """Whether a cost over the one at multiplier 1 goes with the power."""
        return self.side(multiplier, ratio) == 0

    def side(self, multiplier: float | Fraction, ratio: float) -> int:
        """0 where it does, else on which side of that it is."""
        return self.margin.side(self.share(multiplier, ratio), self.stated)

    def parts(self, what: str, ratios: Mapping[float, float] | Ratios) -> list[PartResult]:
        """Whether a cost goes with the power, multiplier by multiplier."""
        return [PartResult(f"{what} at {_written(m)}", self.meets(m, r)) for m, r in ratios.items()]

    def farthest(self, ratios: Mapping[float, float] | Ratios) -> float:
        """The share that is farthest from the stated one."""
        shares = [self.share(m, r) for m, r in ratios.items()]
        return max(shares, key=lambda share: abs(share - self.stated))


@check
def width_power(
    rows: Sequence[MeasuredRow],
    stated: Stated,
    margin: Margin,
    network: Network,
    alphas: tuple[float, ...],
    exponent: float,
) -> Outcome:
    """MACs, parameters and (where measured) latency of `network` over alpha, against a power of alpha."""
    power = Power(exponent, stated, margin)
    narrow = {alpha: network.scaled(alpha=alpha) for alpha in alphas}
    macs = {alpha: n.macs / network.macs for alpha, n in narrow.items()}
    parameters = {alpha: n.parameters / network.parameters for alpha, n in narrow.items()}
    evidence: dict[str, Value] = {}
    for alpha in alphas:
        evidence[f"macs({alpha:g})/macs(1)"] = round(macs[alpha], 4)
        evidence[f"parameters({alpha:g})/parameters(1)"] = round(parameters[alpha], 4)

    # Only a layer that thins on both sides shrinks with the square; the rest has one side fixed.
    one_sided = [layer for layer in network.layers if not layer.pointwise]
    macs_share = sum(layer.macs for layer in one_sided) / network.macs
    parameters_share = sum(layer.parameters for layer in one_sided) / network.parameters
    evidence["share_linear_in_alpha(macs)"] = round(macs_share, 4)
    evidence["share_linear_in_alpha(parameters)"] = round(parameters_share, 4)

    latency = _latency(power, rows, network, lambda row: row.alpha if row.rho == 1 else None)
    explanation = (
        f"MACs fall with alpha to the power {_exponents(macs)}; parameters with "
        f"{_exponents(parameters)}. "
        f"What keeps one side fixed shrinks only linearly: first convolution, depthwise layers, normalisation "
        f"and classifier, {percent(macs_share)} of the MACs but {percent(parameters_share)} of the parameters. "
        f"{latency.sentence}"
    )
    parts = [
        *power.parts("MACs", macs),
        *power.parts("parameters", parameters),
        PartResult("latency", latency.holds),
    ]
    evidence |= latency.evidence
    lacks = not latency.measured
    return Outcome(parts, power.farthest(macs), explanation, evidence, lacks_rows=lacks)


@check
def resolution_power(
    rows: Sequence[MeasuredRow],
    stated: Stated,
    margin: Margin,
    network: Network,
    rhos: tuple[Fraction, ...],
    exponent: float,
) -> Outcome:
    """MACs and (where measured) latency of `network` over rho, against a power of rho."""
    power = Power(exponent, stated, margin)
    small = {rho: network.scaled(rho=rho) for rho in rhos}
    ratios = {rho: n.macs / network.macs for rho, n in small.items()}
    latency = _latency(power, rows, network, lambda row: float(row.rho) if row.alpha == 1 else None)
    same = {n.parameters for n in small.values()} == {network.parameters}
    explanation = (
        f"MACs fall with rho to the power {_exponents(ratios)}: all but the classifier's are spent per pixel. "
        f"Parameters {'stay the same' if same else 'change'}. {latency.sentence}"
    )
    parts = [*power.parts("MACs", ratios), PartResult("latency", latency.holds)]
    evidence: dict[str, Value] = {f"macs({rho})/macs(1)": round(r, 4) for rho, r in ratios.items()}
    evidence |= {f"parameters({rho})": n.parameters for rho, n in small.items()}
    evidence |= latency.evidence
    lacks = not latency.measured
    return Outcome(parts, power.farthest(ratios), explanation, evidence, lacks_rows=lacks)


class _Latency(NamedTuple):
    """What rows say of latency over a multiplier."""

    holds: bool | None
    sentence: str
    evidence: dict[str, Value]
    measured: bool


def _latency(
    power: Power,
    rows: Iterable[MeasuredRow],
    network: Network,
    multiplier: Callable[[MeasuredRow], float | None],
) -> _Latency:
    """Exponent of latency in every setting that was measured at multiplier 1 and below."""
    measured: dict[str, tuple[float, RowRatio]] = {}
    exponents: dict[str, float] = {}
    evidence: dict[str, Value] = {}
    other_inputs = 0
    for group in by_setting(row for row in rows if row.model == network.spec.name).values():
        repeats: dict[float, list[MeasuredRow]] = {}
        for row in group:
            value = multiplier(row)
            if value is None:
                continue
            if row.macs is not None and row.macs != network.scaled(row.alpha, row.rho).macs:
                other_inputs += 1  # another base resolution or number of classes
                continue
            repeats.setdefault(value, []).append(row)
        full = repeats.pop(1.0, [])
        for value, smaller in sorted(repeats.items(), reverse=True):
            if ratio := row_ratio(smaller, full):
                label = distinct_label(f"{group[0].label} at {value:.3g}", exponents)
                measured[label] = value, ratio
                exponents[label] = math.log(ratio.middle) / math.log(value)
                evidence[f"latency({label})/latency(1)"] = ratio.evidence
    if other_inputs:
        evidence["rows_of_other_inputs_left_out"] = other_inputs
    if not exponents:
        return _Latency(None, "Latency: not measured.", evidence, measured=False)
    confidence = confidence_of_each(len(measured))
    near = [ratio.agrees(partial(power.side, m), confidence) for m, ratio in measured.values()]
    first = list(exponents.items())[:6]
    more = f" and {len(exponents) - 6} more" if len(exponents) > 6 else ""
    sentence = (
        f"Measured latency falls with the power "
        f"{listed(f'{exponent:.2f} ({label})' for label, exponent in first)}{more}; "
        f"{near.count(True)} of {len(near)} as stated"
        f"{f', {near.count(None)} too near the margin to tell' if None in near else ''}."
    )
    return _Latency(all_hold(near), sentence, evidence, measured=True)


def _written(multiplier: float | Fraction) -> str:
    return str(multiplier) if isinstance(multiplier, Fraction) else f"{multiplier:g}"


def _exponents(ratios: Mapping[float, float] | Ratios) -> str:
    """Exponents that the costs over the one at multiplier 1 have, by multiplier, as text."""
    return listed(
        f"{math.log(ratio) / math.log(m):.2f} (at {_written(m)})" for m, ratio in ratios.items()
    )


@check
def fewer_parameters_over_rho(
    stated: Stated, margin: Margin, network: Network, rhos: tuple[Fraction, ...]
) -> Outcome:
    """Parameters of `network` at each rho over those at 1."""
    small = {rho: network.scaled(rho=rho) for rho in rhos}
    name, full, last = network.name, network.counts, rhos[-1]
    activations = small[last].counts.activation_bytes / full.activation_bytes
    evidence: dict[str, Value] = {f"parameters({name}, rho 1)": full.parameters}
    evidence |= {f"parameters({name}, rho {rho})": n.parameters for rho, n in small.items()}
    evidence[f"activation_bytes(rho {last})/activation_bytes(rho 1)"] = round(activations, 4)
    explanation = (
        f"{name} has {figure(full.parameters)} parameters at rho 1 and "
        f"{listed(f'{figure(n.parameters)} at {rho}' for rho, n in small.items())}: a filter has the same "
        "weights whatever the map's size. What shrinks is work and activations, these to "
        f"{figure(activations)} of their bytes at {last}."
    )
    parts = [
        PartResult(f"rho {rho}", margin.agrees(n.parameters / full.parameters, stated))
        for rho, n in small.items()
    ]
    ratio = min(n.parameters for n in small.values()) / full.parameters
    return Outcome(parts, ratio, explanation, evidence)


@check
def input_sizes(network: Network, rhos: tuple[Fraction, ...], sizes_px: tuple[int, ...]) -> Outcome:
    """Whether each rho gives the input size beside it, exactly and in the network that is made."""
    base_px = network.facts.resolution_px
    parts: list[PartResult] = []
    sizes: dict[str, str] = {}
    for rho, size_px in zip(rhos, sizes_px, strict=True):
        height, width = network.scaled(rho=rho).input_shape[1:]
        sizes[f"{base_px}*{rho}"] = str(base_px * rho)
        parts.append(PartResult(f"rho {rho}", base_px * rho == size_px == height == width))
    computed = ", ".join(sizes.values())
    whole = all(part.holds for part in parts)
    explanation = (
        f"{base_px} px times {listed(map(str, rhos))} is {computed}: "
        f"{'whole numbers, no rounding' if whole else 'not all the sizes stated'}."
    )
    return Outcome(parts, computed, explanation, sizes)


@check
def separable_cost_formula(
    stated: Stated,
    margin: Margin,
    network: Network,
    alphas: tuple[float, ...],
    rhos: tuple[Fraction, ...],
) -> Outcome:
    """Whether DK*DK*aM*(rDF)^2 + aM*aN*(rDF)^2 gives the MACs of the stated share of the separable layers.

    M, N and DF are the input channels, output channels and output side of the layer at alpha 1 and rho 1, DK
    is the depthwise kernel; counted is the network made at that alpha and rho.
    """
    full = _separable(network)
    right, wrong = 0, []
    for alpha in alphas:
        for rho in rhos:
            for base, layer in zip(full, _separable(network.scaled(alpha, rho)), strict=True):
                # As fractions: the formula is to be met exactly.
                m, n = Fraction(alpha) * base.channels, Fraction(alpha) * base.filters
                predicted = (base.kernel**2 * m + m * n) * (rho * base.side_px) ** 2
                if predicted == layer.macs:
                    right += 1
                else:
                    wrong.append((alpha, rho, float(predicted), layer.macs))
    total = right + len(wrong)
    evidence: dict[str, Value] = {
        "layers_checked": total,
        "layers_equal": right,
        "alphas": " ".join(f"{alpha:g}" for alpha in alphas),
        "rhos": " ".join(map(str, rhos)),
    }
    explanation = (
        f"{right} of {total} separable layers of {network.name}, over {len(alphas)} alphas and {len(rhos)} "
        "rhos, cost exactly what the formula gives, DF being the side of the output."
    )
    if wrong:
        alpha, rho, by_formula, macs = wrong[0]
        explanation += (
            f" The first that does not, at alpha {alpha:g} and rho {rho}: {figure(by_formula)} by formula, "
            f"{figure(macs)} counted."
        )
    part = PartResult("every layer", margin.agrees(right / total, stated))
    return Outcome([part], right / total, explanation, evidence)


class Against(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A network of separable convolutions and another one, with the top-1 printed of each, in per cent."""

    separable: Network
    than: Network
    top1: float
    top1_than: float


@check
def separable_against(pairs: tuple[Against, ...], where: str) -> Outcome:
    """Parameters and MACs of the two of each pair, counted, and the top-1 accuracies printed in `where`.

    The claim is true of a pair where all three are as it says.
    """
    parts: list[PartResult] = []
    evidence: dict[str, Value] = {}
    sentences, found = [], []
    for pair in pairs:
        one, other = pair.separable, pair.than
        macs, parameters = one.macs / other.macs, one.parameters / other.parameters
        gain = pair.top1 - pair.top1_than
        evidence[f"macs({one.name})/macs({other.name})"] = round(macs, 4)
        evidence[f"parameters({one.name})/parameters({other.name})"] = round(parameters, 4)
        evidence[f"published_top1({one.name})"] = pair.top1
        evidence[f"published_top1({other.name})"] = pair.top1_than
        parts += [
            PartResult(f"{one.name}: fewer parameters", parameters < 1, one.name),
            PartResult(f"{one.name}: fewer MACs", macs < 1, one.name),
            PartResult(f"{one.name}: higher accuracy", gain > 0, one.name, printed=True),
        ]
        found.append(f"{figure(parameters)}, {figure(macs)}, {gain:+.1f} points")
        sentences.append(
            f"{one.name} has {figure(parameters)} times the parameters and {figure(macs)} times the MACs of "
            f"{other.name}, and {pair.top1:g}% top-1 against {pair.top1_than:g}%"
        )
    return Outcome(parts, "; ".join(found), f"{'; '.join(sentences)} ({where}).", evidence)


class _Separable(NamedTuple):
    """A depthwise convolution and the 1x1 after it."""

    kernel: int
    channels: int
    filters: int
    side_px: int
    macs: int


def _separable(network: Network) -> list[_Separable]:
    return [
        _Separable(
            depthwise.kernel[0],
            depthwise.in_channels,
            pointwise.out_channels,
            pointwise.output[-1],
            depthwise.macs + pointwise.macs,
        )
        for depthwise, pointwise in pairwise(network.convolutions)
        if depthwise.depthwise and pointwise.pointwise
    ]
