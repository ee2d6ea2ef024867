"""The largest load that meets a constraint: which loads to try next, and when to stop."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploykit.bench.constraint import Constraint
from deploykit.errors import UsageError

#: Going on is not worth while where throughput gains less than this share.
MIN_GAIN = 0.05
#: What a larger load is to raise.
GAIN_COLUMN = "throughput_ips"

#: A batch, a number of streams, or an arrival rate.
Amount = int | float
Measured = Mapping[str, Any]


@dataclass(frozen=True)
class Search:
    """How a search went.

    Attributes:
        best: the largest load that met the constraint; None if none did.
        rows: every row measured, by load, in the order measured.
        stopped: why no larger load was tried.
    """

    best: Amount | None
    rows: Mapping[Amount, Measured]
    stopped: str


def largest(
    loads: Sequence[Amount], measure: Callable[[Amount], Measured], constraint: Constraint
) -> Search:
    """Find the largest load whose row meets a constraint; see `steps`."""
    search = steps(loads, constraint)
    load = next(search)
    while True:
        try:
            load = search.send(measure(load))
        except StopIteration as stop:
            found: Search = stop.value
            return found


def steps(loads: Sequence[Amount], constraint: Constraint) -> Generator[Amount, Measured, Search]:
    """Yield one load after the other to be measured, take its row, and return how the search went.

    The loads are tried in rising order until the constraint fails, or until throughput gains less than
    5% over the load before; then the gap between the last good and the first bad one is halved, until it is
    one, or less than 5%. A row that failed, or lacks the number, does not meet the constraint.

    Args:
        loads: positive; whole numbers where only those make sense.
        constraint: that must hold.

    Raises:
        UsageError: there are no loads, or one that is not above zero.
    """
    if not loads or min(loads) <= 0:
        raise UsageError("a search needs loads of at least 1: give --batch or --streams as a list")
    rows: dict[Amount, Measured] = {}
    best: Amount | None = None
    for load in sorted(set(loads)):
        rows[load] = row = yield load
        if not constraint.met_by(row):
            if best is None:
                return Search(None, rows, f"{constraint} fails at {load:g}")
            return (yield from _between(best, load, rows, constraint))
        previous, best = best, load
        if previous is not None:
            gain = row[GAIN_COLUMN] / rows[previous][GAIN_COLUMN] - 1
            if gain < MIN_GAIN:
                reason = f"from {previous:g} to {load:g} {GAIN_COLUMN} gained {gain:+.1%} only"
                return Search(load if gain > 0 else previous, rows, reason)
    return Search(best, rows, f"{constraint} holds for all that were tried")


def _between(
    low: Amount, bad: Amount, rows: dict[Amount, Measured], constraint: Constraint
) -> Generator[Amount, Measured, Search]:
    whole = isinstance(low, int) and isinstance(bad, int)
    while bad - low > max(1 if whole else 0, MIN_GAIN * low):
        middle = (low + bad) // 2 if whole else (low + bad) / 2
        rows[middle] = yield middle
        if constraint.met_by(rows[middle]):
            low = middle
        else:
            bad = middle
    return Search(low, rows, f"{constraint} fails at {bad:g}")
