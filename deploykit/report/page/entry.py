"""A row as a page shows it: its name, its state, and which of its numbers are doubtful and why."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deploykit.columns import (
    BY_NAME,
    IDENTITY_NAMES,
    NAMES,
    SOFT_NAMES,
    differences_from_plain,
)
from deploykit.figures import plainly
from deploykit.report import refuse_simulated
from deploykit.report.check import reasons_of
from deploykit.report.states import DRIFTS, FEW_RUNS
from deploykit.report.views import label, precision
from deploykit.row import text_of

OK, DOUBTFUL, FAILED, SKIPPED = "ok", "doubtful", "failed", "skipped"
STATES = (OK, DOUBTFUL, FAILED, SKIPPED)
#: What a doubt is about, by its name; every other one is about the latency.
_ABOUT = {
    "drift": ("drift",),
    "calibration": ("drift", "accuracy", "metric"),
    "accuracy": ("accuracy",),
    "metric": ("metric",),
    DRIFTS["coarse"]: ("drift",),
    # A percentile that is blank says nothing against the median.
    "runs": (),
    "samples": (),
}
_LATENCY = ("latency",)


@dataclass(frozen=True)
class Doubt:
    """One cause for doubt: its name, what was seen, what helps, and which numbers it is about."""

    name: str
    seen: str
    remedy: str

    @property
    def about(self) -> tuple[str, ...]:
        """Of "latency", "drift", "accuracy" and "metric" those that it makes doubtful."""
        return _ABOUT.get(self.name, _LATENCY)


@dataclass(frozen=True)
class Entry:
    """A row of the report.

    Attributes:
        number: its place in the report, from 0, by which pictures and table name it.
        cells: its values by column.
        doubts: why it is doubtful; empty where it is not, or was not measured.
        name: the configuration among the others of the report, as short as it can be said.
    """

    number: int
    cells: Mapping[str, Any]
    doubts: tuple[Doubt, ...]
    name: str

    @property
    def state(self) -> str:
        """One of `STATES`."""
        status = str(self.cells.get("status") or OK)
        if status != OK:
            return status
        return DOUBTFUL if any(doubt.about for doubt in self.doubts) else OK

    def doubtful(self, what: str) -> bool:
        """Whether its latency, drift, accuracy or metric, as `what` says, is doubtful."""
        return any(what in doubt.about for doubt in self.doubts)

    def value(self, column: str) -> float | None:
        """A finite number of a measured row, None where it has none."""
        if self.cells.get("status") not in (None, OK):
            return None
        cell = self.cells.get(column)
        if cell in (None, ""):
            return None
        number = float(cell)
        return number if math.isfinite(number) else None

    def text(self, column: str) -> str:
        """A cell as text, blank where there is nothing."""
        return text_of(self.cells.get(column))

    @property
    def network(self) -> str:
        """The network with its multipliers."""
        return label(self.cells)

    @property
    def why(self) -> str:
        """What to know of the row, in words: the doubts, then what the row says itself."""
        reason = self.text("reason")
        # A row that says itself that it is emulated says it better.
        said = [
            f"{doubt.name}: {doubt.seen}"
            for doubt in self.doubts
            if not reason.startswith(f"{doubt.name}:")
        ]
        # Its own doubts stand here already.
        if self.text("speedup_doubt") and not self.doubtful("latency"):
            said.append(f"speedup: {self.text('speedup_doubt')}")
        return "; ".join([*said, *([reason] if reason else [])])

    @property
    def key(self) -> tuple[str, ...]:
        """What names its configuration, for the same one of another report; the machine is left out."""
        return tuple(
            self.text(name) or BY_NAME[name].blank for name in IDENTITY_NAMES if name != "env_id"
        )

    def fits(self, other: Entry) -> bool:
        """Whether a row of the same key is of the same configuration, as far as both have the soft columns."""
        pairs = [(self.text(name), other.text(name)) for name in SOFT_NAMES]
        return all(not ours or not theirs or ours == theirs for ours, theirs in pairs)


def entries_of(rows: Iterable[Mapping[str, Any]], source: str, folder: Path) -> list[Entry]:
    """The rows of a report in its order.

    Args:
        rows: with the profile's columns.
        source: the file, as errors name it.
        folder: of the report, where its samples lie.

    Raises:
        UsageError: a row is of a simulated device, or a value is none that a report can hold.
    """
    rows = list(rows)
    for row in rows:
        refuse_simulated(row)
    texts = [{name: text_of(row.get(name)) for name in NAMES} for row in rows]
    names = _names(texts)
    entries = []
    for number, (row, cells) in enumerate(zip(rows, texts, strict=True)):
        reasons = reasons_of(cells, source, number + 2, folder)
        doubts = tuple(Doubt(*map(plainly, reason)) for reason in reasons)
        doubts = _as_terminals_say(cells, doubts) if cells["status"] == OK else ()
        entries.append(Entry(number, row, doubts, names[number]))
    return entries


def _as_terminals_say(cells: Mapping[str, str], doubts: Sequence[Doubt]) -> tuple[Doubt, ...]:
    """The doubts of a measured row such that its state is the one that tables elsewhere give it."""
    told = [
        replace(one, name=FEW_RUNS) if one.name == "runs" and not cells["latency_p50_ms"] else one
        for one in doubts
    ]
    if cells["drift_state"] == "coarse":
        seen = "outputs differ by more than the rounding of float32 explains"
        told.append(Doubt(DRIFTS["coarse"], seen, "see `deploykit layers`"))
    return tuple(told)


def _names(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """A name for each row: network and precision, and of the rest what sets rows of the report apart."""
    measured = [cells for cells in rows if cells["status"] == OK] or rows
    backends = {cells["backend"] for cells in measured}
    weights = {(label(cells), cells["weights"]) for cells in measured}
    several_weights = len(weights) > len({network for network, _ in weights})
    threads = len({cells["threads"] for cells in rows} - {""}) > 1
    several_machines = len({cells["env_id"] for cells in rows} - {""}) > 1
    names = []
    for cells in rows:
        parts = [label(cells), precision(cells)]
        parts += [cells["backend"]] if len(backends | {cells["backend"]}) > 1 else []
        parts += [cells["weights"]] if several_weights else []
        parts += differences_from_plain(cells, threads=threads)
        parts += [f"on {cells['env_id']}"] if several_machines and cells["env_id"] else []
        names.append(" ".join(parts))
    counts = {name: names.count(name) for name in set(names)} if len(names) < 2000 else {}
    return [
        f"{name} #{cells['repeat']}" if counts.get(name, 1) > 1 and cells["repeat"] else name
        for name, cells in zip(names, rows, strict=True)
    ]
