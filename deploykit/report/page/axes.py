"""A pair of axes with grid and titles, and the placing of labels so that none covers another."""

from __future__ import annotations

from collections.abc import Sequence

from deploykit.report.page.drawing import Drawing, Line, Point, Text
from deploykit.report.page.scales import Scale, tick_text

#: A rectangle as left, top, right, bottom.
Area = tuple[float, float, float, float]


def frame(drawing: Drawing, x: Scale, y: Scale, x_title: str, y_title: str) -> None:
    """Draw grid, values and titles of the axes that `x` and `y` span."""
    left, right = x.start, x.end
    bottom, top = max(y.start, y.end), min(y.start, y.end)
    for value in x.ticks(max(3, int((right - left) / 90))):
        at = x(value)
        drawing.add(
            Line([(at, top), (at, bottom)], "grid", 1),
            Text((at, bottom + 16), tick_text(value), "muted", 11, "middle"),
        )
    for value in y.ticks(max(3, int((bottom - top) / 55))):
        at = y(value)
        drawing.add(
            Line([(left, at), (right, at)], "grid", 1),
            Text((left - 6, at + 4), tick_text(value), "muted", 11, "end"),
        )
    drawing.add(
        Line([(left, top), (left, bottom), (right, bottom)], "muted", 1),
        Text(((left + right) / 2, bottom + 34), x_title, "text", 12, "middle"),
        Text((left - 46, (top + bottom) / 2), y_title, "text", 12, "middle", turned=True),
    )


class Labels:
    """Places for labels around points: the first of several that covers no label, no mark and no border."""

    def __init__(self, within: Area) -> None:
        self.within = within
        self.taken: list[Area] = []

    def block(self, at: Point, reach: float) -> None:
        """Keep a square around a mark free."""
        x, y = at
        self.taken.append((x - reach, y - reach, x + reach, y + reach))

    def place(
        self, at: Point, text: str, *, size: float = 11, row: int | None = None, reach: float = 5
    ) -> Text | None:
        """A label for a point whose mark has that `reach`, or None where there is no room for one."""
        x, y = at
        offsets: Sequence[tuple[float, float, str]] = (
            (9, 4, "start"),
            (-9, 4, "end"),
            (0, -10, "middle"),
            (0, 18, "middle"),
            (9, -9, "start"),
            (9, 16, "start"),
            (-9, -9, "end"),
            (-9, 16, "end"),
        )
        grown = max(1.0, (reach + 4) / 9)
        for dx, dy, anchor in offsets:
            label = Text(
                (x + grown * dx, y + (grown * dy if abs(dy) > 4 else dy)),
                text,
                "text",
                size,
                anchor,
                row=row,
            )
            area = area_of(label)
            if self._is_free(area):
                self.taken.append(area)
                return label
        return None

    def _is_free(self, area: Area) -> bool:
        left, top, right, bottom = area
        if left < self.within[0] or top < self.within[1]:
            return False
        if right > self.within[2] or bottom > self.within[3]:
            return False
        return not any(
            left < b[2] and b[0] < right and top < b[3] and b[1] < bottom for b in self.taken
        )


def area_of(label: Text) -> Area:
    """What a label covers, about."""
    x, y = label.at
    left = x - {"start": 0.0, "middle": label.width / 2, "end": label.width}[label.anchor]
    return left, y - 0.85 * label.size, left + label.width, y + 0.25 * label.size
