"""Two reports over each other: each configuration's processes in both, its ratio, and the limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deploykit.columns import BY_NAME, IDENTITY_NAMES, SOFT_NAMES
from deploykit.report.compare import Change, ReportComparison, rendering
from deploykit.report.compare.processes import FASTER, SAME, SLOWER
from deploykit.report.page.drawing import Dots, Drawing, Line, Mark, Picture, Text, shortened
from deploykit.report.page.entry import Entry
from deploykit.report.page.scales import Scale, tick_text
from deploykit.report.states import DOUBT

_WIDTH, _ROW, _NAMES, _RIGHT = 900.0, 26.0, 290.0, 210.0
#: So many configurations are drawn, regressions first.
MOST_ROWS = 100
_VERDICTS: Mapping[str, tuple[str, str]] = {
    SLOWER: ("limit", "square"),
    FASTER: ("p2", "triangle"),
    SAME: ("p0", "circle"),
}
_OPEN = ("p6", "diamond")


@dataclass(frozen=True)
class _Sides:
    """The processes of a configuration in both reports, in ms, and the row of the table that it begins with."""

    base_ms: Sequence[float]
    head_ms: Sequence[float]
    row: int | None


def comparison_picture(
    comparison: ReportComparison, head: Sequence[Entry], base: Sequence[Entry]
) -> Picture | None:
    """Ratios of all configurations that both reports have; None where there is none."""
    changes = [change for change in comparison.changes if change.latency is not None]
    limit = 1 + comparison.limits.slowdown
    picture = Picture(
        "comparison",
        "Against the earlier report",
        "Each line is a configuration, 1 is its mean in the earlier report: small dots above are that report's "
        "processes, below this one's, the mark is their ratio with its 99% interval. What stands right of the "
        f"dashed limit, {limit:.3g} times as long, and surely differs from 1 is slower. A hollow mark is "
        "undecided: the measurements can't tell.",
        legend=[(*_VERDICTS[one], False, one) for one in (SLOWER, SAME, FASTER)],
    )
    picture.legend.append((*_OPEN, True, "undecided"))
    if any(any(change.doubts) for change in changes):
        picture.reading += " A question mark stands behind the ratio of a side that is doubtful."
    picture.remarks.append(f"{rendering.summary(comparison)}.")
    others = [change for change in comparison.changes if change.latency is None]
    if others:
        named = "; ".join(f"{one.name}: {one.verdict}" for one in others[:8])
        more = f"; and {len(others) - 8} more" if len(others) > 8 else ""
        picture.remarks.append(f"Without a ratio: {named}{more}.")
    shown = changes[:MOST_ROWS]
    if len(changes) > len(shown):
        picture.remarks.append(
            f"The first {len(shown)} of {len(changes)} are drawn, regressions first; `deploykit compare` has all."
        )
    if shown:
        picture.drawings.append(_draw(shown, limit, head, base))
    return picture if comparison.changes else None


def _draw(
    changes: Sequence[Change], limit: float, head: Sequence[Entry], base: Sequence[Entry]
) -> Drawing:
    sides = [_sides(change, head, base) for change in changes]
    ends = [1.0, limit * 1.02]
    for change, side in zip(changes, sides, strict=True):
        assert change.latency is not None
        ends += [change.latency.ratio]
        if change.latency.test is not None:
            ends += [change.latency.test.low, change.latency.test.high]
        ends += [value / change.latency.base_ms for value in (*side.base_ms, *side.head_ms)]
    low, high = max(0.25, min(ends)), min(4.0, max(ends))
    height = 22 + _ROW * len(changes) + 42
    drawing = Drawing(_WIDTH, height)
    x = Scale(low * 0.97, high * 1.03, _NAMES, _WIDTH - _RIGHT, log=True)
    for value in x.ticks(6):
        drawing.add(
            Line([(x(value), 16), (x(value), height - 38)], "muted" if value == 1 else "grid", 1),
            Text((x(value), height - 22), tick_text(value), "muted", 11, "middle"),
        )
    drawing.add(
        Line([(x(limit), 16), (x(limit), height - 38)], "limit", 2, dashed=True),
        Text((x(limit), 11), f"limit {limit:.3g}", "limit", 11, "middle"),
        Text(
            ((x.start + x.end) / 2, height - 5),
            "latency, head / base, logarithmic",
            "text",
            12,
            "middle",
        ),
    )
    for place, (change, side) in enumerate(zip(changes, sides, strict=True)):
        _row(drawing, change, side, x, 22 + _ROW * place + 13)
    return drawing


def _row(drawing: Drawing, change: Change, side: _Sides, x: Scale, y: float) -> None:
    latency = change.latency
    assert latency is not None
    ink, shape = _VERDICTS.get(change.verdict, _OPEN)
    hollow, row = change.verdict not in _VERDICTS, side.row
    name = shortened(change.name, _NAMES - 12)
    drawing.add(Text((_NAMES - 8, y + 4), name, "text", 12, "end", row=row))
    for values, up, dots_ink in ((side.base_ms, -8, "muted"), (side.head_ms, 8, ink)):
        drawing.add(Dots([(x(v / latency.base_ms), y + up) for v in values], dots_ink, 2, 0.8, row))
    if latency.test is not None:
        drawing.add(Line([(x(latency.test.low), y), (x(latency.test.high), y)], ink, 2, row=row))
    doubtful = [
        f"{side_name} doubtful: {doubt}"
        for side_name, doubt in zip(rendering.SIDES, change.doubts, strict=True)
        if doubt
    ]
    ratio = f"{latency.ratio:.3f}{DOUBT * bool(doubtful)}"
    title = "\n".join(
        [change.name, f"{change.verdict}, {latency.quantile}, ratio {ratio}", *doubtful]
    )
    drawing.add(Mark((x(latency.ratio), y), ink, shape, hollow, 5, row, title))
    text = f"{ratio} {change.verdict}"
    if change.accuracy_verdict not in ("", "same"):
        text += f", accuracy {change.accuracy_verdict}"
    drawing.add(Text((_WIDTH - _RIGHT + 12, y + 4), text, "text", 11.5, row=row))


def _sides(change: Change, head: Sequence[Entry], base: Sequence[Entry]) -> _Sides:
    assert change.latency is not None
    column = f"latency_{change.latency.quantile}_ms"
    ours = [entry for entry in head if _is_of(entry, change)]
    return _Sides(
        [value for entry in base if _is_of(entry, change) and (value := entry.value(column))],
        [value for entry in ours if (value := entry.value(column))],
        ours[0].number if ours else None,
    )


def _is_of(entry: Entry, change: Change) -> bool:
    """Whether a row is a process of a configuration, matched as `compare` matches them.

    Of what names a configuration a blank is a value of its own: a row with a rate is no process of one without. Of
    the soft columns a row may lack some. A machine that the comparison left out is not asked for.
    """
    for name in IDENTITY_NAMES:
        wanted, text = change.identity[name], entry.text(name) or BY_NAME[name].blank
        if text != wanted and (name != "env_id" or wanted):
            return False
    return all(
        not text or not wanted or text == wanted
        for name in SOFT_NAMES
        for text, wanted in [(entry.text(name), change.identity[name])]
    )
