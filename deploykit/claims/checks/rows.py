"""Claims that the rows of a profile decide: ratios between rows that differ in one thing, order, lost accuracy.

Without rows of the kind, a claim stays undecided and says which ones would decide it.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from deploykit.claims.check import BuiltRow, MeasuredRow, by_setting, check, distinct_label
from deploykit.claims.margin import Margin, Stated
from deploykit.claims.row_ratio import (
    LEAST_REPEATS,
    RowRatio,
    alike,
    confidence_of_each,
    range_of,
    row_ratio,
)
from deploykit.claims.verdict import Outcome, PartResult, Value, all_hold, figure, listed, percent
from deploykit.columns import BY_NAME, FLOAT, INT
from deploykit.errors import UnknownName, UsageError
from deploykit.row import text_of
from deploykit.stats import mean_ratio

#: What of two rows can be compared.
Of = Literal["latency", "mean latency", "throughput", "bytes", "memory"]

_QUANTITIES: dict[Of, Callable[[MeasuredRow], float | None]] = {
    "latency": lambda row: row.latency_p50_ms,
    "mean latency": lambda row: row.row["latency_mean_ms"],
    "throughput": lambda row: (row.row["batch"] or 1) / row.latency_p50_ms,
    "bytes": lambda row: row.row["onnx_bytes"],
    "memory": lambda row: row.row["host_delta_mib"],
}

#: Columns that follow the precision, so that rows of two precisions may differ in them.
_FOLLOW_PRECISION = ("target", "kept")


@check
def rows_ratio(
    rows: Sequence[MeasuredRow],
    stated: Stated,
    margin: Margin,
    of: Of,
    top: Mapping[str, str],
    bottom: Mapping[str, str],
) -> Outcome:
    """Whether a quantity of the rows `top` over that of the rows `bottom` is as stated, network by network.

    A network's part is decided where its interval is on one side of what is stated, all intervals together at 95%.
    Settings that say different things of a network are conditions of their own, and have a part each.

    Args:
        rows: those of a profile.
        stated: the ratio.
        margin: how far others may be off.
        of: what is compared.
        top: cells, by column, that say which rows are meant; all else that makes a row must be equal.
        bottom: as `top`, of the rows below the fraction line.

    Raises:
        UnknownName: there is no such column.
        UsageError: a cell can't be what it says.
    """
    free = {*top, *bottom}
    for name, cell in (
        *top.items(),
        *bottom.items(),
    ):  # also where there are no rows that could lack it
        if name not in BY_NAME:
            raise UnknownName("column", name, BY_NAME)
        if cell and BY_NAME[name].kind in (INT, FLOAT) and _number(cell) is None:
            raise UsageError(f"{name} is a number in every row, not {cell!r}")
    free |= {"macs", "parameters"} if "model" in free else set()
    free |= set(_FOLLOW_PRECISION) if "precision" in free else set()
    upper, lower = (_repeats(rows, cells, free) for cells in (top, bottom))
    ratios: dict[str, dict[str, RowRatio]] = {}
    for key, above in upper.items():
        if found := row_ratio(above, lower.get(key, ()), _QUANTITIES[of]):
            of_network = ratios.setdefault(_network(above[0]), {})
            names = dict.fromkeys((above[0].label, lower[key][0].label))
            of_network[distinct_label(" over ".join(names), of_network)] = found
    if not ratios:
        return _undecided(
            rows, f"rows with {_cells(top)} and with {_cells(bottom)}, alike in all else"
        )
    confidence = confidence_of_each(sum(len(by_label) for by_label in ratios.values()))
    parts = [
        part
        for name, by_label in ratios.items()
        for part in _by_setting(
            name,
            {
                label: found.agrees(lambda ratio: margin.side(ratio, stated), confidence)
                for label, found in by_label.items()
            },
        )
    ]
    evidence: dict[str, Value] = {
        f"{of}({name}, {label})": found.evidence
        for name, by_label in ratios.items()
        for label, found in by_label.items()
    }
    said = listed(
        f"{range_of(found.ends(confidence))} ({name}{f', {label}' if len(by_label) > 1 else ''})"
        for name, by_label in ratios.items()
        for label, found in by_label.items()
    )
    explanation = (
        f"Measured {of} with {_cells(top)} over that with {_cells(bottom)}: {said}; stated is "
        f"{margin.before(figure(stated))}."
    )
    every = [
        r for by_label in ratios.values() for found in by_label.values() for r in found.repeats
    ]
    return Outcome(parts, statistics.median_low(every), explanation, evidence)


def _by_setting(network: str, said: Mapping[str, bool | None]) -> list[PartResult]:
    """The part of a network, or one for each setting where they don't say the same."""
    if len(set(said.values())) == 1:
        return [PartResult(network, next(iter(said.values())))]
    return [PartResult(f"{network}, {label}", holds) for label, holds in said.items()]


