"""Which columns people look at, and how their values read: for terminals and Markdown alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from deploykit.columns import BY_NAME, INT, TEXT
from deploykit.figures import decimals_of, with_interval
from deploykit.figures import significant as significant
from deploykit.report.states import DOUBT, doubtful, few_runs, state

#: A row as a view takes it: a `Row`, or cells of another report, by column.
Cells = Mapping[str, Any]


@dataclass(frozen=True)
class Field:
    """One column of a view.

    Attributes:
        heading: of the column.
        text: how a row's cell reads.
        number: whether it is set to the right.
        rank: where there is no room for all columns, those of the highest rank go first; 0 stays.
        apart: whether it tells rows apart: a column where they differ in it, else a word above the table.
        usual: the texts of an `apart` column that go without saying.
        follows: of an `apart` column that the network's name mostly settles: worth a column only where it does not.
        name: of the column of a profile that it shows; empty where it shows several, or none.
    """

    heading: str
    text: Callable[[Cells], str]
    number: bool = True
    rank: int = 0
    apart: bool = False
    usual: tuple[str, ...] = ("",)
    follows: bool = False
    name: str = ""

    def tells(self, rows: Sequence[Cells]) -> bool:
        """Whether any of these rows says anything in the column."""
        return not {self.text(row) for row in rows} <= {"", "–"}


@dataclass(frozen=True)
class Arranged:
    """A view of some rows: the columns worth having, and what is the same in all of them.

    Attributes:
        above: what all rows have in common, a few words for each.
        fields: the columns, from left to right.
    """

    above: tuple[str, ...]
    fields: tuple[Field, ...]


def arrange(fields: Sequence[Field], rows: Sequence[Cells]) -> Arranged:
    """The columns in which these rows tell something; what tells none of them apart goes above the table.

    The first column stays, so that a table has a name in each row.
    """
    above, shown = [], []
    named = [label(row) for row in rows]
    for place, one in enumerate(asked_for(fields, rows)):
        # A row that failed lacks some of what names it: that makes it no other configuration.
        texts = {one.text(row) for row in rows} - {"–"}
        if place and one.follows:
            both = set(zip(named, map(one.text, rows), strict=True))
            if len(both) == len(set(named)):
                continue
        if place and one.apart and (len(texts) <= 1 or texts <= set(one.usual)):
            above += [f"{one.heading} {text}" for text in texts if text not in one.usual]
        elif one.tells(rows):
            shown.append(one)
    return Arranged(tuple(above), tuple(shown))


def asked_for(fields: Sequence[Field], rows: Sequence[Cells]) -> list[Field]:
    """The fields of a view, with one for each percentile that was asked for, or judged by, behind the median's.

    Such a column stays however narrow the terminal is.
    """
    asked = {float(p) for row in rows if (p := row.get("percentile")) not in (None, "")}
    own = {f"latency_p{percent:g}_ms": percent for percent in asked}
    placed = [replace(one, rank=0) if one.name in own else one for one in fields]
    asked -= {own[one.name] for one in fields if one.name in own}
    where = [i for i, one in enumerate(placed) if one.name == "latency_p50_ms"]
    if where:
        placed[where[0] + 1 : where[0] + 1] = [_percentile(percent) for percent in sorted(asked)]
    return placed


def _percentile(percent: float) -> Field:
    def cell(row: Cells) -> str:
        if row.get("percentile") in (None, "") or float(row["percentile"]) != percent:
            return "–"
        return marked(row, significant(row.get("latency_percentile_ms")))

    return Field(f"p{percent:g} ms", cell, name="latency_percentile_ms")


def marked(row: Cells, text: str) -> str:
    """The text of a measured time, or of what follows from one, with a question mark where it is doubtful."""
    return f"{text}{DOUBT}" if text not in ("", "–") and doubtful(row) else text


def timed(name: str) -> Callable[[Cells], str]:
    """A cell that shows a time, or what follows from one."""
    return lambda row: marked(row, significant(row.get(name)))


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
        text += f" α={_general(row['alpha'])}"
    if row.get("rho") not in (None, "", "1", 1):
        text += f" ρ={row['rho']}"
    return text


def _general(value: Any) -> str:
    """A number as short as it can be said; what is none in a report of another hand as it stands."""
    try:
        return f"{float(value):g}"
    except ValueError:
        return str(value)


def precision(row: Cells) -> str:
    """The precision, and the one computed in where it differs."""
    asked, actual = row.get("precision") or "", row.get("precision_actual")
    return str(asked) if actual in (None, "", asked) else f"{asked} (as {actual})"


def latency(row: Cells) -> str:
    """The median with its interval; of fewer runs than a median takes, their number, mean and minimum."""
    if few_runs(row):
        mean, least = row.get("latency_mean_ms"), row.get("latency_min_ms")
        return (
            f"n {plain(row.get('iterations'))}, mean {significant(mean)}{DOUBT}, "
            f"min {significant(least)}{DOUBT}"
        )
    return estimate(row, "latency_p50", "_ms")


def estimate(row: Cells, stem: str, unit: str = "") -> str:
    """A measured value with its interval, both with the same digits, and marked where it is doubtful."""
    value = row.get(f"{stem}{unit}")
    if value in (None, ""):
        return "–"
    low, high = row.get(f"{stem}_low{unit}"), row.get(f"{stem}_high{unit}")
    texts = (
        with_interval(float(value), float(low), float(high))
        if low not in (None, "") and high not in (None, "")
        else None
    )
    if texts is None:
        return marked(row, significant(value))
    return f"{marked(row, texts[0])} [{texts[1]}, {texts[2]}]"


def speedup(row: Cells) -> str:
    """How many times as fast as fp32, with its interval; marked where either row is doubtful."""
    text = estimate(row, "speedup")
    if row.get("speedup_doubt") in (None, "") or doubtful(row):
        return text
    value, space, interval = text.partition(" ")
    return f"{value}{DOUBT}{space}{interval}"


def accuracy(row: Cells) -> str:
    """Top-1 with its interval, where it was measured."""
    if row.get("top1") in (None, ""):
        return "–"
    return (
        f"{percent(row['top1'])} [{percent(row.get('top1_low'))}, {percent(row.get('top1_high'))}]"
    )


def metric(row: Cells) -> str:
    """The value of the user's own metric with its interval, where there is one; no timing makes it doubtful."""
    value, low, high = (row.get(f"metric_{end}") for end in ("value", "low", "high"))
    if value in (None, ""):
        return "–"
    if low in (None, "") or high in (None, ""):
        return significant(value)
    texts = with_interval(float(str(value)), float(str(low)), float(str(high)))
    return significant(value) if texts is None else f"{texts[0]} [{texts[1]}, {texts[2]}]"


