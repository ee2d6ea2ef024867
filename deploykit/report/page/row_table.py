"""The rows as a table that can be sorted and filtered; without a script it is a table all the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from deploykit.report.page.entry import STATES, Entry
from deploykit.report.page.markup import element, escaped
from deploykit.report.page.series import told
from deploykit.report.states import DOUBT, WORDS
from deploykit.report.views import PROFILE, Field, arrange, column, field

#: What a state looks like beside its word: no state is told by colour alone.
SIGNS = {"ok": "✓", "doubtful": "?", "failed": "✕", "skipped": "–"}
#: Which doubt a number in a column is under.
_UNDER = {
    "latency_p50_ms": "latency",
    "latency_p95_ms": "latency",
    "latency_percentile_ms": "latency",
    "throughput_ips": "latency",
    "speedup": "latency",
    "energy_per_image_mj": "latency",
    "drift_snr_db": "drift",
    "top1": "accuracy",
    "metric_value": "metric",
}
_MORE = (field("device_peak_mib"), field("energy_per_image_mj"))


def table(entries: Sequence[Entry]) -> str:
    """The table with its filter; columns in which no row says anything are left out."""
    rows = [entry.cells for entry in entries]
    offered = [one for one in (*PROFILE, *_MORE) if one.name != "status"]
    arranged = arrange(offered, rows)
    above, fields = arranged.above, arranged.fields
    heads = ["state", *(one.heading for one in fields), "what to know"]
    head = "".join(
        element(
            "th", element("button", escaped(text), type="button"), scope="col", aria_sort="none"
        )
        for text in heads
    )
    body = "".join(_row(entry, fields) for entry in entries)
    common = element("p", escaped(f"All rows: {', '.join(above)}.")) if above else ""
    return (
        common
        + _filter(entries)
        + element(
            "div",
            element("table", f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>", id="rows"),
            class_="wide",
            tabindex="0",
            role="region",
            aria_label="the rows of the report",
        )
    )


def _filter(entries: Sequence[Entry]) -> str:
    counts = Counter(entry.state for entry in entries)
    boxes = "".join(
        element(
            "label",
            f'<input type="checkbox" value="{state}" checked> '
            + element(
                "span",
                escaped(f"{SIGNS[state]} {state} ({counts[state]})"),
                class_=f"state {state}",
            ),
        )
        for state in STATES
        if counts[state]
    )
    search = (
        '<label class="search">Filter <input type="search" id="filter" '
        'placeholder="words of a row" autocomplete="off"></label>'
    )
    shown = element("output", f"{len(entries)} of {len(entries)} rows", id="shown")
    return element("form", search + boxes + shown, class_="filter", id="filters")


def _row(entry: Entry, fields: Sequence[Field]) -> str:
    state = entry.state
    sign = element("span", escaped(f"{SIGNS[state]} {state}"), class_=f"state {state}")
    causes = dict.fromkeys(_word(doubt.name) for doubt in entry.doubts if doubt.about)
    cells = [element("td", sign + element("small", escaped(", ".join(causes))))]
    for one in fields:
        text = one.text(entry.cells)
        what = _UNDER.get(one.name)
        # The mark is put once, behind the whole, with the causes under the pointer.
        content = escaped(text.replace(DOUBT, "") if what else text)
        if what and text not in ("", "–") and (DOUBT in text or entry.doubtful(what)):
            names = ", ".join(_word(doubt.name) for doubt in entry.doubts if what in doubt.about)
            names = names or entry.text("speedup_doubt")
            content += element("abbr", DOUBT, title=f"doubtful: {names}")
        cells.append(element("td", content, class_="n" if one.number else None))
    cells.append(element("td", escaped(entry.why), class_="why"))
    return element("tr", "".join(cells), data_r=entry.number, data_s=state, data_t=told(entry))


def _word(cause: str) -> str:
    """A cause for doubt as tables in a terminal call it."""
    return WORDS.get(cause, cause)


def facts(
    rows: Sequence[Mapping[str, Any]], names: Sequence[tuple[str, str]]
) -> list[tuple[str, str]]:
    """What is the same in all rows, by what it is called: said once instead of in every row."""
    said = []
    for name, called in names:
        show: Callable[[Mapping[str, Any]], str] = column(name, str)
        values = {show(row) for row in rows} - {"", "None", "–"}
        if len(values) == 1:
            said.append((called, values.pop()))
        elif 1 < len(values) <= 4:
            said.append((called, "; ".join(sorted(values))))
    return said