def _repeats(
    rows: Sequence[MeasuredRow], cells: Mapping[str, str], free: set[str]
) -> dict[tuple[str, ...], list[MeasuredRow]]:
    """Rows with these cells by all that makes a row but what is free: repeats of a configuration, in order."""
    found: dict[tuple[str, ...], list[MeasuredRow]] = {}
    for row in rows:
        if _has(row, cells):
            found.setdefault(_all_but(row, free), []).append(row)
    return found


@check
def engines_smaller(
    rows: Sequence[BuiltRow], stated: Stated, margin: Margin, backend: str, precision: str
) -> Outcome:
    """Whether a backend's fp32 engines are the stated multiple of those in `precision`, network by network."""
    sizes: dict[str, dict[str, int]] = {}
    for each in rows:
        row = each.row
        if row["backend"] == backend:
            names = [row["model"] or "", *(f"{name} {row[name]}" for name in ("alpha", "rho"))]
            network = " ".join(name for name in names if not name.endswith((" 1", " 1.0", " None")))
            sizes.setdefault(network, {})[row["precision"]] = row["engine_bytes"]
    ratios = {
        name: found["fp32"] / found[precision]
        for name, found in sizes.items()
        if {"fp32", precision} <= found.keys()
    }
    if not ratios:
        needed = f"engines of {backend} in fp32 and {precision}"
        none = [PartResult("measured", None)]
        explanation = f"Not built: it takes {needed}."
        return Outcome(none, None, explanation, {"engines": 0}, lacks_rows=True)
    parts = [PartResult(name, margin.agrees(ratio, stated)) for name, ratio in ratios.items()]
    evidence: dict[str, Value] = {
        f"engine bytes({name}, fp32 over {precision})": round(r, 4) for name, r in ratios.items()
    }
    said = listed(f"{figure(ratio)} ({name})" for name, ratio in ratios.items())
    explanation = (
        f"The fp32 engine of {backend} is so many times as large as that in {precision}: {said}."
    )
    return Outcome(parts, statistics.median_low(ratios.values()), explanation, evidence)


