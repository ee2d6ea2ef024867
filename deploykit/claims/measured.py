"""Measured rows, in the columns of the profile, as the checks need them. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

#: Columns that must be equal for two latencies to be compared.
_SETTING = (
    "env_id device target backend backend_version precision batch threads streams boundary".split()
)


@dataclass(frozen=True)
class MeasuredRow:
    """A row that was measured, has a median latency, and whose precision is what it says.

    Attributes:
        setting: all that must be equal for latencies to be compared, by column.
        model, alpha, rho: which network.
        macs: as in the row, None where blank.
        latency_p50_ms: median latency of one run at the row's batch.
    """

    setting: tuple[tuple[str, str], ...]
    model: str
    alpha: float
    rho: Fraction
    macs: int | None
    latency_p50_ms: float

    @property
    def label(self) -> str:
        """Backend and precision, and the batch where it isn't 1."""
        values = dict(self.setting)
        parts = [values["backend"], values["precision"]]
        if values["batch"] not in ("", "1"):
            parts.append(f"batch {values['batch']}")
        return " ".join(part for part in parts if part) or "unnamed setting"


def measured_rows(rows: Any) -> list[MeasuredRow]:
    """Take the usable rows of a profile: status ok, a median, computed in the precision asked for.

    `rows` is a DataFrame, an iterable of mappings in the profile's columns (numbers or their text), or
    None. Rows emulated in another type are left out, because their latency says nothing about the type.
    """
    if rows is None:
        return []
    if hasattr(rows, "to_dict"):
        rows = rows.to_dict("records")
    usable = (_usable(row) for row in rows)
    return [row for row in usable if row is not None]


def _usable(row: Mapping[str, Any]) -> MeasuredRow | None:
    if _text(row, "status") not in ("", "ok"):
        return None
    actual = _text(row, "precision_actual")
    if actual and actual != _text(row, "precision"):
        return None
    try:
        latency_ms = float(_text(row, "latency_p50_ms"))
        alpha = float(_text(row, "alpha") or 1)
        rho = Fraction(_text(row, "rho") or 1).limit_denominator(1000)
        macs = int(float(_text(row, "macs"))) if _text(row, "macs") else None
    except (ValueError, ZeroDivisionError):
        return None
    if not (math.isfinite(latency_ms) and latency_ms > 0):
        return None
    setting = tuple((column, _text(row, column)) for column in _SETTING)
    return MeasuredRow(setting, _text(row, "model"), alpha, rho, macs, latency_ms)


def _text(row: Mapping[str, Any], column: str) -> str:
    """A cell as text; blank for None and NaN. Whole floats read as integers, as CSV readers make them."""
    value = row.get(column)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip()
    return "" if text in ("nan", "<NA>", "None") else text


def by_setting(rows: Iterable[MeasuredRow]) -> dict[tuple[tuple[str, str], ...], list[MeasuredRow]]:
    """Group rows whose latencies can be compared."""
    groups: dict[tuple[tuple[str, str], ...], list[MeasuredRow]] = {}
    for row in rows:
        groups.setdefault(row.setting, []).append(row)
    return groups