def constraint(row: Cells) -> str:
    """Whether a constraint holds: the last word of the column."""
    return str(row.get("constraint") or "–").rpartition(" ")[2]


def column(name: str, style: Callable[[Any], str] = significant) -> Callable[[Cells], str]:
    """A cell that shows one column."""
    return lambda row: style(row.get(name))


def spread(row: Cells) -> str:
    """The mean and the standard deviation, with the same decimals."""
    mean, std = row.get("latency_mean_ms"), row.get("latency_std_ms")
    if mean in (None, "") or std in (None, ""):
        return "–"
    decimals = decimals_of(float(mean), 4)
    return f"{marked(row, f'{float(mean):,.{decimals}f}')} ± {float(std):,.{decimals}f}"


def text(name: str) -> Callable[[Cells], str]:
    """A cell that shows one column as it is."""
    return lambda row: str(row.get(name) or "")


def field(
    name: str,
    shown: Callable[[Cells], str] | None = None,
    *,
    rank: int = 0,
    apart: bool = False,
    usual: tuple[str, ...] = ("",),
    follows: bool = False,
) -> Field:
    """A column of the profile under its own heading.

    Args:
        name: of the column.
        shown: how its cells read; None: as numbers, or bytes in MB.
        rank: see `Field`, as of the others.
        apart: of the configuration.
        usual: texts that go without saying.
        follows: the name mostly settles it.
    """
    known = BY_NAME[name]
    style = megabytes if known.unit == "bytes" else plain if known.kind == INT else significant
    cell = shown or (text(name) if known.kind == TEXT else column(name, style))
    heading = known.heading or name
    return Field(heading, cell, known.kind != TEXT, rank, apart, usual, follows, name)