@check
def first_runs(rows: Sequence[MeasuredRow], stated: Stated, margin: Margin) -> Outcome:
    """Whether the first run after loading takes the stated multiple of the median of later ones, by network.

    Repeats are processes of their own in one setting. Three of them agree by chance in one case of four, and there
    are many: one is decided where the interval of its mean is on one side, all intervals together at 95%.
    """
    ratios: dict[str, dict[str, list[float]]] = {}
    for group in by_setting(rows).values():
        repeats: dict[str, list[float]] = {}
        for row in group:
            first_ms = row.row["first_run_ms"]
            if first_ms:
                repeats.setdefault(_network(row), []).append(first_ms / row.latency_p50_ms)
        for name, found in repeats.items():
            of_network = ratios.setdefault(name, {})
            of_network[distinct_label(group[0].label, of_network)] = found
    if not ratios:
        return _undecided(rows, "rows with first_run_ms")
    every = {
        f"{name}{f', {label}' if len(by_label) > 1 else ''}": found
        for name, by_label in ratios.items()
        for label, found in by_label.items()
    }
    confidence = confidence_of_each(len(every))

    def holds(found: Sequence[float]) -> bool | None:
        if len(found) < LEAST_REPEATS:
            return None
        mean = mean_ratio([1.0] * len(found), found, confidence=confidence)
        return alike(margin.side(end, stated) for end in (mean.low, mean.high))

    parts = [
        part
        for name, by_label in ratios.items()
        for part in _by_setting(name, {label: holds(found) for label, found in by_label.items()})
    ]
    evidence: dict[str, Value] = {
        f"first over median({name})": " ".join(f"{ratio:.4g}" for ratio in found)
        for name, found in every.items()
    }
    said = listed(f"{range_of(found)} ({name})" for name, found in every.items())
    explanation = f"The first run over the median of later ones: {said}."
    too_few = max(map(len, every.values())) < LEAST_REPEATS
    if too_few:
        explanation += (
            f" It takes {LEAST_REPEATS} repeats or more of a network in one setting to decide."
        )
    middle = statistics.median_low([ratio for found in every.values() for ratio in found])
    return Outcome(parts, middle, explanation, evidence, lacks_rows=too_few)


@check
def rows_in_order(
    rows: Sequence[MeasuredRow], by: Literal["parameters", "macs"], at_least: int
) -> Outcome:
    """Whether latency puts the networks of a setting in the order of their parameters or MACs, each pair of them.

    A pair is in order, or out of it, where all repeats of the one and of the other say so, else it is not known.
    Settings with fewer than `at_least` networks decide nothing; the share of pairs in order is given beside.
    """
    parts: list[PartResult] = []
    evidence: dict[str, Value] = {}
    sentences = []
    for group in by_setting(rows).values():
        repeats: dict[str, list[MeasuredRow]] = {}
        for row in group:
            if row.row[by]:
                repeats.setdefault(_network(row), []).append(row)
        if len(repeats) < at_least or group[0].row["precision"] != "fp32":
            continue
        pairs = list(itertools.combinations(repeats.values(), 2))
        orders = [_in_order(one, other, by) for one, other in pairs]
        label = distinct_label(group[0].label, [part.name for part in parts])
        parts.append(PartResult(label, all_hold(orders)))
        held = orders.count(True)
        evidence[f"pairs in order({label})"] = f"{held} of {len(pairs)}"
        sentence = (
            f"{percent(held / len(pairs))} of {len(pairs)} pairs of networks are in order ({label})"
        )
        if None in orders:
            sentence += f", repeats disagree on {orders.count(None)}"
        if False in orders:
            pair = pairs[orders.index(False)]
            first, second = sorted(map(_middle, pair), key=lambda row: row.row[by])
            sentence += (
                f", but {_network(first)} with {figure(first.row[by])} {by} takes "
                f"{figure(first.latency_p50_ms)} ms and {_network(second)} with "
                f"{figure(second.row[by])} {figure(second.latency_p50_ms)} ms"
            )
        sentences.append(sentence)
    if not parts:
        return _undecided(rows, f"fp32 rows of {at_least} networks or more in one setting")
    return Outcome(parts, next(iter(evidence.values())), f"{'; '.join(sentences)}.", evidence)


