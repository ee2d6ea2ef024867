"""Latency distributions: density and single runs, where they pile up, and how they drift over the measurement."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from deploykit.lazy import np
from deploykit.report.page.contents import Contents
from deploykit.report.page.drawing import Dots, Drawing, Line, Picture, Point, Text
from deploykit.report.page.entry import Entry
from deploykit.report.page.samples import samples_ms
from deploykit.report.page.scales import Scale, tick_text
from deploykit.report.page.series import Series
from deploykit.report.views import significant
from deploykit.stats import modes, trend

#: So many rows are drawn, and so many runs of each.
MOST_ROWS, MOST_RUNS = 36, 220
_WIDTH, _LEFT, _RIGHT = 440.0, 48.0, 10.0
#: From top to bottom: the density, single runs, the axis; then runs in their order.
_DENSITY, _RUNS, _AXIS, _ORDER_TOP, _ORDER_END, _HEIGHT = 78.0, 104.0, 120.0, 148.0, 226.0, 246.0
_BINS, _BLOCKS = 160, 20


def distributions_picture(contents: Contents, series: Series) -> Picture | None:
    """A small drawing for each row whose samples are there; None where no row was measured at all."""
    measured = [e for e in contents.entries if e.value("latency_p50_ms") is not None]
    if not measured:
        return None
    picture = Picture(
        "distributions",
        "Distributions of latency",
        "One box is one row. Above, the hill is how often a latency was met, the dots below it are single runs, "
        "and dashed uprights with a number are where runs pile up; below, the same runs in the order in which they "
        "were measured, with the medians of 20 blocks as a line: where it rises or jumps, the machine changed.",
    )
    if contents.base:
        picture.reading += " The grey line over a hill is the earlier report."
    earlier = _Earlier(contents)
    absent = left = 0
    for entry in measured:
        if len(picture.drawings) >= MOST_ROWS:
            left += bool(entry.text("samples"))
            continue
        values = samples_ms(entry, contents.folder)
        if values is None:
            absent += 1
            continue
        before = earlier.of(entry)
        old = None if before is None else samples_ms(before, contents.base_folder)
        picture.drawings.append(_draw(entry, series, values, old))
    if absent:
        picture.remarks.append(
            f"{absent} of {len(measured)} measured rows have no samples beside the report, so that their single "
            "runs can't be shown: `deploykit profile --csv FILE` keeps them in FILE's folder."
        )
    if left:
        picture.remarks.append(f"{left} more rows are not drawn here; the table has all.")
    return picture


class _Earlier:
    """The rows of the earlier report, by what they are the same process of."""

    def __init__(self, contents: Contents) -> None:
        machines = [{e.text("env_id") for e in of} for of in (contents.entries, contents.base)]
        # Reports that have no machine in common are compared across them, all others machine by machine.
        self._by_machine = not machines[0].isdisjoint(machines[1])
        self._rows: dict[tuple[Any, ...], list[Entry]] = {}
        for entry in contents.base:
            self._rows.setdefault(self._named(entry), []).append(entry)

    def _named(self, entry: Entry) -> tuple[Any, ...]:
        machine = entry.text("env_id") if self._by_machine else ""
        return entry.key, entry.text("repeat"), machine

    def of(self, entry: Entry) -> Entry | None:
        """The one that a row is set against; None where there is none, or nothing says which."""
        found = [one for one in self._rows.get(self._named(entry), ()) if entry.fits(one)]
        return found[0] if len(found) == 1 else None


def _draw(entry: Entry, series: Series, values: Any, old: Any | None) -> Drawing:
    doubtful = entry.doubtful("latency")
    heading = entry.name + (" (doubtful)" if doubtful else "")
    drawing = Drawing(_WIDTH, _HEIGHT, heading=heading, row=entry.number)
    both = values if old is None else np.concatenate([values, old])
    low, middle, most, high = np.quantile(both, [0.002, 0.5, 0.9, 0.99])
    # A few runs that were held up would press all others into a line: they are counted below instead.
    piles = [*modes(values), *(() if old is None else modes(old))]
    high = min(high, max(most + 3 * (most - middle), 1.1 * max(piles)))
    reach = max((high - low) * 0.08, high * 1e-3)
    x = Scale(max(0.0, float(low - reach)), float(high + reach), _LEFT, _WIDTH - _RIGHT)
    ink = series.ink(entry)
    for value in x.ticks(5):
        drawing.add(
            Line([(x(value), 4), (x(value), _RUNS)], "grid", 1),
            Text((x(value), _AXIS), tick_text(value), "muted", 10.5, "middle"),
        )
    drawing.add(Text((_WIDTH - _RIGHT, _AXIS + 13), "latency, ms", "muted", 10.5, "end"))
    hill = _density(values, x)
    if hill is not None:
        ours = [(x.start, _DENSITY), *hill, (x.end, _DENSITY)]
        drawing.add(
            Line(ours, ink, opacity=0.25 if doubtful else 0.5), Line(hill, ink, 1.5, doubtful)
        )
    earlier = None if old is None else _density(old, x)
    if earlier is not None:
        drawing.add(Line(earlier, "muted", 2))
    shown = _some(values, MOST_RUNS)
    drawing.add(
        Dots([(x(v), _DENSITY + 5 + 16 * _jitter(i)) for i, v in enumerate(shown)], ink, 1.4)
    )
    _mark_modes(drawing, x, values)
    _order(drawing, x, values, ink)
    return drawing


def _mark_modes(drawing: Drawing, x: Scale, values: Any) -> None:
    piles = [pile for pile in modes(values) if x.low <= pile <= x.high]
    last = -math.inf
    for pile in piles:
        at = x(pile)
        drawing.add(Line([(at, 6), (at, _DENSITY)], "text", 1, dashed=True))
        if at - last > 40:
            anchor = "end" if at > x.end - 40 else "start"
            drawing.add(
                Text(
                    (at + (4 if anchor == "start" else -4), 13),
                    significant(pile),
                    "text",
                    10.5,
                    anchor,
                )
            )
            last = at


def _order(drawing: Drawing, x: Scale, values: Any, ink: str) -> None:
    """The runs in their order, from left to right, and the medians of blocks."""
    y = Scale(x.low, x.high, _ORDER_END, _ORDER_TOP)
    across = Scale(0.0, float(values.size), _LEFT, _WIDTH - _RIGHT)
    for value in y.ticks(3):
        drawing.add(
            Line([(_LEFT, y(value)), (_WIDTH - _RIGHT, y(value))], "grid", 1),
            Text((_LEFT - 5, y(value) + 4), tick_text(value), "muted", 10, "end"),
        )
    step = max(1, math.ceil(values.size / (1.5 * MOST_RUNS)))
    drawing.add(
        Dots([(across(i), y(float(values[i]))) for i in range(0, values.size, step)], ink, 1.2, 0.4)
    )
    length = values.size // _BLOCKS
    if length >= 2:
        blocks = np.median(values[: length * _BLOCKS].reshape(_BLOCKS, length), axis=1)
        line = [(across((i + 0.5) * length), y(float(v))) for i, v in enumerate(blocks)]
        drawing.add(Line(line, "text", 2))
    found = trend(values)
    # The same bar as `profile` has for calling a row unstable would need its policy; here the number is given.
    text = f"{values.size:,} runs, in their order"
    if found.p_value < 0.01:
        text += f"; {100 * found.change:+.1f}% from start to end"
    drawing.add(Text((_LEFT, _HEIGHT - 5), text, "muted", 10.5))
    beyond = int((values > x.high).sum() + (values < x.low).sum())
    if beyond:
        drawing.add(
            Text(
                (_WIDTH - _RIGHT, _HEIGHT - 5), f"{beyond:,} beyond the axis", "muted", 10.5, "end"
            )
        )


def _density(values: Any, x: Scale) -> list[Point] | None:
    """A Gaussian kernel density over the axis, its highest point at the top; None of equal values."""
    body = values[(values >= x.low) & (values <= x.high)]
    if body.size < 8:
        return None
    first, third = np.quantile(body, [0.25, 0.75])
    spread = min(float(body.std()), float(third - first) / 1.34) or float(body.std())
    step = (x.high - x.low) / _BINS
    if spread <= 0:
        return None
    width = max(0.9 * spread * body.size**-0.2, step)
    counts, edges = np.histogram(body, bins=_BINS, range=(x.low, x.high))
    reach = min(_BINS, math.ceil(4 * width / step))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * step / width) ** 2)
    smooth = np.convolve(counts, kernel, mode="full")[reach : reach + _BINS]
    centres = (edges[:-1] + edges[1:]) / 2
    y = Scale(0.0, float(smooth.max()), _DENSITY, 18.0)
    return [(x(float(at)), y(float(v))) for at, v in zip(centres, smooth, strict=True)]


def _some(values: Sequence[float], most: int) -> list[float]:
    """At most so many of the values, evenly over their order."""
    step = max(1, math.ceil(len(values) / most))
    return [float(value) for value in values[::step]]


def _jitter(index: int) -> float:
    """A number from 0 to 1 that looks random and is the same in every page: golden ratio steps."""
    return index * 0.6180339887 % 1.0
