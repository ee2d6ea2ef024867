"""The Pareto picture of a tuning: what is to be small or large against how right the outputs are."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploykit.columns import BY_NAME
from deploykit.errors import MissingDependency, UsageError
from deploykit.lazy import install_line
from deploykit.report.page import candidates_picture as page
from deploykit.report.states import DOUBT, doubtful
from deploykit.workflow.configuration import Configuration, source_name
from deploykit.workflow.tuned import RATE, Candidate, Tuned
from deploykit.writing import write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Endings of files that a picture can be written to, with what makes equal pictures equal files.
_METADATA: dict[str, dict[str, None]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
}
#: Colours that people with any kind of colour vision tell apart (Okabe and Ito), one for each network.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#000000")
_Y_TITLES = {
    "top1": "top-1, % (higher is better)",
    "drift_snr_db": "drift against fp32, SNR in dB (higher is nearer)",
}
#: So many points are named, which is what stands beside the picture.
MAX_LABELS = 20
#: Where a point's number stands, in points from it: above, and elsewhere where a neighbour's is there already.
_PLACES = ((0, 13), (0, -13), (-13, 0), (13, 0))


@dataclass(frozen=True)
class Point:
    """A candidate in the picture.

    Attributes:
        name: its label.
        network: the number of the network that it belongs to.
        x: the objective.
        y: top-1 in percent, or the signal-to-noise ratio in dB.
        is_measured: whether x is of a row, and not of the race alone.
        is_chosen: whether it is the answer.
        is_fit: whether it could have been the answer.
        is_doubtful: whether what was measured of it is doubtful, as its row says.
    """

    name: str
    network: int
    x: float
    y: float
    is_measured: bool
    is_chosen: bool
    is_fit: bool
    is_doubtful: bool = False


def check_picture(path: str) -> None:
    """Refuse, before any work is done, what no picture can be written to.

    Raises:
        UsageError: the path has another ending than .svg or .png.
        MissingDependency: matplotlib is not installed.
    """
    if Path(path).suffix.lower() not in _METADATA:
        raise UsageError(f"a picture is written as .svg or .png: name such a file, not {path}")
    _figure_class()


def draw(answers: Sequence[Tuned]) -> Figure:
    """The picture of one network or several: points labelled, answers marked, a line through those that none beats.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    new_figure = _figure_class()
    objective = answers[0].question.objective
    y_name = accuracy_column(answers)
    points = points_of(answers, y_name)
    figure = new_figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    several = len(answers) > 1
    for number, tuned in enumerate(answers):
        colour = _COLOURS[number % len(_COLOURS)]
        of_one = [point for point in points if point.network == number]
        measured = [p for p in of_one if p.is_measured]
        raced = [p for p in of_one if not p.is_measured]
        name = source_name(tuned.source)
        _dots(axes, measured, f"{name}, measured" if several else "measured", color=colour)
        hollow = {"facecolors": "none", "edgecolors": colour}
        _dots(axes, raced, f"{name}, by the race" if several else "by the race", **hollow)
    chosen = [point for point in points if point.is_chosen]
    axes.scatter(
        [p.x for p in chosen],
        [p.y for p in chosen],
        s=220,
        facecolors="none",
        edgecolors="#D55E00",
        linewidths=2,
        label="taken",
        zorder=4,
    )
    line = pareto([point for point in points if point.is_fit], larger=objective == RATE)
    axes.step(
        [p.x for p in line],
        [p.y for p in line],
        where="pre" if objective == RATE else "post",
        color="0.6",
        zorder=1,
        label="Pareto line: none is better in both",
    )
    _label(axes, points, line, larger=objective == RATE)
    axes.set(
        xlabel=_x_title(objective),
        ylabel=_Y_TITLES[y_name],
        title=", ".join(source_name(tuned.source) for tuned in answers),
    )
    axes.grid(visible=True, alpha=0.3)
    axes.margins(0.14)
    if points:
        # Outside: wherever points come to lie, it covers none.
        figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a picture whole or not at all; the ending says as what.

    Raises:
        UsageError: the path has another ending than .svg or .png.
        OutputFailed: it can't be written.
    """
    check_picture(str(path))
    import matplotlib as mpl

    ending = path.suffix.lower()
    content = io.BytesIO()
    # The same points give the same bytes: names inside an SVG are hashed with this salt.
    with mpl.rc_context({"svg.hashsalt": "deploykit", "svg.fonttype": "none"}):
        figure.savefig(content, format=ending[1:], dpi=150, metadata=_METADATA[ending])
    write_atomic(path, content.getvalue(), "picture")


def accuracy_column(answers: Sequence[Tuned]) -> str:
    """What tells how right outputs are: top-1 where every network has one, else the drift."""
    has_top1 = all(
        any(one.row.get("top1") is not None for one in tuned.candidates) for tuned in answers
    )
    return "top1" if has_top1 else "drift_snr_db"


def points_of(answers: Sequence[Tuned], y_name: str) -> list[Point]:
    """The candidates of which both are known; what was raced alone stands at its ratio to one that was measured."""
    points = []
    for number, tuned in enumerate(answers):
        scale = _scale(tuned)
        for one in tuned.candidates:
            x = one.row.get(tuned.question.objective)
            is_measured = x is not None
            if x is None and scale is not None and one.ratio:
                x = scale / one.ratio if tuned.question.objective == RATE else scale * one.ratio
            y = _of_engine(tuned, one, y_name)
            if x is None or y is None:
                continue
            y = 100 * y if y_name == "top1" else y
            name = one.name if len(answers) == 1 else f"{source_name(tuned.source)} {one.name}"
            is_fit = one.fate not in ("unfit", "failed")
            taken, doubt = one is tuned.best, is_measured and doubtful(one.row)
            points.append(Point(name, number, float(x), y, is_measured, taken, is_fit, doubt))
    return points


def pareto(points: Sequence[Point], *, larger: bool) -> list[Point]:
    """Those that no other beats in both, the best objective first."""
    line: list[Point] = []
    for point in sorted(points, key=lambda p: (-p.x if larger else p.x, -p.y)):
        if not line or point.y > line[-1].y:
            line.append(point)
    return line


def candidates_of(answers: Sequence[Tuned]) -> page.Candidates:
    """What one or several tunings tried, as a page draws it."""
    objective = answers[0].question.objective
    y_name = accuracy_column(answers)
    points = points_of(answers, y_name)
    larger = objective == RATE
    line = pareto([point for point in points if point.is_fit], larger=larger)
    return page.Candidates(
        [_candidate(point) for point in points],
        [_candidate(point) for point in line],
        [source_name(tuned.source) for tuned in answers],
        _x_title(objective),
        _Y_TITLES[y_name],
        larger,
    )


def _candidate(point: Point) -> page.Candidate:
    return page.Candidate(**asdict(point))


def _x_title(objective: str) -> str:
    unit = BY_NAME[objective].unit
    return f"{objective}{f', {unit}' if unit else ''} ({_better(objective)})"


def _scale(tuned: Tuned) -> float | None:
    """The objective of a ratio of 1, from the first candidate that has both."""
    objective = tuned.question.objective
    for one in tuned.candidates:
        value = one.row.get(objective)
        if value is not None and one.ratio:
            return float(value) * (one.ratio if objective == RATE else 1 / one.ratio)
    return None


def _of_engine(tuned: Tuned, candidate: Candidate, name: str) -> float | None:
    """A value of a candidate's row, or of another row of the same engine: outputs are the engine's."""
    ours = candidate.configuration
    for one in (candidate, *tuned.candidates):
        theirs = one.configuration
        alike = _engine(theirs) == _engine(ours)
        value = one.row.get(name)
        if alike and value is not None:
            return min(float(value), 300.0) if name != "top1" else float(value)
    return None


def _engine(one: Configuration) -> tuple[str, str, tuple[str, ...]]:
    """What tells engines of one network apart by their outputs; a mix of precisions has its own."""
    return one.precision, one.backend, one.kept


def _better(objective: str) -> str:
    return "higher is better" if objective == RATE else "lower is better"


def _dots(axes: Any, points: Sequence[Point], label: str, **colours: str) -> None:
    if points:
        x, y = [p.x for p in points], [p.y for p in points]
        axes.scatter(x, y, s=36, label=label, zorder=3, **colours)


def _label(axes: Any, points: Sequence[Point], line: Sequence[Point], *, larger: bool) -> None:
    """Number the points, the best first, and name them beside the picture: names would cover each other.

    Where there are too many, the chosen and those of the line are among the named ones.
    """
    first = sorted(points, key=lambda p: (not p.is_chosen, p not in line))[:MAX_LABELS]
    in_order = sorted(first, key=lambda p: (-p.x if larger else p.x, -p.y))
    width = max((p.x for p in points), default=1) - min((p.x for p in points), default=0) or 1
    height = max((p.y for p in points), default=1) - min((p.y for p in points), default=0) or 1
    placed: list[Point] = []
    for number, point in enumerate(in_order, 1):
        near = [
            other
            for other in placed
            if abs(other.x - point.x) < width / 30 and abs(other.y - point.y) < height / 20
        ]
        placed.append(point)
        weight = "bold" if point.is_chosen else "normal"
        axes.annotate(
            str(number),
            (point.x, point.y),
            xytext=_PLACES[len(near) % len(_PLACES)],
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=8,
            weight=weight,
        )
        text = (
            f"{number}  {point.name}"
            + ("" if point.is_fit else " (out)")
            + DOUBT * point.is_doubtful
        )
        place = 0.98 - 0.05 * (number - 1)
        axes.text(1.02, place, text, transform=axes.transAxes, fontsize=8, va="top", weight=weight)


def _figure_class() -> type[Figure]:
    """Matplotlib's figure, without its windows.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingDependency(f"the picture needs matplotlib: {install_line('report')}") from None
    return Figure
