"""Measured rows as the checks need them: which network, how it was run, and its latency. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from deploykit.columns import BY_NAME, SETTING_NAMES, differences_from_plain
from deploykit.row import Row, text_of

#: What must be equal for two latencies to be compared: columns and their values as text.
Setting = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class MeasuredRow:
    """A row that was measured, has a median latency, and whose precision is what it says.

    Attributes:
        setting: all that must be equal for latencies to be compared, by column.
        model, alpha, rho: which network.
        macs: as in the row, None where blank.
        latency_p50_ms: median latency of one run at the row's batch.
    """

    setting: Setting
    model: str
    alpha: float
    rho: Fraction
    macs: int | None
    latency_p50_ms: float

    @property
    def label(self) -> str:
        """Backend and precision, and what else is not one forward pass of one image at a time."""
        values = dict(self.setting)
        parts = [values["backend"], values["precision"], *differences_from_plain(values)]
        return " ".join(part for part in parts if part) or "unnamed setting"


def measured_rows(rows: Iterable[Row] | None) -> list[MeasuredRow]:
    """Take the usable rows of a profile: status ok, a median, computed in the precision asked for.

    Rows emulated in another type are left out, because their latency says nothing about the type.
    """
    usable = (_usable(row) for row in rows or ())
    return [row for row in usable if row is not None]


def _usable(row: Row) -> MeasuredRow | None:
    latency_ms, actual = row["latency_p50_ms"], row["precision_actual"]
    if row["status"] not in (None, "ok") or actual not in (None, row["precision"]):
        return None
    if latency_ms is None or not (math.isfinite(latency_ms) and latency_ms > 0):
        return None
    try:
        rho = Fraction(row["rho"] or 1).limit_denominator(1000)
    except (ValueError, ZeroDivisionError):
        return None
    alpha = 1.0 if row["alpha"] is None else float(row["alpha"])
    setting = tuple((name, text_of(row[name]) or BY_NAME[name].blank) for name in SETTING_NAMES)
    return MeasuredRow(setting, row["model"] or "", alpha, rho, row["macs"], latency_ms)


def by_setting(rows: Iterable[MeasuredRow]) -> dict[Setting, list[MeasuredRow]]:
    """Group rows whose latencies can be compared."""
    groups: dict[Setting, list[MeasuredRow]] = {}
    for row in rows:
        groups.setdefault(row.setting, []).append(row)
    return groups
