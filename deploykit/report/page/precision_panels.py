"""Precisions beside each other: latency, size and drift of each network, against its own fp32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deploykit.report.page.drawing import Drawing, Line, Picture, Text, shortened
from deploykit.report.page.entry import Entry
from deploykit.report.page.scales import Scale, scale, tick_text
from deploykit.report.page.series import Series
from deploykit.report.speedup import setting
from deploykit.report.views import significant

_WIDTH, _ROW, _TOP = 900.0, 22.0, 36.0
_NAMES = 250.0
#: So many rows are drawn; the table has all.
MOST_ROWS = 150


@dataclass(frozen=True)
class _Ratio:
    """A value against fp32's, with what both intervals allow at most; None where there is no interval."""

    value: float
    low: float | None = None
    high: float | None = None


def precisions_picture(entries: Sequence[Entry], series: Series) -> Picture | None:
    """Each network's precisions against its fp32; None where no network has two of them."""
    groups: dict[tuple[str, ...], list[Entry]] = {}
    for entry in entries:
        if entry.value("latency_p50_ms") is not None:
            groups.setdefault((*setting(entry.cells), entry.text("device")), []).append(entry)
    pairs = []
    for members in groups.values():
        base = next(
            (e for e in members if e.text("precision") == "fp32" and not e.text("kept")), None
        )
        if base is not None and len({e.text("precision") for e in members}) > 1:
            pairs.append((base, members))
    if not pairs:
        return None
    picture = Picture(
        "precisions",
        "Precisions beside each other",
        "Each line of marks is one precision of a network: left its latency and in the middle its engine's size, "
        "both as a multiple of the same network's fp32 (left of 1 is faster or smaller), right how near its "
        "outputs are. The bar is what the 95% intervals of both medians allow.",
    )
    shown: list[tuple[Entry, list[Entry]]] = []
    count = 0
    for base, members in pairs:
        if count + len(members) > MOST_ROWS and shown:
            break
        shown.append((base, members))
        count += len(members)
    picture.drawings.append(_draw(shown, series))
    rows = [entry for _, members in shown for entry in members]
    picture.legend = series.legend(rows, ("latency", "drift"))
    left = sum(len(members) for _, members in pairs) - len(rows)
    if left:
        picture.remarks.append(f"{left} more rows are not drawn here; the table has them.")
    doubtful = sum(
        any(one.text("precision") == "fp32" and one.doubtful("latency") for one in members)
        for _, members in shown
    )
    if doubtful:
        picture.remarks.append(
            f"In {doubtful} of {len(shown)} groups an fp32 row is doubtful, so that latencies against it are, too: "
            "those marks are hollow."
        )
    return picture


def _draw(pairs: Sequence[tuple[Entry, list[Entry]]], series: Series) -> Drawing:
    rows = [(_of_round(members, one, base), one) for base, members in pairs for one in members]
    bases = {one.number: base for base, one in rows}
    height = _TOP + _ROW * (len(rows) + len(pairs)) + 34
    drawing = Drawing(_WIDTH, height)
    times = {e.number: _latency(e, base) for base, e in rows}
    sizes = {e.number: _size(e, base) for base, e in rows}
    ends = [v for r in times.values() if r for v in (r.value, r.low, r.high) if v]
    scales = (
        scale([1.0, *ends], _NAMES + 12, _NAMES + 240, log=True),
        scale([1.0, *(r.value for r in sizes.values() if r)], _NAMES + 270, _NAMES + 430, log=True),
        scale(
            [e.value("drift_snr_db") or 0 for _, e in rows] + [0.0],
            _NAMES + 460,
            _WIDTH - 40,
            margin=0.02,
        ),
    )
    for one, title in zip(scales, ("latency / fp32", "size / fp32", "drift SNR, dB"), strict=True):
        _axis(drawing, one, title, height - 34, reference=title.endswith("fp32"))
    y = _TOP
    for base, members in pairs:
        y += _ROW
        backend = base.text("backend")
        drawing.add(
            Text((4, y - 6), shortened(f"{base.network} · {backend}", _NAMES + 60), bold=True)
        )
        for entry in members:
            y += _ROW
            at = y - 9
            drawing.add(
                Text((16, at + 4), shortened(_called(entry, base), _NAMES - 20), row=entry.number)
            )
            _one(
                drawing,
                series,
                entry,
                bases[entry.number],
                at,
                scales,
                times[entry.number],
                sizes[entry.number],
            )
    return drawing


def _of_round(members: Sequence[Entry], entry: Entry, base: Entry) -> Entry:
    """The fp32 row of the same round of repeats, which met the same moments of the machine, else the first."""
    repeat = entry.text("repeat")
    return next(
        (
            one
            for one in members
            if one.text("precision") == "fp32"
            and not one.text("kept")
            and one.text("repeat") == repeat
        ),
        base,
    )


def _called(entry: Entry, base: Entry) -> str:
    """A row's name without what stands over its group."""
    name = entry.name.removeprefix(entry.network).strip()
    return name.replace(f" {base.text('backend')}", "", 1)


def _axis(drawing: Drawing, one: Scale, title: str, bottom: float, *, reference: bool) -> None:
    drawing.add(Text(((one.start + one.end) / 2, 16), title, "text", 12, "middle", bold=True))
    for value in one.ticks(4):
        strong = reference and value == 1
        drawing.add(
            Line([(one(value), 24), (one(value), bottom)], "muted" if strong else "grid", 1),
            Text((one(value), bottom + 16), tick_text(value), "muted", 11, "middle"),
        )


def _one(
    drawing: Drawing,
    series: Series,
    entry: Entry,
    base: Entry,
    y: float,
    scales: tuple[Scale, Scale, Scale],
    time: _Ratio | None,
    size: _Ratio | None,
) -> None:
    ink, row = series.ink(entry), entry.number
    if time is not None:
        if time.low is not None and time.high is not None:
            drawing.add(
                Line([(scales[0](time.low), y), (scales[0](time.high), y)], ink, 2, row=row)
            )
        mark = series.mark(entry, (scales[0](time.value), y))
        hollow = mark.hollow or base.doubtful("latency")
        drawing.add(type(mark)(mark.at, ink, mark.shape, hollow, 5, row, mark.title))
    if size is not None:
        drawing.add(series.mark(entry, (scales[1](size.value), y), ()))
    snr = entry.value("drift_snr_db")
    if snr is not None:
        end = scales[2](snr)
        drawing.add(Line([(scales[2](0), y), (end, y)], ink, 2, row=row))
        drawing.add(series.mark(entry, (end, y), ("drift",), 4))
        drawing.add(Text((end + 9, y + 4), significant(snr), "muted", 11, row=row))


def _latency(entry: Entry, base: Entry) -> _Ratio | None:
    ours, theirs = entry.value("latency_p50_ms"), base.value("latency_p50_ms")
    if not ours or not theirs:
        return None
    if entry is base:
        return _Ratio(1.0)
    ends = [one.value(f"latency_p50_{end}_ms") for one in (entry, base) for end in ("low", "high")]
    low, high, base_low, base_high = ends
    if not (low and high and base_low and base_high):
        return _Ratio(ours / theirs)
    return _Ratio(ours / theirs, low / base_high, high / base_low)


def _size(entry: Entry, base: Entry) -> _Ratio | None:
    ours, theirs = entry.value("engine_bytes"), base.value("engine_bytes")
    return _Ratio(ours / theirs) if ours and theirs else None
