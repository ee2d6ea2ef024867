"""Whether a timing can be relied on, and if not: why, and what would help."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deploykit.row import Finding
from deploykit.stats import modes, trend

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deploykit.bench.conditions import Conditions

#: What is too much: see `judge`.
STEAL_SHARE = 0.01
OTHERS_SHARE = 0.05
THROTTLED_SHARE = 0.01
FREQUENCY_CHANGE = 0.10
TREND_CHANGE = 0.05
TREND_P_VALUE = 0.01
MODE_GAP = 0.05
MEDIAN_WIDTH = 0.05
CLOCK_GAP = 0.20


def judge(
    samples_ns: NDArray[Any],
    median_interval_ns: tuple[float, float],
    conditions: Conditions,
    *,
    settled: bool,
    timed_s: float,
) -> tuple[Finding, ...]:
    """All causes for doubt in a timing; none is a stable one.

    Args:
        samples_ns: in the order in which they were taken.
        median_interval_ns: low and high end of the median's interval.
        conditions: what the machine did while samples were taken.
        settled: whether three windows of the warm-up agreed.
        timed_s: wall time of the calls that gave the samples; with streams, of each of them summed.
    """
    findings = [*of_machine(conditions)]
    if not settled:
        findings.append(
            Finding(
                "warm-up", "three windows never agreed within 10%", "measure on an idle machine"
            )
        )
    total_s = float(samples_ns.sum()) / 1e9
    if int(samples_ns.min()) < 0 or total_s > timed_s * (1 + CLOCK_GAP):
        findings.append(
            Finding(
                "clock",
                f"the samples sum to {total_s:.3g} s of {timed_s:.3g} s that passed",
                "measure again; check the machine's clock source",
            )
        )
    findings.extend(_of_series(samples_ns, median_interval_ns))
    return tuple(findings)


def of_machine(conditions: Conditions) -> list[Finding]:
    """What the machine did besides, where it was too much."""
    findings = []
    steal, others = conditions.steal_share, conditions.others_cores
    if steal is not None and steal > STEAL_SHARE:
        findings.append(
            Finding(
                "steal",
                f"the hypervisor took {steal:.1%} of the processor time",
                "use a machine with dedicated cores, or compare interleaved",
            )
        )
    if others is not None and others > OTHERS_SHARE * conditions.cores:
        findings.append(
            Finding(
                "load",
                f"other processes used {others:.2f} of {conditions.cores} cores",
                "stop them, or compare interleaved",
            )
        )
    throttled = conditions.throttled_share
    if throttled is not None and throttled > THROTTLED_SHARE:
        findings.append(
            Finding(
                "throttled",
                f"a cgroup limit held the process back {throttled:.1%} of the time",
                "give --threads below the limit, or raise it",
            )
        )
    change = conditions.frequency_change
    if change is not None and abs(change) > FREQUENCY_CHANGE:
        findings.append(
            Finding(
                "frequency",
                f"the processor's frequency changed by {change:+.0%}",
                "fix the frequency (governor performance, turbo off) or let it cool",
            )
        )
    return findings


def _of_series(samples_ns: NDArray[Any], median_interval_ns: tuple[float, float]) -> list[Finding]:
    findings = []
    slope = trend(samples_ns)
    if abs(slope.change) > TREND_CHANGE and slope.p_value < TREND_P_VALUE:
        findings.append(
            Finding(
                "trend",
                f"latency changed by {slope.change:+.1%} over the run (p {slope.p_value:.1g})",
                "warm up longer, or let the machine cool",
            )
        )
    peaks = modes(samples_ns)
    if len(peaks) > 1 and peaks[-1] > peaks[0] * (1 + MODE_GAP):
        places = ", ".join(f"{peak / 1e6:.3g}" for peak in peaks)
        findings.append(
            Finding(
                "modes",
                f"latencies pile up at {places} ms",
                "pin the process to cores of one kind, or give --threads",
            )
        )
    low, high = median_interval_ns
    if low > 0 and high / low - 1 > MEDIAN_WIDTH:
        findings.append(
            Finding(
                "spread",
                f"the median is only known to {high / low - 1:.1%}",
                "measure longer or on an idle machine",
            )
        )
    return findings
