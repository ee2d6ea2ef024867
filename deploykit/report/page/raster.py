"""Pictures as PNG, by matplotlib: the same drawing as the page's, on white, in print resolution."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from deploykit.errors import MissingDependency
from deploykit.lazy import install_line
from deploykit.report.page.drawing import Box, Dots, Item, Line, Mark, Picture
from deploykit.report.page.palette import INKS
from deploykit.report.page.svg import assembled, outline
from deploykit.text import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Pixels of a drawing to an inch, as CSS has it, and dots to an inch in the file.
_PIXELS, _DPI = 96, 200


def require_matplotlib() -> None:
    """Refuse, before any work is done, where matplotlib is not installed.

    Raises:
        MissingDependency: it is not.
    """
    _figure((100.0, 100.0))


def _figure(size: tuple[float, float]) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependency(
            f"PNG is drawn by matplotlib, which is not installed: {install_line('report')}; --svg needs nothing"
        ) from error
    return Figure(figsize=(size[0] / _PIXELS, size[1] / _PIXELS), dpi=_DPI)


def png(picture: Picture) -> bytes:
    """A picture with title and legend as PNG; equal pictures are equal files.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    sheet = assembled(picture)
    figure = _figure((sheet.width, sheet.height))
    axes: Any = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, sheet.width), ylim=(sheet.height, 0))
    axes.set_axis_off()
    for order, item in enumerate(sheet.items):
        _draw(axes, item, order)
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def _draw(axes: Any, item: Item, order: int) -> None:
    from matplotlib.patches import Polygon, Rectangle
    from matplotlib.patheffects import withStroke

    colour, points = INKS[item.ink][0], 72 / _PIXELS
    if isinstance(item, Line):
        xs, ys = zip(*item.points, strict=True)
        if item.opacity is not None:
            axes.fill(xs, ys, color=colour, alpha=item.opacity, lw=0, zorder=order)
            return
        style = (0, (4, 3)) if item.dashed else "solid"
        axes.plot(xs, ys, color=colour, lw=item.width * points, ls=style, zorder=order)
    elif isinstance(item, Dots):
        if item.points:
            xs, ys = zip(*item.points, strict=True)
            size = (2 * item.size * points) ** 2
            axes.scatter(xs, ys, s=size, c=colour, alpha=item.opacity, lw=0, zorder=order)
    elif isinstance(item, Box):
        face = "white" if item.hollow else colour
        edge = {"ec": colour, "lw": 1.8 * points} if item.hollow else {"lw": 0}
        box = Rectangle(item.at, *item.size, fc=face, alpha=item.opacity, zorder=order, **edge)
        axes.add_patch(box)
    elif isinstance(item, Mark):
        face, edge_colour = ("white", colour) if item.hollow else (colour, "white")
        corners = outline(item)
        axes.add_patch(Polygon(corners, fc=face, ec=edge_colour, lw=1.4 * points, zorder=order))
    else:
        axes.text(
            *item.at,
            printable(item.text).replace("$", r"\$"),
            color=colour,
            fontsize=item.size * points,
            ha={"start": "left", "middle": "center", "end": "right"}[item.anchor],
            va="center" if item.turned else "baseline",
            rotation=90 if item.turned else 0,
            fontweight="bold" if item.bold else "normal",
            path_effects=[withStroke(linewidth=2, foreground="white")],
            zorder=order,
        )
