"""The roofline: how near each row comes to what its machine was seen to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deploykit.report.page.axes import Labels, frame
from deploykit.report.page.drawing import Drawing, Line, Picture, Text
from deploykit.report.page.entry import Entry
from deploykit.report.page.palette import ink_of, numbered
from deploykit.report.page.scales import scale
from deploykit.report.page.series import Series

_WIDTH, _HEIGHT = 900.0, 440.0
_LEFT, _TOP, _RIGHT, _BOTTOM = 64.0, 16.0, 20.0, 48.0
_MOST_LABELS = 40


def roofline_picture(
    entries: Sequence[Entry], series: Series, machines: Mapping[str, Any]
) -> Picture | None:
    """Rows under the ceilings of their machines, a drawing for each; None where no row has a rate."""
    shown = [
        e
        for e in entries
        if (e.value("gflops") or 0) > 0 and (e.value("arithmetic_intensity") or 0) > 0
    ]
    if not shown:
        return None
    picture = Picture(
        "roofline",
        "Roofline",
        "Each mark is a row: further right has more to compute for each byte that it moves, higher computes "
        "faster. Slanted lines are what the machine's copies allow for data of a size, level ones its matrix "
        "products in a precision; a mark near a line has little left to gain on it, one far below has.",
        legend=series.legend(shown),
    )
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in shown:
        env_id = entry.text("env_id")
        groups.setdefault((env_id, _threads(entry, machines.get(env_id))), []).append(entry)
    for (env_id, threads), members in groups.items():
        ceiling = _ceilings(machines.get(env_id), threads)
        drawing = _draw(members, series, ceiling)
        if len(groups) > 1:
            device = members[0].text("device") or env_id
            drawing.heading = f"{device}{f', {threads} threads' if threads else ''}"
        picture.drawings.append(drawing)
        if ceiling is None:
            picture.remarks.append(
                f"The ceilings of {members[0].text('device') or env_id} are not in an env.json beside the report, "
                "so no roof is drawn over its rows."
            )
        elif ceiling.get("doubt"):
            picture.remarks.append(
                f"The ceilings are doubtful, and drawn dashed: while they were measured, {ceiling['doubt']}."
            )
    return picture


def _threads(entry: Entry, record: Any) -> str:
    """How many threads compute at once, by which ceilings are told apart: streams compute side by side."""
    threads, streams = entry.value("threads"), entry.value("streams") or 1
    if not threads:
        return ""
    machine = record.get("machine") if isinstance(record, Mapping) else None
    cores = machine.get("cores") if isinstance(machine, Mapping) else None
    at_once = int(threads * streams)
    return str(min(at_once, max(1, int(cores))) if isinstance(cores, int | float) else at_once)


def _ceilings(record: Any, threads: str) -> Mapping[str, Any] | None:
    """The ceilings of a machine with so many threads, in the form that env.json has; None where there are none."""
    listed = record.get("ceilings") if isinstance(record, Mapping) else None
    if not isinstance(listed, list | tuple):
        return None
    for one in listed:
        if not isinstance(one, Mapping) or str(one.get("threads")) != (threads or "0"):
            continue
        rates, copies = one.get("gflops"), one.get("copy_gb_s")
        if not isinstance(copies, Mapping) or not _numbers(copies) or not _numbers(rates):
            continue
        if all(str(size).isdecimal() for size in copies):
            return one
    return None


def _numbers(values: Any) -> bool:
    return isinstance(values, Mapping) and bool(values) and all(
        isinstance(v, int | float) and v > 0 for v in values.values()
    )  # fmt: skip


def _draw(entries: Sequence[Entry], series: Series, ceiling: Mapping[str, Any] | None) -> Drawing:
    drawing = Drawing(_WIDTH, _HEIGHT)
    places = {
        e.number: (e.value("arithmetic_intensity") or 0, e.value("gflops") or 0) for e in entries
    }
    rates = dict(ceiling["gflops"]) if ceiling else {}
    copies = {int(size): rate for size, rate in ceiling["copy_gb_s"].items()} if ceiling else {}
    across = [at for at, _ in places.values()]
    if rates and copies:  # so far that every bend of the roofs is in the drawing
        across += [max(rates.values()) / min(copies.values()) * 1.5]
        across += [min(rates.values()) / max(copies.values()) / 1.5]
    x = scale(across, _LEFT, _WIDTH - _RIGHT, log=True)
    y = scale(
        [*(up for _, up in places.values()), *rates.values()], _HEIGHT - _BOTTOM, _TOP, log=True
    )
    frame(
        drawing,
        x,
        y,
        "arithmetic intensity, FLOP per byte, logarithmic",
        "10^9 FLOP/s, logarithmic",
    )
    dashed = bool(ceiling and ceiling.get("doubt"))
    labels = Labels((_LEFT, 2, _WIDTH - 2, _HEIGHT - _BOTTOM))
    points = {number: (x(at), y(up)) for number, (at, up) in places.items()}
    for point in points.values():
        labels.block(point, 5)
    top = max(rates.values(), default=0.0)
    ends = sorted({min(copies), max(copies)}) if copies else []
    for size in ends:
        # Between where it enters at the bottom or the left and where the highest roof cuts it off.
        first = max(x.low, y.low / copies[size])
        last = min(x.high, top / copies[size])
        if last > first:
            line = [(x(first), y(first * copies[size])), (x(last), y(last * copies[size]))]
            drawing.add(Line(line, "muted", 1.5, dashed))
            place = (x(first) + 6, y(first * copies[size]) - 8)
            text = f"{size / 2**20:g} MiB: {copies[size]:.0f} GB/s"
            label = labels.place(place, text)
            drawing.add(*([label] if label else []))
    numbers = numbered(list(rates))
    for name, rate in rates.items():
        first = max(x.low, rate / max(copies.values())) if copies else x.low
        drawing.add(Line([(x(first), y(rate)), (x.end, y(rate))], ink_of(numbers[name]), 2, dashed))
        drawing.add(
            Text(
                (x.end - 4, y(rate) - 5),
                f"{name} products: {rate:.0f}",
                ink_of(numbers[name]),
                11,
                "end",
            )
        )
        labels.taken.append((x.end - 160, y(rate) - 16, x.end, y(rate)))
    drawing.add(*(series.mark(e, points[e.number]) for e in entries))
    if len(entries) <= _MOST_LABELS:
        for e in entries:
            label = labels.place(points[e.number], e.name, row=e.number)
            drawing.add(*([label] if label else []))
    return drawing