def _middle(repeats: Sequence[MeasuredRow]) -> MeasuredRow:
    """The repeat of the median latency."""
    return sorted(repeats, key=lambda row: row.latency_p50_ms)[len(repeats) // 2]


def _in_order(one: Sequence[MeasuredRow], other: Sequence[MeasuredRow], by: str) -> bool | None:
    """Whether the network with more takes no less time; None where its repeats overlap those of the other."""
    first, second = sorted((one, other), key=lambda rows: rows[0].row[by])
    if first[0].row[by] == second[0].row[by]:
        return True
    fewer, more = ([row.latency_p50_ms for row in rows] for rows in (first, second))
    if max(fewer) <= min(more):
        return True
    return False if min(fewer) > max(more) else None


@check
def rows_keep_accuracy(
    rows: Sequence[MeasuredRow], stated: Stated, precision: str, within: float
) -> Outcome:
    """Whether rows of `precision` lose less than the stated share of top-1 against their fp32 rows.

    A row decides where its interval is no wider than `within` on either side, else there were too few images, and
    where that of the loss is on one side of the stated share. It is taken from those of the two rows as if they had
    seen other images, which is wider than what the same images would tell.
    """
    losses: dict[str, float] = {}
    holds: dict[str, bool | None] = {}
    unsure: list[str] = []
    free = {"precision", *_FOLLOW_PRECISION}
    full = {  # of repeats, one has the accuracy
        _all_but(row, free): row
        for row in rows
        if _has(row, {"precision": "fp32"}) and row.row["top1"] is not None
    }
    for row in rows:
        other, top1 = full.get(_all_but(row, free)), row.row["top1"]
        if not _has(row, {"precision": precision}) or other is None or top1 is None:
            continue
        reference, low, high = other.row["top1"], row.row["top1_low"], row.row["top1_high"]
        below, above = other.row["top1_low"], other.row["top1_high"]
        if reference is None or low is None or high is None or below is None or above is None:
            continue
        name = distinct_label(_network(row), [*losses, *unsure])
        if max(top1 - low, high - top1) > within:
            unsure.append(name)
        else:
            loss = losses[name] = reference - top1
            reach = math.hypot(high - low, above - below) / 2
            holds[name] = None if loss - reach < stated <= loss + reach else loss < stated
    if not losses:
        return _undecided(
            rows,
            f"{precision} and fp32 rows with top-1 of images enough for {percent(within)} either side"
            + (f"; those of {listed(unsure)} have too few" if unsure else ""),
        )
    parts = [PartResult(name, holds.get(name)) for name in (*losses, *unsure)]
    evidence: dict[str, Value] = {f"top1 lost({name})": round(v, 5) for name, v in losses.items()}
    worst = max(losses, key=lambda name: losses[name])
    explanation = (
        f"Over {len(losses)} networks {precision} loses {percent(min(losses.values()), signed=True)} to "
        f"{percent(losses[worst], signed=True)} of top-1 against fp32, most in {worst}."
    )
    open_ = [part.name for part in parts if part.holds is None]
    if open_:
        explanation += f" Of {listed(open_)} there are too few images to tell."
    return Outcome(parts, losses[worst], explanation, evidence)


def _undecided(rows: Sequence[MeasuredRow], needed: str) -> Outcome:
    explanation = f"Not measured: it takes {needed}."
    none = [PartResult("measured", None)]
    return Outcome(none, None, explanation, {"usable rows": len(rows)}, lacks_rows=True)


def _has(row: MeasuredRow, cells: Mapping[str, str]) -> bool:
    return all(_is(row.row[name], cell) for name, cell in cells.items())


def _is(value: object, cell: str) -> bool:
    """Whether a row's value is that of a cell: of numbers it is not asked how they are written."""
    if text_of(value) == cell:
        return True
    return isinstance(value, int | float) and _number(cell) == value


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _all_but(row: MeasuredRow, names: set[str]) -> tuple[str, ...]:
    """What makes a row, without the columns that may differ."""
    own = {"model": row.model, "alpha": f"{row.alpha:g}", "rho": str(row.rho)}
    cells = own | dict(row.setting) | {"macs": str(row.macs)}
    return tuple(value for name, value in cells.items() if name not in names)


def _network(row: MeasuredRow) -> str:
    multipliers = [f"alpha {row.alpha:g}"] * (row.alpha != 1) + [f"rho {row.rho}"] * (row.rho != 1)
    return " ".join([row.model, *multipliers])


def _cells(cells: Mapping[str, str]) -> str:
    return listed(f"{name} {value}" for name, value in cells.items())
