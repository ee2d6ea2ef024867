"""How a row is measured: under which load, for how long, and what it has to meet.

A `Scenario` says how requests reach the engine, a `Policy` when warming up and measuring are long enough, and a
`Constraint`, such as `latency_p95_ms<=10`, what a row has to meet; `steps` searches for the largest load that does.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from deploykit.errors import UsageError, one_line
from deploykit.figures import in_full
from deploykit.spec import END_TO_END


@dataclass(frozen=True)
class Scenario:
    """How requests reach an engine while it is measured.

    Attributes:
        threads: threads of the runtime, per stream; None is one per usable core.
        streams: concurrent requests, each with a session of its own.
        rate_per_s: requests that arrive per second, as a Poisson process; None sends each one as soon as
            the last is answered.
        boundary: what a sample spans: "end_to_end" (host buffer to host buffer) or "device" (the compute alone);
            None is the backend's first.
        cuda_graph: whether each run is a CUDA graph that was captured beforehand.
    """

    threads: int | None = None
    streams: int = 1
    rate_per_s: float | None = None
    boundary: str | None = None
    cuda_graph: bool = False

    @property
    def text(self) -> str:
        """What differs from the plain scenario, for displays; empty where nothing does."""
        parts = []
        if self.threads is not None:
            parts.append(f"{self.threads} thread{'s' * (self.threads > 1)}")
        if self.streams > 1:
            parts.append(f"{self.streams} streams")
        if self.rate_per_s is not None:
            parts.append(f"{self.rate_per_s:g}/s")
        if self.boundary not in (None, END_TO_END):
            parts.append(str(self.boundary))
        if self.cuda_graph:
            parts.append("cuda graph")
        return " ".join(parts)

    def threads_in_use(self, cores: float) -> int:
        """How many threads compute at once at most, on a machine with so many usable cores."""
        usable = max(1, int(cores))
        return min(usable, self.streams * (self.threads or usable))


#: Least and largest rate that requests can be made to arrive at.
RATES_PER_S = (0.01, 1_000_000)


def parse_rate(text: str) -> float:
    """Requests per second from `100/s` or `100`.

    Raises:
        UsageError: it is of another form, or out of `RATES_PER_S`.
    """
    number = text.strip().removesuffix("/s").strip()
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not RATES_PER_S[0] <= value <= RATES_PER_S[1]:
        raise UsageError(
            f"--rate takes requests per second, such as 100/s, from {RATES_PER_S[0]:g} to {RATES_PER_S[1]:,}, "
            f"not {one_line(text, 40)!r}"
        )
    return value


def arrivals_span_s(count: int, rate_per_s: float) -> float:
    """Seconds in which so many requests of a rate have come.

    A Poisson process brings fewer than expected half of the time: three deviations more are waited for.
    """
    return (count + 3 * (math.sqrt(count) + 3)) / rate_per_s


@dataclass(frozen=True)
class Policy:
    """When warming up and measuring are long enough.

    Attributes:
        warmup_s: warm up at least this long and until three windows agree.
        warmup_max_s: give up waiting for agreement then, and say so.
        agreement: three windows agree when their medians differ by no more than this share.
        window_s: length of one warm-up window.
        min_s: measure at least this long...
        max_s: ...and never begin another block after this long.
        percentile: go on beyond `min_s` until this one has the samples that it needs.
        block_s: length of one call to the session; the time is looked at between blocks.
        warmup_iterations: warm up so many runs instead, however long they take.
        iterations: measure so many runs instead.
        asked_percentile: the one that was asked for, which then has a column of its own; None where none was.

    Raises:
        UsageError: a value is no positive number.
    """

    warmup_s: float = 0.2
    warmup_max_s: float = 5.0
    agreement: float = 0.10
    window_s: float = 0.05
    min_s: float = 3.0
    max_s: float = 10.0
    percentile: float = 95.0
    block_s: float = 0.1
    warmup_iterations: int | None = None
    iterations: int | None = None
    asked_percentile: float | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is None and name in ("warmup_iterations", "iterations", "asked_percentile"):
                continue
            if not isinstance(value, int | float) or not value > 0:
                raise UsageError(f"measuring policy {name} is {value!r}: give a positive number")

    @classmethod
    def quick(cls) -> Policy:
        """Half a second per row: for a first look."""
        return cls(warmup_max_s=2.0, min_s=0.5, max_s=2.0)

    def lasting(self, seconds: float) -> Policy:
        """The same, measuring at least so long."""
        return replace(self, min_s=seconds, max_s=max(self.max_s, seconds))

    def reaching(self, percentile: float, limit_s: float) -> Policy:
        """The same, going on until a percentile has its samples, for `limit_s` if it has to.

        Nothing is cut short: a limit below what is allowed already changes nothing.
        """
        needed = max(self.percentile, percentile)
        longest = max(self.max_s, limit_s)
        return replace(self, percentile=needed, max_s=longest, asked_percentile=percentile)


#: A row that is to reach a percentile may take this share of --timeout; the rest is for loading and accuracy.
SHARE_OF_TIMEOUT = 0.5


def measuring_policy(
    *, quick: bool, seconds: float | None, percentile: float | None, timeout_s: float
) -> Policy:
    """How long to warm up and measure, from what `--quick`, `--seconds`, `--percentile` and `--timeout` say.

    Raises:
        UsageError: two of them contradict each other.
    """
    if quick and seconds is not None:
        raise UsageError("--quick and --seconds both say how long: give one of them")
    if seconds is not None and seconds >= timeout_s:
        raise UsageError(
            f"--timeout {timeout_s:g} leaves no time to measure {seconds:g} s: raise it"
        )
    policy = Policy.quick() if quick else Policy()
    if seconds is not None:
        policy = policy.lasting(seconds)
    if percentile is not None:
        policy = policy.reaching(percentile, timeout_s * SHARE_OF_TIMEOUT)
    return policy


#: Going on is not worth while where throughput gains less than this share.
MIN_GAIN = 0.05
#: What a larger amount is to raise.
GAIN_COLUMN = "throughput_ips"

#: A batch, a number of streams, or an arrival rate.
Amount = int | float
#: A measured row as a search takes it, by column.
Cells = Mapping[str, Any]

_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_FORM = r"\s*([a-z][a-z0-9_]*)\s*(<=|>=|<|>)\s*([0-9.eE+-]+)\s*"


@dataclass(frozen=True)
class Constraint:
    """A bound on one column of a row.

    Attributes:
        column: its name.
        comparison: "<=", ">=", "<" or ">".
        bound: the number.

    Raises:
        UsageError: there is no such comparison.
    """

    column: str
    comparison: str
    bound: float

    def __post_init__(self) -> None:
        if self.comparison not in _OPERATORS:
            raise UsageError(
                f"a constraint compares by {', '.join(_OPERATORS)}, not {self.comparison!r}"
            )

    @classmethod
    def parse(cls, text: str) -> Constraint:
        """Read `COLUMN<=NUMBER`, with <=, >=, < or >.

        Raises:
            UsageError: it is of another form.
        """
        match = re.fullmatch(_FORM, text)
        try:
            if match is None or not math.isfinite(float(match[3])):
                raise ValueError
            return cls(match[1], match[2], float(match[3]))
        except ValueError:
            raise UsageError(
                f"constraint {text!r} can't be read: write COLUMN<=NUMBER, such as latency_p95_ms<=10"
            ) from None

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Whether a row meets it.

        Raises:
            UsageError: the row has no such column, or it is blank or no number.
        """
        value = row.get(self.column)
        if isinstance(value, bool) or not isinstance(value, int | float):
            what = "blank" if self.column in row else "no column of the profile"
            raise UsageError(
                f"constraint on {self.column}: it is {what}; choose a column with a number, "
                "or measure longer"
            )
        return _OPERATORS[self.comparison](value, self.bound)

    def met_by(self, row: Mapping[str, Any]) -> bool:
        """Whether a row was measured, has the number and meets the bound.

        None does under overload: latencies then tell how long was measured, and nothing else.
        """
        from deploykit.row import overloaded  # here: help, which shows scenarios, has no rows

        is_measured = row.get("status", "ok") == "ok" and row.get(self.column) is not None
        return is_measured and not overloaded(row) and self.holds(row)

    def __str__(self) -> str:
        return f"{self.column}{self.comparison}{in_full(self.bound)}"


