"""What networks hold and what they cost, counted, measured and printed: parameters, MACs, memory, latency, errors.

Figures that papers printed stand in claims.toml with their place.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec

from deploykit.claims.check import MeasuredRow, check
from deploykit.claims.margin import HEDGES, Margin, Stated
from deploykit.claims.networks import BYTES_FP32, Network
from deploykit.claims.operations import peak_bytes
from deploykit.claims.row_ratio import (
    alike,
    all_agree,
    confidence_of_each,
    latency_ratios,
    range_of,
)
from deploykit.claims.verdict import (
    Outcome,
    PartResult,
    Value,
    deviation,
    figure,
    listed,
    millions,
    percent,
)
from deploykit.errors import UsageError

#: What of a network's counts a claim can be about.
Quantity = Literal["parameters", "macs"]

_UNITS = {"parameters": "parameters", "macs": "MACs"}


@check
def count(
    stated: Stated,
    margin: Margin,
    about: str,
    network: Network,
    quantity: Quantity = "parameters",
    others: tuple[Network, ...] = (),
) -> Outcome:
    """Whether `network` has the stated number of `quantity`; those of `others` are given beside it."""
    unit, numbers = _UNITS[quantity], {n.name: _count(n, quantity) for n in (network, *others)}
    computed = numbers[network.name]
    explanation = f"{network.name} has {figure(computed)} {unit}"
    off = deviation(computed, stated)
    if off is not None:
        explanation += f", {percent(off, signed=True)} from the {_short(stated)} stated"
    explanation += "."
    if others:
        explanation += f" {listed(f'{n.name} has {_short(numbers[n.name])}' for n in others)}."
    return Outcome(
        [PartResult(about, margin.agrees(computed, stated))],
        computed,
        explanation,
        {f"{quantity}({name})": number for name, number in numbers.items()},
    )


def _short(value: float) -> str:
    """A count in millions; smaller ones, of which that would leave a digit or none, as they are."""
    return millions(int(value)) if abs(value) >= 1e6 else figure(value)


@check
def ratio(
    stated: Stated,
    margin: Margin,
    about: str,
    top: Network,
    bottom: Network,
    quantity: Quantity = "parameters",
    others: tuple[tuple[Network, Network], ...] = (),
) -> Outcome:
    """Whether `quantity` of `top` over that of `bottom` is the stated ratio.

    `others` are pairs for which the ratio is given beside it, without deciding anything.
    """
    upper, lower = _count(top, quantity), _count(bottom, quantity)
    ratios = {(a.name, b.name): _ratio(a, b, quantity) for a, b in ((top, bottom), *others)}
    evidence: dict[str, Value] = {
        f"{quantity}({top.name})": upper,
        f"{quantity}({bottom.name})": lower,
        **{f"{one}/{other}": round(value, 4) for (one, other), value in ratios.items()},
    }
    computed = ratios.pop((top.name, bottom.name))
    explanation = (
        f"{top.name} has {figure(upper)} {_UNITS[quantity]}, {bottom.name} {figure(lower)}: a ratio of "
        f"{figure(computed)} where {figure(stated)} is stated"
    )
    if quantity == "parameters":
        explanation += (
            f"; as float32 that is {upper * BYTES_FP32 / 1e6:.1f} MB against "
            f"{lower * BYTES_FP32 / 1e6:.2f} MB"
        )
    explanation += "."
    if ratios:
        pairs = (f"{one} over {other} {figure(value)}" for (one, other), value in ratios.items())
        explanation += f" For comparison, {listed(pairs)}."
    part = PartResult(about, margin.agrees(computed, stated))
    return Outcome([part], computed, explanation, evidence)


@check
def macs_ratios(
    stated: Stated, margin: Margin, pairs: tuple[tuple[Network, Network], ...]
) -> Outcome:
    """Whether of each pair the first takes the stated number of times the MACs of the second."""
    ratios = {f"{a.name}/{b.name}": _ratio(a, b, "macs") for a, b in pairs}
    sentences = [
        f"{one.name} takes {figure(one.macs / 1e9)} and {other.name} {figure(other.macs / 1e9)} billion MACs"
        for one, other in pairs
    ]
    return Outcome(
        [PartResult(name, margin.agrees(value, stated)) for name, value in ratios.items()],
        max(ratios.values(), key=lambda value: abs(value - stated)),
        f"{'; '.join(sentences)}.",
        {f"macs({name})": round(value, 4) for name, value in ratios.items()},
    )


class Printed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Two networks, and the top-1 error printed of each, in per cent."""

    network: Network
    than: Network
    error: float
    error_than: float


