"""Profiles that look for the largest batch, number of streams or arrival rate that meets a constraint."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from deploykit.bench.scenario import Amount, Constraint, Search, steps
from deploykit.columns import BY_NAME, FLOAT
from deploykit.errors import UsageError
from deploykit.figures import general
from deploykit.row import Row
from deploykit.spec import ModelSpec
from deploykit.workflow.configuration import Configuration, ProfileOptions, enumerate_configurations
from deploykit.workflow.plan import Source
from deploykit.workflow.profile import Profiler

#: Batches that are tried where nothing else is said to be raised.
BATCHES = tuple(2**power for power in range(9))
#: Parts of the highest rate at which a search for one begins.
_PARTS = (16, 8, 4, 2, 1)

#: What grows with the load, and can so be bounded from above.
_GROWING = re.compile(r"latency_(?!bound)\w+|host_\w+_mib|device_\w+_mib")


@dataclass(frozen=True)
class Axis:
    """What is raised: "batch", "streams" or "rate", and the amounts to try, in rising order."""

    name: str
    amounts: tuple[Amount, ...]

    def at(self, base: Configuration, amount: Amount) -> Configuration:
        """A configuration at one of the amounts."""
        if self.name == "batch":
            return replace(base, batch=int(amount))
        if self.name == "streams":
            return replace(base, scenario=replace(base.scenario, streams=int(amount)))
        return replace(base, scenario=replace(base.scenario, rate_per_s=float(amount)))


@dataclass(frozen=True)
class Answer:
    """What was found for one network in one precision on one backend."""

    base: Configuration
    axis: Axis
    constraint: Constraint
    search: Search

    @property
    def text(self) -> str:
        """One line: the load to take, what it has there and its throughput, and why it is no larger."""
        source = self.base.source
        name = source.label if isinstance(source, ModelSpec) else source.name
        words = [name, self.base.precision, self.base.backend]
        words += [f"{self.base.scenario.threads} threads"] * (
            self.base.scenario.threads is not None
        )
        about, bound = " ".join(words), self.constraint
        if self.search.best is None:
            amount, row = next(iter(self.search.rows.items()))
            value = row.get(bound.column)
            observed = row.get("reason") if value is None else f"it is {general(value, 3)}"
            return f"{about}: {bound} holds at no {self.axis.name}; at {amount:g}, {observed}"
        row = self.search.rows[self.search.best]
        return (
            f"{about}: take {self.axis.name} {self.search.best:g}: {bound} holds "
            f"({bound.column} {general(row[bound.column], 3)}, {general(row['throughput_ips'], 4)} images/s); "
            f"{self.search.stopped}"
        )


def check_constraint(constraint: Constraint) -> None:
    """Refuse a bound on what does not grow with the load.

    Raises:
        UsageError: it is one.
    """
    column = BY_NAME.get(constraint.column)
    grows = column is not None and column.kind == FLOAT and _GROWING.fullmatch(column.name)
    if not grows or not constraint.comparison.startswith("<"):
        raise UsageError(
            f"constraint {str(constraint)!r}: bound from above what grows with the load, a latency or memory "
            "column, such as latency_p95_ms<=10"
        )


def percentile_of(constraint: Constraint) -> float | None:
    """The percentile that a constraint is on, which then needs its samples; None where it is on none."""
    match = re.fullmatch(r"latency_p(\d+)_(?:low_|high_)?ms", constraint.column)
    return float(match[1]) if match else None


def axis_of(options: ProfileOptions) -> Axis:
    """What the options leave to be raised: what was given as a list, a single rate as the highest, else the batch.

    Raises:
        UsageError: several are lists, or there are repeats.
    """
    if options.repeats > 1:
        raise UsageError("--constraint measures one load after the other: leave --repeats out")
    streams = tuple(dict.fromkeys(s.streams for s in options.scenarios))
    rates = tuple(dict.fromkeys(r for s in options.scenarios if (r := s.rate_per_s) is not None))
    lists = {"batch": tuple(options.batches), "streams": streams, "rate": rates}
    raised = [Axis(name, tuple(sorted(v))) for name, v in lists.items() if len(v) > 1]
    if len(raised) > 1:
        names = " and ".join(f"--{axis.name}" for axis in raised)
        raise UsageError(f"--constraint raises one thing: give one of {names} as a list")
    if raised:
        return raised[0]
    if rates:
        return Axis("rate", tuple(rates[0] / part for part in _PARTS))
    return Axis("batch", BATCHES if tuple(options.batches) == (1,) else tuple(options.batches))


class LoadSearch:
    """Searches the largest load for every network, precision, backend and number of threads.

    Args:
        sources: the networks.
        options: what stays the same; the batches, streams or rates in it are what is tried.
        constraint: that must hold.
    """

    def __init__(
        self, sources: Sequence[Source], options: ProfileOptions, constraint: Constraint
    ) -> None:
        self.axis, self.constraint = axis_of(options), constraint
        bases = enumerate_configurations(sources, options)
        lowest = self.axis.amounts[0]
        self.bases = list(dict.fromkeys(self.axis.at(base, lowest) for base in bases))
        #: For the profiler: engines take the largest batch that may be tried.
        self.options = (
            replace(options, batches=[int(amount) for amount in self.axis.amounts])
            if self.axis.name == "batch"
            else options
        )
        self.answers: list[Answer] = []
        #: Every row that was tried; at the end of a search the chosen one says so.
        self.tried: list[Row] = []

    def rows(self, profiler: Profiler) -> Iterator[Row]:
        """Every row that is tried, as it is finished; `answers` grows by one after each search.

        The row's `constraint` says whether it holds; which one is chosen is in `tried` when its search ends.
        """
        for base in self.bases:
            only = self._only_batch(profiler, base)
            search = steps(self.axis.amounts if only is None else (only,), self.constraint)
            places: dict[Amount, int] = {}
            amount = next(search)
            while True:
                (row,) = profiler.rows([self.axis.at(base, amount)])
                met = self.constraint.met_by(row)
                row = row.plus({"constraint": f"{self.constraint} {'holds' if met else 'fails'}"})
                places[amount] = len(self.tried)
                self.tried.append(row)
                yield row
                try:
                    amount = search.send(row)
                except StopIteration as stop:
                    outcome: Search = stop.value
                    break
            if only is not None:
                outcome = replace(outcome, stopped=f"the graph takes batch {only} only")
            if outcome.best is not None:
                place = places[outcome.best]
                chosen = {"constraint": f"{self.constraint} holds: chosen"}
                self.tried[place] = self.tried[place].plus(chosen)
            self.answers.append(Answer(base, self.axis, self.constraint, outcome))

    def _only_batch(self, profiler: Profiler, base: Configuration) -> int | None:
        """The one batch to try where the batch is raised and a graph takes no other; None where several may be."""
        if self.axis.name != "batch":
            return None
        only = profiler.only_batch(base)
        return only if only in self.axis.amounts or 1 in self.axis.amounts else None
