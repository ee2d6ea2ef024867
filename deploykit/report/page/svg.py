"""Drawings as SVG: inline in a page, whose style sheet colours them, or a file that brings its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from deploykit.report.page.drawing import Box, Dots, Drawing, Item, Line, Mark, Picture, Point, Text
from deploykit.report.page.markup import element, escaped
from deploykit.report.page.palette import style_sheet

#: What the shapes of drawings need of a style sheet.
STYLE = (
    "svg text{fill:currentColor;font-family:system-ui,'Segoe UI','DejaVu Sans',sans-serif;"
    "paint-order:stroke;stroke:var(--paper);stroke-width:3px;stroke-linejoin:round}"
    "svg .s{fill:none;stroke:currentColor;stroke-linejoin:round;stroke-linecap:round}"
    "svg .f{fill:currentColor;stroke:none}svg .h{fill:var(--paper);stroke:currentColor;stroke-width:1.8}"
    "svg .m{stroke:var(--paper);stroke-width:1;fill:currentColor}"
)
_GAP, _HEADING, _LEGEND_LINE = 14.0, 24.0, 20.0


def number(value: float) -> str:
    """A coordinate in few characters."""
    return f"{value:.1f}".removesuffix(".0")


def inline(drawing: Drawing, title: str) -> str:
    """A drawing as an element of a page. Marks of rows get their titles from the table, which has them once."""
    items = (
        replace(item, title="") if isinstance(item, Mark) and item.row is not None else item
        for item in drawing.items
    )
    body = element("title", escaped(title)) + "".join(map(_item, items))
    return element(
        "svg",
        body,
        viewBox=f"0 0 {number(drawing.width)} {number(drawing.height)}",
        width=number(drawing.width),
        height=number(drawing.height),
        role="img",
        data_r=drawing.row,
    )


def document(picture: Picture) -> str:
    """A picture as a file of its own on white, legend included, for papers.

    Colours are written into each element: not every program that reads SVG knows variables.
    """
    sheet = assembled(picture)
    body = "".join(map(_item, sheet.items))
    style = STYLE.replace("var(--paper)", "#ffffff")
    inks = _plain_inks()
    size = f'width="{number(sheet.width)}" height="{number(sheet.height)}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} '
        f'viewBox="0 0 {number(sheet.width)} {number(sheet.height)}">'
        f"<title>{escaped(picture.title)}</title><style>{style}{inks}</style>"
        f'<rect width="100%" height="100%" fill="#ffffff"/>{body}</svg>\n'
    )


def _plain_inks() -> str:
    from deploykit.report.page.palette import INKS

    return "".join(f".{name}{{color:{light}}}" for name, (light, _) in INKS.items())


def assembled(picture: Picture) -> Drawing:
    """All drawings of a picture below each other, with title, headings and legend, as one sheet."""
    width = max((drawing.width for drawing in picture.drawings), default=400.0)
    sheet = Drawing(width, 0.0)
    sheet.add(Text((8, 20), picture.title, size=15, bold=True))
    top = 30.0
    left = 14.0
    for ink, shape, hollow, text in picture.legend:
        room = 30 + len(text) * 6.6
        if left + room > width and left > 14:
            left, top = 14.0, top + _LEGEND_LINE
        sheet.add(
            Mark((left, top + 8), ink, shape, hollow), Text((left + 11, top + 12), text, size=12)
        )
        left += room
    top += _LEGEND_LINE * bool(picture.legend) + 6
    for drawing in picture.drawings:
        if drawing.heading:
            sheet.add(Text((8, top + 16), drawing.heading, size=13, bold=True))
            top += _HEADING
        sheet.add(*(_moved(item, top) for item in drawing.items))
        top += drawing.height + _GAP
    sheet.height = top
    return sheet


def _moved(item: Item, down: float) -> Item:
    if isinstance(item, Line | Dots):
        return replace(item, points=[(x, y + down) for x, y in item.points])
    return replace(item, at=(item.at[0], item.at[1] + down))


def _item(item: Item) -> str:
    if isinstance(item, Line):
        return _line(item)
    if isinstance(item, Dots):
        d = "".join(f"M{number(x)} {number(y)}h0" for x, y in item.points)
        return element(
            "path", class_=f"s {item.ink}", d=d, stroke_width=number(item.size * 2), opacity=item.opacity,
            data_r=item.row,
        )  # fmt: skip
    if isinstance(item, Box):
        return _box(item)
    if isinstance(item, Mark):
        return _mark(item)
    return _text(item)


def path_of(points: Sequence[Point]) -> str:
    """The data of a path through points."""
    return "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points)


def _line(item: Line) -> str:
    filled = item.opacity is not None
    return element(
        "path",
        class_=f"{'f' if filled else 's'} {item.ink}",
        d=path_of(item.points) + ("Z" if filled else ""),
        stroke_width=None if filled or item.width == 1 else number(item.width),
        stroke_dasharray="5 4" if item.dashed else None,
        opacity=item.opacity,
        data_r=item.row,
    )


def _box(item: Box) -> str:
    (x, y), (w, h) = item.at, item.size
    return element(
        "rect",
        element("title", escaped(item.title)) if item.title else "",
        class_=f"{'h' if item.hollow else 'f'} {item.ink}",
        x=number(x), y=number(y), width=number(max(w, 0.5)), height=number(max(h, 0.5)),
        opacity=None if item.opacity == 1 else item.opacity,
        data_r=item.row,
    )  # fmt: skip


def _mark(item: Mark) -> str:
    title = element("title", escaped(item.title)) if item.title else ""
    kind = f"{'h' if item.hollow else 'm'} {item.ink}"
    if item.shape == "circle":
        x, y = map(number, item.at)
        return element(
            "circle", title, class_=kind, cx=x, cy=y, r=number(item.size), data_r=item.row
        )
    return element("path", title, class_=kind, d=path_of(outline(item)) + "Z", data_r=item.row)


def outline(item: Mark) -> list[Point]:
    """The corners of a mark; of a circle, of a polygon that is close to one."""
    x, y = item.at
    r = item.size
    if item.shape == "square":
        r *= 0.9
        return [(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)]
    if item.shape == "triangle":
        r *= 1.25
        return [(x, y - r), (x + 0.9 * r, y + 0.65 * r), (x - 0.9 * r, y + 0.65 * r)]
    if item.shape == "diamond":
        r *= 1.3
        return [(x, y - r), (x + r, y), (x, y + r), (x - r, y)]
    if item.shape in ("cross", "plus"):
        a, b = 0.45 * r, 1.25 * r
        corners = [(a, a), (a, b), (-a, b), (-a, a), (-b, a), (-b, -a)]
        corners += [(-a, -a), (-a, -b), (a, -b), (a, -a), (b, -a), (b, a)]
        turn = math.pi / 4 if item.shape == "cross" else 0.0
        c, s = math.cos(turn), math.sin(turn)
        return [(x + c * dx - s * dy, y + s * dx + c * dy) for dx, dy in corners]
    steps = [2 * math.pi * k / 24 for k in range(24)]
    return [(x + r * math.cos(t), y + r * math.sin(t)) for t in steps]


def _text(item: Text) -> str:
    x, y = map(number, item.at)
    return element(
        "text",
        escaped(item.text),
        class_=item.ink,
        x=x,
        y=y,
        font_size=number(item.size),
        text_anchor=None if item.anchor == "start" else item.anchor,
        font_weight="600" if item.bold else None,
        transform=f"rotate(-90 {x} {y})" if item.turned else None,
        data_r=item.row,
    )


def whole_style() -> str:
    """Inks and shapes for a page."""
    return style_sheet() + STYLE