@check
def fewer_parameters_and_better(
    stated: Stated, margin: Margin, pairs: tuple[Printed, ...], where: str
) -> Outcome:
    """Whether of each pair the network has fewer parameters, counted, and less error, as printed in `where`."""
    parts: list[PartResult] = []
    evidence: dict[str, Value] = {}
    sentences = []
    for pair in pairs:
        network, than = pair.network, pair.than
        parts += [
            PartResult(
                f"{network.name} has fewer parameters",
                margin.agrees(_ratio(network, than), stated),
                network.name,
            ),
            PartResult(
                f"{network.name} has less error", pair.error < pair.error_than, network.name, True
            ),
        ]
        evidence |= _parameters(network, than) | {
            f"published_error({network.name})": pair.error,
            f"published_error({than.name})": pair.error_than,
        }
        sentences.append(
            f"{network.name} has {millions(network.parameters)} parameters and {pair.error:g}% error, "
            f"{than.name} {millions(than.parameters)} and {pair.error_than:g}%"
        )
    largest = max(_ratio(pair.network, pair.than) for pair in pairs)
    return Outcome(parts, largest, f"{'; '.join(sentences)} (errors: {where}).", evidence)


@check
def weights_in_mb(
    stated: Stated,
    margin: Margin,
    network: Network,
    bits: Mapping[str, int],
    published_mb: Mapping[str, float],
) -> Outcome:
    """Whether the weights of `network` take the stated MB (10^6 bytes), at each of some precisions.

    `bits` per weight by precision are counted; `published_mb` are sizes that a paper printed for compressed
    files, which can't be counted from the structure.
    """
    sizes_mb = {name: network.parameters * width / 8 / 1e6 for name, width in bits.items()}
    needed_bits = stated * 1e6 * 8 / network.parameters
    parts = [PartResult(name, margin.agrees(size, stated)) for name, size in sizes_mb.items()]
    parts += [
        PartResult(n, margin.agrees(size, stated), printed=True) for n, size in published_mb.items()
    ]
    evidence: dict[str, Value] = {f"mb({n})": round(size, 4) for n, size in sizes_mb.items()}
    evidence |= {f"published_mb({name})": size for name, size in published_mb.items()}
    evidence["bits_per_weight_needed"] = round(needed_bits, 3)
    explanation = (
        f"The {figure(network.parameters)} parameters of {network.name} take "
        f"{listed(f'{size:.2f} MB in {name}' for name, size in sizes_mb.items())}; {stated:g} MB means "
        f"{needed_bits:.1f} bits per weight on average. Published: "
        f"{listed(f'{size:g} MB with {name}' for name, size in published_mb.items())}."
    )
    return Outcome(parts, min(sizes_mb.values()), explanation, evidence)


