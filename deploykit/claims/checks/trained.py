"""Claims that training decides: small networks on the digits or Fashion-MNIST, from several seeds, as proxies.

A difference decides where its 95% interval over seeds does not reach 0; where it does, the claim stays undecided.
Without leave to train, as `deploykit claims --train` gives, it is undecided too.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import msgspec

from deploykit.claims.check import check
from deploykit.claims.checks.costs import PrintedPair
from deploykit.claims.effort import may_train
from deploykit.claims.kept import trained
from deploykit.claims.margin import Margin, Stated
from deploykit.claims.proxies import Proxy, make, part_of, share_right
from deploykit.claims.surfaces import located, roughness
from deploykit.claims.verdict import Outcome, PartResult, Value, figure, listed, percent
from deploykit.stats.ratios import t_quantile

#: What can be compared of two trainings; see `proxies.Trained`.
Metric = Literal[
    "first_loss",
    "last_loss",
    "train_loss",
    "accuracy",
    "gap",
    "overconfidence",
    "first_gradient",
]

_CONFIDENCE = 0.95


class Contest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Two proxies, and whether the first should have more or less of the metric by what is stated."""

    first: Proxy
    second: Proxy
    relation: Literal["more", "less"]


@check
def proxies_differ(
    metric: Metric,
    contests: Mapping[str, Contest],
    seeds: int,
    printed: tuple[PrintedPair, ...] = (),
    where: str = "",
) -> Outcome:
    """Whether in each contest the first proxy has more, or less, of a metric than the second, over seeds.

    What was `printed` in `where`, of large networks, is a reading of its own.
    """
    beside = [PartResult(pair.what, pair.holds, "as printed", printed=True) for pair in printed]
    under = "as trained" if printed else ""
    if not may_train():
        outcome = not_trained(
            list(contests), f"--train trains {2 * seeds * len(contests)} small networks"
        )
        return replace(outcome, parts=[*outcome.parts, *beside])
    parts, evidence, sentences = [], dict[str, Value](), []
    found: list[float] = []
    for name, contest in contests.items():
        first, second = (
            [float(getattr(trained(side, seed), metric)) for seed in range(seeds)]
            for side in (contest.first, contest.second)
        )
        low, mean, high = interval([a - b for a, b in zip(first, second, strict=True)])
        so = low > 0 if contest.relation == "more" else high < 0
        parts.append(PartResult(name, None if low <= 0 <= high else so, under))
        evidence[f"{metric}({name}, first)"] = " ".join(f"{value:.4g}" for value in first)
        evidence[f"{metric}({name}, second)"] = " ".join(f"{value:.4g}" for value in second)
        found.append(mean)
        sentences.append(
            f"{name}: {figure(statistics.fmean(first))} against {figure(statistics.fmean(second))}, "
            f"a difference of {mean:+.3g} (95% interval {low:+.3g} to {high:+.3g})"
        )
    for pair in printed:
        evidence |= pair.evidence
    explanation = (
        f"{metric.replace('_', ' ').capitalize()} of small networks on {_data(contests)}, {seeds} seeds each, a "
        f"proxy: {'; '.join(sentences)}."
        + (f" Printed: {listed(map(str, printed))} ({where})." if printed else "")
    )
    return Outcome([*parts, *beside], found[0], explanation, evidence)


def _data(contests: Mapping[str, Contest]) -> str:
    """The data sets, in words."""
    names = {side.dataset for one in contests.values() for side in (one.first, one.second)}
    return listed("the digits" if name == "digits" else name for name in sorted(names))


@check
def proxies_reach(
    metric: Metric, cases: Mapping[str, Proxy], seeds: int, stated: Stated, margin: Margin
) -> Outcome:
    """Whether a metric of each proxy is as stated; undecided where its interval over seeds reaches the limit."""
    if not may_train():
        return not_trained(list(cases), f"--train trains {seeds * len(cases)} small networks")
    low_limit, high_limit = margin.limits(stated)
    parts, evidence, sentences = [], dict[str, Value](), []
    found: list[float] = []
    for name, proxy in cases.items():
        values = [float(getattr(trained(proxy, seed), metric)) for seed in range(seeds)]
        low, mean, high = interval(values)
        within = low_limit < low and high < high_limit
        outside = high < low_limit or low > high_limit
        parts.append(PartResult(name, within if within or outside else None))
        evidence[f"{metric}({name})"] = " ".join(f"{value:.4g}" for value in values)
        found.append(mean)
        sentences.append(f"{name}: {figure(mean)} (95% interval {figure(low)} to {figure(high)})")
    explanation = (
        f"{metric.replace('_', ' ').capitalize()} of small networks, {seeds} seeds each, a proxy: "
        f"{'; '.join(sentences)}; stated is {margin.hedge} {figure(stated)}."
    )
    return Outcome(parts, found[0], explanation, evidence)


