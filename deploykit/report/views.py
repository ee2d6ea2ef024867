"""Which columns people look at, and how their values read: for terminals and Markdown alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from deploykit.report.schema import Row


@dataclass(frozen=True)
class Field:
    """One column of a view.

    Attributes:
        heading: of the column.
        text: how a row's cell reads.
        number: whether it is set to the right.
        rank: where there is no room for all columns, those of the highest rank go first.
        varying: only worth a column where rows differ in it.
    """

    heading: str
    text: Callable[[Row], str]
    number: bool = True
    rank: int = 0
    varying: bool = False

    def tells(self, rows: Sequence[Row]) -> bool:
        """Whether a table of these rows needs the column."""
        texts = {self.text(row) for row in rows}
        return len(texts) > 1 if self.varying else not texts <= {"", "–"}


def significant(value: Any, digits: int = 3) -> str:
    """A number with that many significant digits, without exponents for everyday sizes; "–" if blank."""
    if value is None or value == "":
        return "–"
    number = float(value)
    if number != 0 and not 1e-3 <= abs(number) < 1e6:
        return f"{number:.{digits - 1}e}"
    if abs(number) >= 10 ** (digits - 1):
        return f"{number:,.0f}"
    return f"{number:.{digits}g}"


def plain(value: Any) -> str:
    """A whole number as it is; "–" if blank."""
    return "–" if value in (None, "") else f"{float(value):.0f}"


def millions(value: Any) -> str:
    """A count in millions (10^6)."""
    return "–" if value in (None, "") else f"{float(value) / 1e6:,.3g}"


def megabytes(value: Any) -> str:
    """Bytes in MB (10^6)."""
    return "–" if value in (None, "") else f"{float(value) / 1e6:.2f}"


def percent(value: Any) -> str:
    """A share as a percentage."""
    return "–" if value in (None, "") else f"{100 * float(value):.1f}%"


def label(row: Row) -> str:
    """The network with its multipliers, as short as it can be said."""
    text = str(row.get("model") or "")
    if row.get("alpha") not in (None, "", "1", 1):
        text += f" α={float(row['alpha']):g}"
    if row.get("rho") not in (None, "", "1", 1):
        text += f" ρ={row['rho']}"
    return text


def precision(row: Row) -> str:
    """The precision, and the one computed in where it differs."""
    asked, actual = row.get("precision") or "", row.get("precision_actual")
    return str(asked) if actual in (None, "", asked) else f"{asked} (as {actual})"


def latency(row: Row) -> str:
    """The median with its interval."""
    if row.get("latency_p50_ms") in (None, ""):
        return "–"
    low, high = row.get("latency_p50_low_ms"), row.get("latency_p50_high_ms")
    spread = f" [{significant(low)}, {significant(high)}]" if low not in (None, "") else ""
    return significant(row["latency_p50_ms"]) + spread


def accuracy(row: Row) -> str:
    """Top-1 with its interval, where it was measured."""
    if row.get("top1") in (None, ""):
        return "–"
    return (
        f"{percent(row['top1'])} [{percent(row.get('top1_low'))}, {percent(row.get('top1_high'))}]"
    )


def constraint(row: Row) -> str:
    """Whether a constraint holds: the last word of the column."""
    return str(row.get("constraint") or "–").rpartition(" ")[2]


def column(name: str, style: Callable[[Any], str] = significant) -> Callable[[Row], str]:
    """A cell that shows one column."""
    return lambda row: style(row.get(name))


def run_pass(row: Row) -> str:
    """What a run did; empty for a forward pass, which is what one expects."""
    return "" if row.get("pass") in (None, "", "forward") else str(row["pass"])


def spread(row: Row) -> str:
    """The mean and the standard deviation, in the mean's precision."""
    mean, std = row.get("latency_mean_ms"), row.get("latency_std_ms")
    if mean in (None, "") or std in (None, ""):
        return "–"
    return f"{significant(mean, 4)} ± {significant(std)}"


#: What a terminal and summary.md show of a profile.
PROFILE: tuple[Field, ...] = (
    Field("model", label, number=False),
    Field("backend", lambda row: str(row.get("backend") or ""), number=False, rank=2),
    Field("precision", precision, number=False),
    Field("batch", lambda row: "" if row.get("batch") in (None, "", 1) else str(row["batch"])),
    Field("threads", column("threads", plain), varying=True),
    Field("streams", column("streams", plain), varying=True),
    Field("rate/s", column("rate_per_s"), varying=True),
    Field("repeat", column("repeat", plain), varying=True),
    Field("pass", run_pass, number=False),
    Field("p50 ms [95%]", latency),
    Field("p95 ms", column("latency_p95_ms"), rank=6),
    Field("images/s", column("throughput_ips"), rank=4),
    Field("engine MB", column("engine_bytes", megabytes), rank=5),
    Field("peak MiB", column("host_peak_mib"), rank=7),
    Field("drift SNR dB", column("drift_snr_db"), rank=3),
    Field("top-1 [95%]", accuracy, rank=1),
    Field("constraint", constraint, number=False),
    Field("status", lambda row: str(row.get("status") or ""), number=False),
)

#: What a terminal shows of a preset that stands for a published listing: its own figures first.
LISTING: tuple[Field, ...] = (
    Field("model", label, number=False),
    Field("backend", lambda row: str(row.get("backend") or ""), number=False, rank=2),
    Field("precision", precision, number=False, rank=3),
    Field("batch", column("batch", plain)),
    Field("pass", lambda row: str(row.get("pass") or ""), number=False),
    Field("runs", column("iterations", plain), rank=1),
    Field("mean ± std ms", spread),
    Field("p50 ms [95%]", latency),
    Field("images/s", column("throughput_ips"), rank=1),
    Field("status", lambda row: str(row.get("status") or ""), number=False),
)