class PrintedPair(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Two printed numbers of one kind, `what`, and the relation between them that the claim implies.

    Where the claim says how much less or more, by which of the words of `margin.HEDGES`, or `by` what difference,
    in the unit of the two and with the digits that it is stated with; that is of "less" and "more" alone.
    """

    what: str
    first: float
    first_of: str
    second: float
    second_of: str
    relation: Literal[
        "less",
        "more",
        "not less",
        "not more",
        "equal",
        "hardly more",
        "slightly less",
        "slightly more",
        "much less",
        "much more",
        "about",
    ]
    by: Stated | None = None

    def __post_init__(self) -> None:
        if self.by is not None and self.relation not in ("less", "more"):
            raise ValueError(f"{self.what}: 'by' goes with less and more, not with {self.relation}")

    def __str__(self) -> str:
        said = f"{self.what}, {self.first:g} for {self.first_of} and {self.second:g} for {self.second_of}"
        if self.by is None:
            return said
        return f"{said}, {figure(abs(self._difference))} apart where {figure(self.by)} is stated"

    @property
    def evidence(self) -> dict[str, Value]:
        """The two numbers, by what each is of."""
        return {
            f"{self.what}({self.first_of})": self.first,
            f"{self.what}({self.second_of})": self.second,
        }

    @property
    def holds(self) -> bool:
        """Whether the relation is so, of the digits that are printed."""
        if self.relation in HEDGES:
            return Margin(self.relation).agrees(self.first, self.second)
        difference = self._difference
        if self.by is not None and not Margin().agrees(abs(difference), self.by):
            return False
        return {
            "less": difference < 0,
            "more": difference > 0,
            "not less": difference >= 0,
            "not more": difference <= 0,
            "equal": difference == 0,
        }[self.relation]

    @property
    def _difference(self) -> float:
        # Printed values have a few decimals; a difference of two of them shouldn't fail by binary rounding.
        return round(self.first - self.second, 6)


#: What of a network costs: memory at once, or all that it ever puts out, as training keeps it.
Cost = Literal["parameters", "MACs", "peak of activations", "all activations", "latency"]


@check
def costs_over(
    rows: Sequence[MeasuredRow],
    stated: Stated,
    margin: Margin,
    network: Network,
    than: Network,
    of: tuple[Cost, ...] = ("MACs", "peak of activations", "latency"),
    others: tuple[Network, ...] = (),
    printed: tuple[PrintedPair, ...] = (),
    where: str = "",
) -> Outcome:
    """Whether each of the costs `of` a network is as stated over that of another; latency where it was measured.

    Latency is as stated where it surely is in each setting, and not known where it may or may not be in one. What
    is counted of `others` is held against the network too. Figures that were `printed` in `where` are parts beside.
    """
    every = {other.name: _costs(network, other) for other in (than, *others)}
    evidence: dict[str, Value] = {
        f"{what}({network.name}/{name})": round(value, 4)
        for name, ratios in every.items()
        for what, value in ratios.items()
    }
    ratios = every[than.name]
    slower = latency_ratios(rows, _is_of(network), _is_of(than))
    evidence |= {
        f"latency({network.name}/{than.name}, {label})": ratio.evidence
        for label, ratio in slower.items()
    }
    found: dict[str, float] = {what: ratios[what] for what in of if what != "latency"}
    found |= {
        f"{what} over {other.name}": every[other.name][what]
        for other in others
        for what in of
        if what != "latency"
    }
    parts = [PartResult(what, margin.agrees(value, stated)) for what, value in found.items()]
    explanation = (
        f"{network.name} takes {figure(ratios['MACs'])} times the MACs of {than.name}, with "
        f"{figure(ratios['parameters'])} times the parameters, and needs "
        f"{figure(ratios['peak of activations'])} times the memory at once, though all that it ever puts out is "
        f"{figure(ratios['all activations'])} times as much. "
    )
    for other in others:
        beside = [f"{figure(every[other.name][what])} ({what})" for what in of if what != "latency"]
        explanation += f"Over {other.name} it is {listed(beside)}. "
    confidence = confidence_of_each(len(slower))
    explanation += (
        f"Measured latency: {listed(range_of(ratio.ends(confidence)) for ratio in slower.values())} times."
        if slower
        else "Latency: not measured."
    )
    if "latency" in of:
        slow = all_agree(slower.values(), lambda ratio: margin.side(ratio, stated))
        parts.append(PartResult("latency", slow))
    for each in printed:
        parts.append(PartResult(each.what, each.holds, printed=True))
        evidence |= each.evidence
    if printed:
        explanation += f" Printed: {listed(map(str, printed))} ({where})."
    medians = (ratio.middle for ratio in slower.values()) if "latency" in of else ()
    computed = max([*found.values(), *medians], default=None)
    lacks_rows = "latency" in of and not slower
    return Outcome(parts, computed, explanation, evidence, lacks_rows=lacks_rows)


def _costs(network: Network, than: Network) -> dict[str, float]:
    """What is counted of a network over that of another."""
    return {
        "MACs": _ratio(network, than, "macs"),
        "parameters": _ratio(network, than),
        "peak of activations": peak_bytes(network.operations) / peak_bytes(than.operations),
        "all activations": network.counts.activation_bytes / than.counts.activation_bytes,
    }


def _is_of(network: Network) -> Callable[[MeasuredRow], bool]:
    """Whether a row is of this network, at its multipliers and, where the row has them, with its MACs."""
    spec = network.spec

    def same(row: MeasuredRow) -> bool:
        named = (row.model, row.alpha, row.rho) == (spec.name, spec.alpha, spec.rho)
        return named and row.macs in (None, network.macs)

    return same


def _count(network: Network, quantity: Quantity) -> int:
    return network.parameters if quantity == "parameters" else network.macs


def _ratio(top: Network, bottom: Network, quantity: Quantity = "parameters") -> float:
    return _count(top, quantity) / _count(bottom, quantity)


def _parameters(*networks: Network) -> dict[str, Value]:
    return {f"parameters({network.name})": network.parameters for network in networks}


#: The first two digits of an arXiv number are the year, the next two the month.
_ARXIV = re.compile(r"arXiv (\d\d)\d\d\.\d{4,5}")


@check
def publication_year(stated: Stated, network: Network, others: Mapping[str, int]) -> Outcome:
    """Whether the paper of `network` is from the stated year: by its arXiv number, and by the dates in `others`."""
    facts = network.facts
    years = dict(others)
    number = _ARXIV.search(facts.paper)
    first = f"the preprint {number[0]}" if number else "the paper"
    years = {first: 2000 + int(number[1]) if number else facts.year} | years
    parts = [PartResult(what, year == int(stated), printed=True) for what, year in years.items()]
    explanation = f"{network.name}: {listed(f'{year} by {what}' for what, year in years.items())}."
    return Outcome(parts, years[first], explanation, dict(years))


@check
def published_values(
    stated: Stated, margin: Margin, values: Mapping[str, float], where: str
) -> Outcome:
    """Whether each printed value, by what it is of, is the stated one."""
    parts = [
        PartResult(what, margin.agrees(value, stated), printed=True)
        for what, value in values.items()
    ]
    printed = listed(f"{figure(value)} for {what}" for what, value in values.items())
    return Outcome(parts, next(iter(values.values())), f"Printed: {printed} ({where}).", values)


@check
def published_comparisons(comparisons: tuple[PrintedPair, ...], where: str) -> Outcome:
    """Whether each of `comparisons`, of numbers printed in `where`, comes out as the claim implies."""
    evidence: dict[str, Value] = {}
    for each in comparisons:
        evidence |= each.evidence
    sentences = "; ".join(map(str, comparisons))
    return Outcome(
        [PartResult(each.what, each.holds, printed=True) for each in comparisons],
        ", ".join(f"{each.first:g} / {each.second:g}" for each in comparisons),
        f"Printed: {sentences} ({where}).",
        evidence,
    )


@check
def published_bounds(
    stated: Stated,
    margin: Margin,
    bounds: Mapping[str, tuple[float, float]],
    where: str,
) -> Outcome:
    """Whether what lies between two bounds, by what it is of, is as stated, whatever it is between them.

    The lower and the upper bound follow from what was printed in `where`. What is as stated only somewhere between
    them is not known.

    Raises:
        UsageError: two bounds are not finite, or not in order.
    """
    for what, (low, high) in bounds.items():
        if not -math.inf < low <= high < math.inf:
            raise UsageError(
                f"{what!r} can't lie between {low:g} and {high:g}: give two finite numbers, the lower one first"
            )
    parts = [
        PartResult(
            what,
            # A value between two that lie on one side, or that agree, does what they do.
            alike(margin.side(end, stated) for end in ends),
            printed=True,
        )
        for what, ends in bounds.items()
    ]
    evidence: dict[str, Value] = {}
    for what, (low, high) in bounds.items():
        evidence |= {f"at least({what})": low, f"at most({what})": high}
    said = "; ".join(
        f"{what}, {figure(low)} to {figure(high)}" for what, (low, high) in bounds.items()
    )
    explanation = (
        f"By what was printed: {said}; stated is {margin.before(figure(stated))} ({where})."
    )
    open_ = [part.name for part in parts if part.holds is None]
    if open_:
        explanation += f" That leaves open what is stated {listed(open_)}."
    lowest = next((low for low, _ in bounds.values()), None)
    return Outcome(parts, lowest, explanation, evidence)


@check
def published_sizes(
    stated: Stated, margin: Margin, sizes_px: Mapping[str, float], network: Network, where: str
) -> Outcome:
    """Whether sides of images, as printed in `where`, are the stated number of times the input of `network`."""
    side_px = network.input_shape[-1]
    ratios = {what: size / side_px for what, size in sizes_px.items()}
    parts = [PartResult(w, margin.agrees(r, stated), printed=True) for w, r in ratios.items()]
    said = listed(f"{figure(sizes_px[w])} px, {figure(r)} times, in {w}" for w, r in ratios.items())
    explanation = f"Against the {side_px} px of {network.name} stand {said} ({where})."
    evidence: dict[str, Value] = {f"{what}_px": size for what, size in sizes_px.items()}
    return Outcome(parts, min(ratios.values()), explanation, evidence | {"small_px": side_px})
