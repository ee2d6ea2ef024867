"""Which columns people look at, and how their values read: for terminals and Markdown alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploykit.columns import BY_NAME, INT, TEXT

#: A row as a view takes it: a `Row`, or cells of another report, by column.
Cells = Mapping[str, Any]


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
    text: Callable[[Cells], str]
    number: bool = True
    rank: int = 0
    varying: bool = False

    def tells(self, rows: Sequence[Cells]) -> bool:
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


def label(row: Cells) -> str:
    """The network with its multipliers, as short as it can be said."""
    text = str(row.get("model") or "")
    if row.get("alpha") not in (None, "", "1", 1):
        text += f" α={float(row['alpha']):g}"
    if row.get("rho") not in (None, "", "1", 1):
        text += f" ρ={row['rho']}"
    return text


def precision(row: Cells) -> str:
    """The precision, and the one computed in where it differs."""
    asked, actual = row.get("precision") or "", row.get("precision_actual")
    return str(asked) if actual in (None, "", asked) else f"{asked} (as {actual})"


def latency(row: Cells) -> str:
    """The median with its interval."""
    if row.get("latency_p50_ms") in (None, ""):
        return "–"
    low, high = row.get("latency_p50_low_ms"), row.get("latency_p50_high_ms")
    spread = f" [{significant(low)}, {significant(high)}]" if low not in (None, "") else ""
    return significant(row["latency_p50_ms"]) + spread


def accuracy(row: Cells) -> str:
    """Top-1 with its interval, where it was measured."""
    if row.get("top1") in (None, ""):
        return "–"
    return (
        f"{percent(row['top1'])} [{percent(row.get('top1_low'))}, {percent(row.get('top1_high'))}]"
    )


def constraint(row: Cells) -> str:
    """Whether a constraint holds: the last word of the column."""
    return str(row.get("constraint") or "–").rpartition(" ")[2]


def column(name: str, style: Callable[[Any], str] = significant) -> Callable[[Cells], str]:
    """A cell that shows one column."""
    return lambda row: style(row.get(name))


def run_pass(row: Cells) -> str:
    """What a run did; empty for a forward pass, which is what one expects."""
    return "" if row.get("pass") in (None, "", "forward") else str(row["pass"])


def spread(row: Cells) -> str:
    """The mean and the standard deviation, in the mean's precision."""
    mean, std = row.get("latency_mean_ms"), row.get("latency_std_ms")
    if mean in (None, "") or std in (None, ""):
        return "–"
    return f"{significant(mean, 4)} ± {significant(std)}"


def text(name: str) -> Callable[[Cells], str]:
    """A cell that shows one column as it is."""
    return lambda row: str(row.get(name) or "")


def unless_1(name: str) -> Callable[[Cells], str]:
    """A cell that shows a number, but not the 1 that one expects."""
    return lambda row: "" if row.get(name) in (None, "", 1) else str(row[name])


def field(
    name: str, shown: Callable[[Cells], str] | None = None, *, rank: int = 0, varying: bool = False
) -> Field:
    """A column of the profile under its own heading.

    Args:
        name: of the column.
        shown: how its cells read; None: as numbers, or bytes in MB.
        rank: see `Field`.
        varying: see `Field`.
    """
    known = BY_NAME[name]
    style = megabytes if known.unit == "bytes" else plain if known.kind == INT else significant
    cell = shown or (text(name) if known.kind == TEXT else column(name, style))
    return Field(known.heading or name, cell, known.kind != TEXT, rank, varying)


#: What a terminal and summary.md show of a profile.
PROFILE: tuple[Field, ...] = (
    field("model", label),
    field("backend", rank=2),
    field("precision", precision),
    field("batch", unless_1("batch")),
    field("threads", varying=True),
    field("streams", varying=True),
    field("options", varying=True),
    field("rate_per_s", varying=True),
    field("repeat", varying=True),
    field("pass", run_pass),
    field("latency_p50_ms", latency),
    field("latency_p95_ms", rank=6),
    field("throughput_ips", rank=4),
    field("engine_bytes", rank=5),
    field("host_peak_mib", rank=7),
    field("drift_snr_db", rank=3),
    field("top1", accuracy, rank=1),
    field("constraint", constraint),
    field("status"),
)

#: What a terminal shows of a preset that stands for a published listing: its own figures first.
LISTING: tuple[Field, ...] = (
    field("model", label),
    field("backend", rank=2),
    field("precision", precision, rank=3),
    field("batch"),
    field("pass"),
    field("iterations", rank=1),
    field("latency_mean_ms", spread),
    field("latency_p50_ms", latency),
    field("throughput_ips", rank=1),
    field("status"),
)

#: What a terminal shows of the rows of a tuning, each with the name of its candidate under "candidate".
TUNED: tuple[Field, ...] = (
    Field("measured", column("candidate", str), number=False),
    field("latency_p50_ms", latency),
    field("latency_p95_ms", rank=6),
    field("throughput_ips", rank=4),
    field("engine_bytes", rank=5),
    field("host_peak_mib", rank=7),
    field("drift_snr_db", rank=3),
    field("top1", accuracy, rank=1),
)

#: What is worth seeing of engines that could not run here.
ENGINES: tuple[Field, ...] = (
    field("model", label),
    field("backend", lambda row: f"{row['backend']} {row['backend_version']}"),
    field("precision", precision),
    field("engine_bytes"),
    field("build_s"),
    field("status", lambda row: f"{row['status']}: {row['reason']}"),
)