@check
def activation_maps_localise(proxy: Proxy, seeds: int) -> Outcome:
    """Whether class activation maps average to the logits, and peak on the object more often than by chance.

    A map is the last feature map weighted by the weights of the right class (Zhou et al. 2015, equation 2). The
    object's square takes the stated share of the canvas, which is what chance comes to.
    """
    names = ["the map's mean is the logit", "the peak lies on the object"]
    if not may_train():
        return not_trained(names, f"--train trains {seeds} small networks")
    chance = (proxy.side_px / proxy.canvas_px) ** 2
    images, labels, corners = part_of(proxy, "test")
    shares, off = [], 0.0
    for seed in range(seeds):
        network = make(proxy, trained(proxy, seed).weights).eval()
        maps = located(network, images, labels, corners, proxy.side_px)
        shares.append(maps.share_inside)
        off = max(off, maps.deviation)
    low, mean, high = interval([share - chance for share in shares])
    parts = [
        PartResult(names[0], off < _ROUNDING),
        PartResult(names[1], None if low <= 0 <= high else low > 0),
    ]
    evidence: dict[str, Value] = {
        "inside": " ".join(f"{share:.4g}" for share in shares),
        "chance": round(chance, 4),
        "deviation(mean and logit)": float(f"{off:.2g}"),
    }
    explanation = (
        f"On {len(images)} test images of {proxy.dataset} at random places of a canvas, {seeds} seeds, a proxy, "
        f"the largest value of the map of the right class lies on the object in {percent(mean + chance)} where "
        f"chance is {percent(chance)} (95% interval of the difference {low:+.3g} to {high:+.3g}). The mean of each "
        f"map and the bias differ from the logit by {off:.1g} of the largest at most."
    )
    return Outcome(parts, mean + chance, explanation, evidence)


#: What sums of float32 may differ by when they are added in another order, as a share of the largest.
_ROUNDING = 1e-4


@check
def shortcuts_smooth_loss(plain: Proxy, residual: Proxy, seeds: int, directions: int) -> Outcome:
    """Whether the loss bends less along random directions from a residual network than from a plain one.

    The directions are scaled filter by filter (Li et al. 2018, arXiv 1712.09913, section 4).
    """
    name = f"{plain.layers} layers"
    if not may_train():
        return not_trained([name], f"--train trains {2 * seeds} small networks")
    bends = [
        [
            roughness(side, make(side, trained(side, seed).weights), directions, seed)
            for seed in range(seeds)
        ]
        for side in (residual, plain)
    ]
    low, mean, high = interval([a - b for a, b in zip(*bends, strict=True)])
    part = PartResult(name, None if low <= 0 <= high else high < 0)
    evidence: dict[str, Value] = {
        f"roughness({side})": " ".join(f"{value:.4g}" for value in values)
        for side, values in zip(("residual", "plain"), bends, strict=True)
    }
    explanation = (
        f"Over {directions} directions of {seeds} seeds each, a proxy, the largest second difference of the loss "
        f"is {figure(statistics.fmean(bends[0]))} of its range with shortcuts and "
        f"{figure(statistics.fmean(bends[1]))} without, a difference of {mean:+.3g} (95% interval {low:+.3g} to "
        f"{high:+.3g})."
    )
    return Outcome([part], mean, explanation, evidence)


@check
def ensemble_helps(proxy: Proxy, members: int, ensembles: int) -> Outcome:
    """Whether the mean of several networks' probabilities is right more often than the best of them."""
    if not may_train():
        return not_trained(
            ["against the best member"], f"--train trains {members * ensembles} small networks"
        )
    gains = []
    for number in range(ensembles):
        team = [trained(proxy, number * members + each) for each in range(members)]
        together = sum(member.probabilities for member in team[1:]) + team[0].probabilities
        joint = share_right(together, team[0].labels)
        gains.append(joint - max(member.accuracy for member in team))
    low, mean, high = interval(gains)
    part = PartResult("against the best member", None if low <= 0 <= high else low > 0)
    explanation = (
        f"Over {ensembles} ensembles of {members} small networks on the digits, a proxy, the mean of their "
        f"probabilities is right for {mean:+.2%} more of the images than the best member "
        f"(95% interval {low:+.2%} to {high:+.2%})."
    )
    evidence: dict[str, Value] = {"gains": " ".join(f"{gain:.4g}" for gain in gains)}
    return Outcome([part], mean, explanation, evidence)


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower end, mean and upper end of the 95% interval of the mean, by Student's t."""
    mean = statistics.fmean(values)
    error = statistics.stdev(values) / math.sqrt(len(values))
    reach = t_quantile(_CONFIDENCE, len(values) - 1) * error
    return mean - reach, mean, mean + reach


def not_trained(parts: Sequence[str], settled: str) -> Outcome:
    """What comes of a claim that may not be decided now, and what would decide it."""
    evidence: dict[str, Value] = {"parts to decide": len(parts)}
    results = [PartResult(name, None) for name in parts]
    return Outcome(results, None, f"Not trained: {settled}, for {listed(parts)}.", evidence)
