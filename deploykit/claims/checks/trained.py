"""Claims that training decides: small networks on the digits, from several seeds, as proxies.

A difference decides where its 95% interval over seeds does not reach 0; where it does, the claim stays undecided.
Without leave to train, as `deploykit claims --train` gives, it is undecided too.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from deploykit.claims import proxies
from deploykit.claims.check import check
from deploykit.claims.effort import may_train
from deploykit.claims.proxies import Proxy
from deploykit.claims.verdict import Outcome, PartResult, Value, figure, listed
from deploykit.stats.ratios import t_quantile

#: What can be compared of two trainings; see `proxies.Trained`.
Metric = Literal["first_loss", "train_loss", "accuracy", "gap", "overconfidence"]

_CONFIDENCE = 0.95


class Contest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Two proxies, and whether the first should have more or less of the metric by what is stated."""

    first: Proxy
    second: Proxy
    relation: Literal["more", "less"]


@check
def proxies_differ(metric: Metric, contests: Mapping[str, Contest], seeds: int) -> Outcome:
    """Whether in each contest the first proxy has more, or less, of a metric than the second, over seeds."""
    if not may_train():
        return not_trained(
            list(contests), f"--train trains {2 * seeds * len(contests)} small networks"
        )
    parts, evidence, sentences = [], dict[str, Value](), []
    found: list[float] = []
    for name, contest in contests.items():
        first, second = (
            [float(getattr(proxies.trained(side, seed), metric)) for seed in range(seeds)]
            for side in (contest.first, contest.second)
        )
        low, mean, high = interval([a - b for a, b in zip(first, second, strict=True)])
        so = low > 0 if contest.relation == "more" else high < 0
        parts.append(PartResult(name, None if low <= 0 <= high else so))
        evidence[f"{metric}({name}, first)"] = " ".join(f"{value:.4g}" for value in first)
        evidence[f"{metric}({name}, second)"] = " ".join(f"{value:.4g}" for value in second)
        found.append(mean)
        sentences.append(
            f"{name}: {figure(statistics.fmean(first))} against {figure(statistics.fmean(second))}, "
            f"a difference of {mean:+.3g} (95% interval {low:+.3g} to {high:+.3g})"
        )
    explanation = (
        f"{metric.replace('_', ' ').capitalize()} of small networks on the digits, {seeds} seeds each, a proxy: "
        f"{'; '.join(sentences)}."
    )
    return Outcome(parts, found[0], explanation, evidence)


@check
def ensemble_helps(proxy: Proxy, members: int, ensembles: int) -> Outcome:
    """Whether the mean of several networks' probabilities is right more often than the best of them."""
    if not may_train():
        return not_trained(
            ["against the best member"], f"--train trains {members * ensembles} small networks"
        )
    gains = []
    for number in range(ensembles):
        team = [proxies.trained(proxy, number * members + each) for each in range(members)]
        together = sum(member.probabilities for member in team[1:]) + team[0].probabilities
        joint = proxies.share_right(together, team[0].labels)
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