@dataclass(frozen=True)
class Search:
    """How a search went.

    Attributes:
        best: the largest amount that met the constraint; None if none did.
        rows: every row measured, by amount, in the order measured.
        stopped: why no larger amount was tried.
    """

    best: Amount | None
    rows: Mapping[Amount, Cells]
    stopped: str


def steps(amounts: Sequence[Amount], constraint: Constraint) -> Generator[Amount, Cells, Search]:
    """Yield one amount after the other to be measured, take its row, and return how the search went.

    The amounts are tried in rising order until the constraint fails, or until throughput gains less than
    5% over the amount before; then the gap between the last good and the first bad one is halved, until it is
    one, or less than 5%. A row that failed, or lacks the number, does not meet the constraint.

    Args:
        amounts: positive; whole numbers where only those make sense.
        constraint: that must hold.

    Raises:
        UsageError: there are no amounts, or one that is not above zero.
    """
    if not amounts or min(amounts) <= 0:
        raise UsageError("a search needs loads of at least 1: give --batch or --streams as a list")
    rows: dict[Amount, Cells] = {}
    best: Amount | None = None
    for amount in sorted(set(amounts)):
        rows[amount] = row = yield amount
        if not constraint.met_by(row):
            if best is None:
                return Search(None, rows, f"{constraint} fails at {amount:g}")
            return (yield from _between(best, amount, rows, constraint))
        previous, best = best, amount
        if previous is not None:
            gain = row[GAIN_COLUMN] / rows[previous][GAIN_COLUMN] - 1
            if gain < MIN_GAIN:
                reason = f"from {previous:g} to {amount:g} {GAIN_COLUMN} gained {gain:+.1%} only"
                return Search(amount if gain > 0 else previous, rows, reason)
    return Search(best, rows, f"{constraint} holds for all that were tried")


def _between(
    low: Amount, bad: Amount, rows: dict[Amount, Cells], constraint: Constraint
) -> Generator[Amount, Cells, Search]:
    whole = isinstance(low, int) and isinstance(bad, int)
    while bad - low > max(1 if whole else 0, MIN_GAIN * low):
        middle = (low + bad) // 2 if whole else (low + bad) / 2
        rows[middle] = yield middle
        if constraint.met_by(rows[middle]):
            low = middle
        else:
            bad = middle
    return Search(low, rows, f"{constraint} fails at {bad:g}")
