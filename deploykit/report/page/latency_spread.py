"""How far a row's runs lie apart: its quantiles around its median, which every report has."""

from __future__ import annotations

from collections.abc import Sequence

from deploykit.report.page.drawing import Box, Drawing, Line, Picture, Text, shortened
from deploykit.report.page.entry import Entry
from deploykit.report.page.scales import Scale, tick_text
from deploykit.report.page.series import Series, told
from deploykit.report.states import DOUBT
from deploykit.report.views import latency

_WIDTH, _ROW, _NAMES, _RIGHT = 900.0, 24.0, 270.0, 215.0
#: So many rows are drawn.
MOST_ROWS = 90
#: The axis goes so far around the median, whatever lies beyond.
_FARTHEST = (0.4, 4.0)


def spread_picture(entries: Sequence[Entry], series: Series) -> Picture | None:
    """Quantiles of each row relative to its median; None where no row has any."""
    measured = [e for e in entries if _relative(e, "latency_p50_ms")]
    if not measured:
        return None
    picture = Picture(
        "spread",
        "Latency",
        "Each line is a row, 1 is its own median, which stands at the right with its 95% interval. The thin line "
        "goes from the quickest run to 99% of them, the thick one from 20% to 90%, the dark core is the interval "
        "of the median: the wider, the less one run tells of the next. Hollow is doubtful.",
        legend=series.legend(measured),
    )
    shown = measured[:MOST_ROWS]
    if len(measured) > len(shown):
        picture.remarks.append(
            f"The first {len(shown)} of {len(measured)} rows are drawn; the table has all."
        )
    height = 8 + _ROW * len(shown) + 42
    drawing = Drawing(_WIDTH, height)
    ratios = [
        r
        for e in shown
        for n in ("min", "p99", "p95", "p90")
        if (r := _relative(e, f"latency_{n}_ms"))
    ]
    low = max(_FARTHEST[0], min([0.9, *ratios]))
    high = min(_FARTHEST[1], max([1.1, *ratios]))
    x = Scale(low * 0.98, high * 1.02, _NAMES, _WIDTH - _RIGHT, log=True)
    for value in x.ticks(6):
        drawing.add(
            Line([(x(value), 4), (x(value), height - 38)], "muted" if value == 1 else "grid", 1),
            Text((x(value), height - 22), tick_text(value), "muted", 11, "middle"),
        )
    title = "latency as a multiple of the row's median, logarithmic"
    drawing.add(Text(((x.start + x.end) / 2, height - 5), title, "text", 12, "middle"))
    for place, entry in enumerate(shown):
        _row(drawing, entry, series, x, 8 + _ROW * place + 11)
    picture.drawings.append(drawing)
    return picture


def _relative(entry: Entry, column: str) -> float | None:
    value, median = entry.value(column), entry.value("latency_p50_ms")
    return value / median if value and median and value > 0 and median > 0 else None


def _row(drawing: Drawing, entry: Entry, series: Series, x: Scale, y: float) -> None:
    ink, row, hollow = series.ink(entry), entry.number, entry.doubtful("latency")
    name = shortened(entry.name, _NAMES - 12)
    drawing.add(Text((_NAMES - 8, y + 4), name, "text", 12, "end", row=row))

    def reach(low: str, high: str, thick: float, opacity: float, empty: bool) -> None:
        a, b = _relative(entry, f"latency_{low}_ms"), _relative(entry, f"latency_{high}_ms")
        if a is not None and b is not None:
            size = (max(1.0, x(b) - x(a)), thick)
            drawing.add(Box((x(a), y - thick / 2), size, ink, opacity, empty, row, told(entry)))

    farthest = (
        "p99"
        if entry.value("latency_p99_ms")
        else "p95"
        if entry.value("latency_p95_ms")
        else "p90"
    )
    reach("min", farthest, 1.5, 1.0, False)
    reach("p20", "p90", 9.0, 1.0 if hollow else 0.45, hollow)
    reach("p50_low", "p50_high", 13.0, 1.0, hollow)
    drawing.add(Line([(x(1), y - 8), (x(1), y + 8)], ink, 2, row=row))
    beyond = _relative(entry, f"latency_{farthest}_ms")
    if beyond is not None and beyond > x.high:
        drawing.add(Text((x.end - 2, y - 4), f"→ {beyond:.3g}", "muted", 10, "end", row=row))
    value, space, interval = latency(entry.cells).partition(" ")
    if (
        hollow and DOUBT not in value and space
    ):  # for what the page knows besides, such as emulation
        value += DOUBT
    said = f"{value}{space}{interval} ms"
    drawing.add(Text((_WIDTH - _RIGHT + 12, y + 4), said, "text", 11.5, row=row))