#: What tells the rows of a profile apart.
_APART: tuple[Field, ...] = (
    field("model", label, apart=True),
    field("backend", apart=True),
    field("precision", precision, apart=True),
    field("kept", apart=True),
    field("weights", apart=True, follows=True),
    field("batch", column("batch", plain), apart=True, usual=("", "1")),
    field("threads", apart=True),
    field("streams", apart=True, usual=("", "1")),
    field("options", apart=True),
    field("engine_options", apart=True),
    field("rate_per_s", apart=True),
    field("boundary", apart=True, usual=("", "end_to_end")),
    field("cuda_graph", apart=True, usual=("", "no")),
    field("repeat", apart=True, usual=("", "1")),
    field("pass", apart=True, usual=("", "forward")),
)

#: What names a row that is to be measured.
CONFIGURATION = _APART

#: The same of rows that were measured, of which a report may hold those of several machines.
_MEASURED: tuple[Field, ...] = (
    *_APART,
    Field("machine", text("env_id"), number=False, apart=True, follows=True, name="env_id"),
)

#: What a terminal and summary.md show of a profile.
PROFILE: tuple[Field, ...] = (
    *_MEASURED,
    field("latency_p50_ms", latency),
    field("speedup", speedup),
    field("latency_p95_ms", timed("latency_p95_ms"), rank=6),
    field("throughput_ips", timed("throughput_ips")),
    field("engine_bytes", rank=5),
    field("host_peak_mib", rank=7),
    field("drift_snr_db", rank=4),
    field("top1", accuracy, rank=3),
    # Who names a metric asks for it: it stays in any width.
    Field("metric [95%]", metric, name="metric_value"),
    Field("metric of fp32", column("metric_fp32"), rank=2, name="metric_fp32"),
    field("constraint", constraint),
    field("status", state),
)

#: What a terminal shows of a preset that stands for a published listing: its own figures first.
LISTING: tuple[Field, ...] = (
    *_MEASURED,
    field("iterations", rank=1),
    field("latency_mean_ms", spread),
    field("latency_p50_ms", latency),
    field("throughput_ips", timed("throughput_ips")),
    field("status", state),
)

#: What a terminal shows of the rows of a tuning, each with the name of its candidate under "candidate".
TUNED: tuple[Field, ...] = (
    Field("measured", column("candidate", str), number=False),
    field("latency_p50_ms", latency),
    field("latency_p95_ms", timed("latency_p95_ms"), rank=6),
    field("throughput_ips", timed("throughput_ips")),
    field("engine_bytes", rank=5),
    field("host_peak_mib", rank=7),
    field("drift_snr_db", rank=4),
    field("top1", accuracy, rank=3),
    Field("metric [95%]", metric, rank=3, name="metric_value"),
    field("status", state),
)


def tuned(asked: Sequence[str]) -> tuple[Field, ...]:
    """What a terminal shows of a tuning that was asked about these columns: they stay, in any width.

    The median makes room for them as the others do, where it is none of them.
    """
    known = {one.name: one for one in TUNED if one.name}
    # An interval stands beside its value.
    values = (re.sub(r"_(low|high)(?=_|$)", "", name) for name in asked)
    shown = dict.fromkeys("metric_value" if name == "metric" else name for name in values)
    staying = [replace(known[name] if name in known else _named(name), rank=0) for name in shown]
    rest = [
        replace(one, rank=one.rank or 2) if one.name not in ("", "status") else one
        for one in TUNED[1:]
        if not one.name or one.name not in shown
    ]
    return (TUNED[0], *staying, *rest)


def _named(name: str) -> Field:
    """A column that no view has: a percentile by its number, any other by its name."""
    if not name.startswith("latency_p") or not name.endswith("_ms"):
        return field(name)
    heading = f"{name.removeprefix('latency_').removesuffix('_ms')} ms"
    return replace(field(name, timed(name)), heading=heading)


#: What is worth seeing of engines that could not run here.
ENGINES: tuple[Field, ...] = (
    field("model", label),
    field("backend", lambda row: f"{row['backend']} {row['backend_version']}"),
    field("precision", precision),
    field("engine_bytes"),
    field("build_s"),
    field("status", lambda row: f"{row['status']}: {row['reason']}"),
)
