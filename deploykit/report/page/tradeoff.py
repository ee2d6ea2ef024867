"""What speed costs: accuracy, or drift, against latency, with the line of those that none beats in both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from deploykit.report.page.axes import Labels, frame
from deploykit.report.page.drawing import Drawing, Line, Picture, Point
from deploykit.report.page.entry import Entry
from deploykit.report.page.scales import scale
from deploykit.report.page.series import Series
from deploykit.row import emulated

_WIDTH, _HEIGHT = 900.0, 440.0
_LEFT, _TOP, _RIGHT, _BOTTOM = 64.0, 16.0, 20.0, 48.0
#: Above so many marks only those on a line are labelled.
MOST_LABELS = 40
#: What must be equal for two latencies to compete.
_SETTING = ("env_id", "device", "batch", "streams", "rate_per_s", "pass", "boundary")
#: Drift above this is rounding; what is better by it alone is no better.
_SAME_DB, _SAME_SHARE = 1.0, 0.0


def accuracy_pictures(entries: Sequence[Entry], series: Series) -> list[Picture]:
    """Top-1 against latency, a picture for each data set that it was measured on."""
    sets = dict.fromkeys(entry.text("dataset") for entry in entries if _has(entry, "top1"))
    pictures = []
    for number, name in enumerate(sets):
        of_set = [e for e in entries if _has(e, "top1") and e.text("dataset") == name]
        picture = Picture(
            f"accuracy{number + 1 if len(sets) > 1 else ''}",
            f"Accuracy against latency{f', {name}' if name else ''}",
            "Each mark is a row: further left is faster, higher is right more often, the bar is the 95% interval "
            "of top-1. The line joins the rows that no other one of the same machine and setting beats in both.",
        )
        _draw(picture, of_set, series, "top1", "top-1, % (higher is better)", _same_task)
        pictures.append(picture)
    return pictures


def drift_picture(entries: Sequence[Entry], series: Series) -> Picture | None:
    """Drift against latency, with a line for each network; None where no row has both."""
    shown = [entry for entry in entries if _has(entry, "drift_snr_db")]
    if not shown:
        return None
    picture = Picture(
        "drift",
        "Drift against latency",
        "Each mark is a row: further left is faster, higher is nearer to the outputs of the fp32 reference. A line "
        "joins the rows of one network, machine and setting that no other one of them beats in both.",
    )
    _draw(
        picture, shown, series, "drift_snr_db", "drift, SNR in dB (higher is nearer)", _same_network
    )
    return picture


def _has(entry: Entry, column: str) -> bool:
    return (entry.value("latency_p50_ms") or 0) > 0 and entry.value(column) is not None


def _setting(entry: Entry) -> tuple[str, ...]:
    return tuple(entry.text(name) for name in _SETTING)


def _same_task(entry: Entry) -> tuple[str, ...]:
    return (*_setting(entry), entry.text("dataset"), entry.text("test_images"))


def _same_network(entry: Entry) -> tuple[str, ...]:
    # Of a network whose input has no fixed size, macs tell how large it was.
    named = ("model", "alpha", "rho", "weights", "macs")
    return (*_setting(entry), *(entry.text(name) for name in named))


def _draw(
    picture: Picture,
    entries: Sequence[Entry],
    series: Series,
    column: str,
    y_title: str,
    group: Callable[[Entry], tuple[str, ...]],
) -> None:
    factor = 100.0 if column == "top1" else 1.0
    what = ("latency", "accuracy" if column == "top1" else "drift")

    def height(entry: Entry) -> float:
        return factor * (entry.value(column) or 0.0)

    drawing = Drawing(_WIDTH, _HEIGHT)
    bounds = [factor * v for e in entries for n in ("top1_low", "top1_high") if (v := e.value(n))]
    heights = [height(e) for e in entries] + (bounds if column == "top1" else [])
    x = scale([e.value("latency_p50_ms") or 0 for e in entries], _LEFT, _WIDTH - _RIGHT, log=True)
    y = scale(heights, _HEIGHT - _BOTTOM, _TOP)
    frame(drawing, x, y, "latency p50, ms (lower is faster), logarithmic", y_title)
    places = {e.number: (x(e.value("latency_p50_ms") or 0), y(height(e))) for e in entries}
    on_line: set[int] = set()
    groups: dict[tuple[str, ...], list[Entry]] = {}
    for entry in entries:
        groups.setdefault(group(entry), []).append(entry)
    for members in groups.values():
        line = frontier(members, height, _SAME_SHARE if column == "top1" else _SAME_DB)
        on_line |= {entry.number for entry in line}
        dashed = any(e.doubtful(one) for e in line for one in what)
        if len(line) > 1:
            drawing.add(Line(_steps([places[e.number] for e in line]), "muted", 1.5, dashed))
    if column == "top1":
        for e in entries:
            if (low := e.value("top1_low")) is not None and (
                high := e.value("top1_high")
            ) is not None:
                at = places[e.number][0]
                ends = [(at, y(factor * low)), (at, y(factor * high))]
                drawing.add(Line(ends, series.ink(e), 1.5, row=e.number))
    labels = Labels((_LEFT, 2, _WIDTH - 2, _HEIGHT - _BOTTOM))
    for place in places.values():
        labels.block(place, 5)
    drawing.add(*(series.mark(e, places[e.number], what) for e in entries))
    wanted = [e for e in entries if e.number in on_line]
    if len(entries) <= MOST_LABELS:
        wanted += [e for e in entries if e.number not in on_line]
    left_out = len(entries) - len(wanted)
    for entry in wanted[: 2 * MOST_LABELS]:
        label = labels.place(places[entry.number], entry.name, row=entry.number)
        if label is None:
            left_out += 1
        else:
            drawing.add(label)
    left_out += max(0, len(wanted) - 2 * MOST_LABELS)
    picture.drawings.append(drawing)
    picture.legend = series.legend(entries, what)
    if left_out:
        picture.remarks.append(
            f"{left_out} of {len(entries)} marks have no label for want of room: point at one to see its name."
        )
    pretending = sum(_pretends(entry) for entry in entries)
    if pretending:
        rows = "1 row is" if pretending == 1 else f"{pretending} rows are"
        picture.remarks.append(
            f"{rows} emulated, computed in another precision than asked for: no line takes them, as their latency "
            "says nothing about hardware that has it."
        )
    if any(len(members) > 1 for members in groups.values()):
        picture.reading += " A dashed line rests on doubtful rows."


def _pretends(entry: Entry) -> bool:
    cells = {name: entry.text(name) for name in ("precision", "precision_actual")}
    return emulated(cells)


def frontier(
    entries: Iterable[Entry], height: Callable[[Entry], float], same: float = 0.0
) -> list[Entry]:
    """The rows that no other is both faster and higher than, by rising latency; emulated ones are not asked.

    Args:
        entries: rows that can be set against each other.
        height: what should be large.
        same: heights that differ by no more are equal.
    """
    best: list[Entry] = []
    asked = [entry for entry in entries if not _pretends(entry)]
    for entry in sorted(asked, key=lambda e: (e.value("latency_p50_ms") or 0, -height(e))):
        if not best or height(entry) > height(best[-1]) + same:
            best.append(entry)
    return best


def _steps(points: Sequence[Point]) -> list[Point]:
    """A line that stays at a height until the next point: between two points there is nothing to be had."""
    stepped = [points[0]]
    for (_, y), (next_x, next_y) in pairwise(points):
        stepped += [(next_x, y), (next_x, next_y)]
    return stepped
