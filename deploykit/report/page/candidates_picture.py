"""All candidates of a tuning: what is to be small or large against how right outputs are, and which was taken."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from deploykit.report.page.axes import Labels, frame
from deploykit.report.page.drawing import Drawing, Line, Mark, Picture
from deploykit.report.page.palette import ink_of, shape_of
from deploykit.report.page.scales import scale
from deploykit.report.states import DOUBT

_WIDTH, _HEIGHT = 900.0, 460.0
_LEFT, _TOP, _RIGHT, _BOTTOM = 64.0, 20.0, 20.0, 48.0
#: So many marks have a label; the answer and those of the line first.
MOST_LABELS = 30


@dataclass(frozen=True)
class Candidate:
    """A configuration that was tried.

    Attributes:
        name: its label.
        network: the number of the network that it belongs to.
        x: the objective.
        y: top-1 in percent, or the signal-to-noise ratio in dB.
        is_measured: whether x is of a row, and not of the race alone.
        is_chosen: whether it is the answer.
        is_fit: whether it could have been the answer.
        is_doubtful: whether what was measured of it is doubtful.
    """

    name: str
    network: int
    x: float
    y: float
    is_measured: bool
    is_chosen: bool
    is_fit: bool
    is_doubtful: bool = False

    @property
    def label(self) -> str:
        """The name, with a question mark where the numbers are doubtful."""
        return f"{self.name} {DOUBT}" if self.is_doubtful else self.name


@dataclass(frozen=True)
class Candidates:
    """What a tuning tried.

    Attributes:
        tried: of all networks.
        line: those of them that no other beats in both, the best objective first.
        networks: their names, by number.
        x_title, y_title: of the axes.
        larger: whether a larger objective is better.
    """

    tried: Sequence[Candidate]
    line: Sequence[Candidate]
    networks: Sequence[str]
    x_title: str
    y_title: str
    larger: bool


def candidates_picture(found: Candidates) -> Picture | None:
    """The candidates with the answer and the line; None where the objective and the outputs of none are known."""
    if not found.tried:
        return None
    side = "right" if found.larger else "left"
    picture = Picture(
        "candidates",
        "What was tried",
        f"Each mark is a candidate: further {side} is better by the objective, higher is nearer to fp32 or more "
        "often right. A hollow mark was judged by the race alone, whose ratio places it; a cross could not be the "
        "answer. The ring is what was taken, the line joins what none beats in both.",
    )
    drawing = Drawing(_WIDTH, _HEIGHT)
    x = scale([one.x for one in found.tried if one.x > 0], _LEFT, _WIDTH - _RIGHT, log=True)
    y = scale([one.y for one in found.tried], _HEIGHT - _BOTTOM, _TOP)
    frame(drawing, x, y, f"{found.x_title}, logarithmic", found.y_title)
    line = [(x(one.x), y(one.y)) for one in found.line]
    if len(line) > 1:
        turned = [line[0]]
        for (_, height), (across, next_height) in itertools.pairwise(line):
            turned += [(across, height), (across, next_height)]
        drawing.add(Line(turned, "muted", 1.5))
    labels = Labels((_LEFT, 2, _WIDTH - 2, _HEIGHT - _BOTTOM))
    for one in found.tried:
        place = (x(one.x), y(one.y))
        labels.block(place, 12 if one.is_chosen else 6)
        if one.is_chosen:
            drawing.add(Mark(place, "limit", "circle", True, 10))
        shape = shape_of(one.network % 4) if one.is_fit else "cross"
        state = "" if one.is_fit else "\nout"
        drawing.add(
            Mark(place, ink_of(one.network), shape, not one.is_measured, 5, None, one.label + state)
        )
    first = sorted(found.tried, key=lambda one: (not one.is_chosen, one not in found.line))
    left = 0
    for one in first:
        label = labels.place((x(one.x), y(one.y)), one.label, reach=12 if one.is_chosen else 6)
        if label is None or len(labels.taken) > len(found.tried) + MOST_LABELS:
            left += 1
        else:
            drawing.add(label)
    if left:
        picture.remarks.append(
            f"{left} of {len(found.tried)} marks have no label for want of room: point at one to see its name."
        )
    picture.drawings.append(drawing)
    picture.legend = [
        (ink_of(number), shape_of(number % 4), False, name)
        for number, name in enumerate(found.networks)
    ]
    picture.legend += [
        ("limit", "circle", True, "taken"),
        ("muted", "circle", True, "hollow: by the race alone"),
        ("muted", "cross", False, "out"),
    ]
    if any(one.is_doubtful for one in found.tried):
        picture.reading += " A question mark stands behind what is doubtful; the table says why."
    return picture
