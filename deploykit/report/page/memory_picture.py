"""Memory: what the measuring process had before the engine, and what each step added."""

from __future__ import annotations

from collections.abc import Sequence

from deploykit.report.page.drawing import Box, Drawing, Line, Picture, Text, shortened
from deploykit.report.page.entry import Entry
from deploykit.report.page.scales import Scale, tick_text
from deploykit.report.views import significant

_WIDTH, _ROW, _NAMES = 900.0, 24.0, 270.0
#: So many rows are drawn, those with the most memory first.
MOST_ROWS = 60
#: Parts of the host's memory, with their inks.
_PARTS = (
    ("host_load_mib", "p0", "loading the engine"),
    ("host_warmup_mib", "p1", "warming up"),
    ("host_run_mib", "p2", "measuring"),
)


def memory_picture(entries: Sequence[Entry]) -> Picture | None:
    """Bars of memory for each row; None where no row has any."""
    measured = [
        e for e in entries if (e.value("host_peak_mib") or e.value("device_peak_mib") or 0) > 0
    ]
    if not measured:
        return None
    picture = Picture(
        "memory",
        "Memory",
        "Each bar is the peak memory of one row's process: grey is what it needed before the engine was there, "
        "then what loading, warming up and measuring added. The thin bar below, where there is one, is memory of "
        "the device.",
        legend=[("p6", "square", False, "before the engine")],
    )
    picture.legend += [(ink, "square", False, text) for _, ink, text in _PARTS]
    on_device = any(e.value("device_peak_mib") for e in measured)
    if on_device:
        picture.legend.append(("p3", "square", False, "on the device"))
    shown = measured
    if len(measured) > MOST_ROWS:
        shown = sorted(measured, key=_most, reverse=True)[:MOST_ROWS]
        picture.remarks.append(
            f"The {MOST_ROWS} rows with the most memory of {len(measured)} are drawn; the table has all."
        )
    height = 8 + _ROW * len(shown) + 40
    drawing = Drawing(_WIDTH, height)
    x = Scale(0.0, max(map(_most, shown)) * 1.12, _NAMES, _WIDTH - 20)
    for value in x.ticks(6):
        drawing.add(
            Line([(x(value), 4), (x(value), height - 36)], "grid", 1),
            Text((x(value), height - 20), tick_text(value), "muted", 11, "middle"),
        )
    drawing.add(Text(((x.start + x.end) / 2, height - 3), "MiB", "text", 12, "middle"))
    for place, entry in enumerate(shown):
        _bar(drawing, entry, x, 8 + _ROW * place)
    picture.drawings.append(drawing)
    return picture


def _most(entry: Entry) -> float:
    return max(entry.value("host_peak_mib") or 0.0, entry.value("device_peak_mib") or 0.0)


def _bar(drawing: Drawing, entry: Entry, x: Scale, top: float) -> None:
    row = entry.number
    peak, device = entry.value("host_peak_mib"), entry.value("device_peak_mib")
    thick = 11.0 if device is not None else 15.0
    name = shortened(entry.name, _NAMES - 12)
    drawing.add(Text((_NAMES - 8, top + 13), name, "text", 12, "end", row=row))
    end = x.start
    if peak is not None:
        # From the peak downwards, as each part is known above what was there before it.
        parts = [(entry.value(column) or 0.0, ink, text) for column, ink, text in _PARTS]
        at = max(0.0, peak - sum(size for size, _, _ in parts))
        drawing.add(
            _box(x, 0.0, at, top, thick, "p6", row, f"{entry.name}\nbefore the engine {at:.1f} MiB")
        )
        for size, ink, text in parts:
            if size > 0:
                drawing.add(
                    _box(
                        x,
                        at,
                        at + size,
                        top,
                        thick,
                        ink,
                        row,
                        f"{entry.name}\n{text}: {size:.1f} MiB",
                    )
                )
            at += size
        end = x(peak)
    if device is not None:
        title = f"{entry.name}\non the device {device:.0f} MiB"
        drawing.add(_box(x, 0.0, device, top + thick + 1, 4.0, "p3", row, title))
        end = max(end, x(device))
    said = [significant(value) for value in (peak, device) if value is not None]
    drawing.add(Text((end + 6, top + 12), " + ".join(said), "muted", 11, row=row))


def _box(
    x: Scale, low: float, high: float, top: float, thick: float, ink: str, row: int, title: str
) -> Box:
    return Box((x(low), top), (x(high) - x(low), thick), ink, row=row, title=title)
