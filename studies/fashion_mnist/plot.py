"""Pictures of the study: accuracy against what it costs, with intervals. Needs matplotlib (`report` extra)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deploykit.errors import MissingDependency
from deploykit.lazy import install_line
from studies.fashion_mnist.cases import RESOLUTION_PX
from studies.fashion_mnist.rows import Measured

if TYPE_CHECKING:
    from collections.abc import Iterator

#: How networks are called in the legend, and what marks them; MobileNet has a series per alpha.
_OTHERS = {
    "lenet5": ("LeNet-5", "s"),
    "alexnet_owt": ("AlexNet", "^"),
    "squeezenet1_0": ("SqueezeNet", "D"),
}
#: Colours that people with any kind of colour vision tell apart (Okabe and Ito).
_COLOURS = ("#0072B2", "#009E73", "#E69F00", "#D55E00", "#56B4E9", "#CC79A7", "#000000")


@dataclass(frozen=True)
class Series:
    """Networks that a line joins: their name in the legend, marker, colour."""

    name: str
    marker: str
    colour: str
    members: tuple[Measured, ...]


def draw(measured: Sequence[Measured]) -> dict[str, bytes]:
    """`study.png` and `study.svg`: top-1 against MACs, and against the latency of fp32 and int8.

    Args:
        measured: networks; those with a row that is not ok are left out.

    Returns:
        File name to content; nothing where there is nothing to draw.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    whole = [m for m in measured if all(row["status"] == "ok" for row in m.rows.values())]
    if not whole:
        return {}
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingDependency(
            f"the study's picture needs matplotlib: {install_line('report')}"
        ) from None

    # The same rows give the same bytes: names inside an SVG are hashed with this salt.
    with mpl.rc_context({"svg.hashsalt": "deploykit", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(10, 4.8), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        for series in _series(whole):
            _line(left, series, "macs", "fp32", 1e6)
            _line(right, series, "latency_p50_ms", "fp32", 1)
            _line(right, series, "latency_p50_ms", "int8", 1)
        left.set(xscale="log", xlabel="MACs, millions", ylabel="top-1, %")
        right.set(xscale="log", xlabel="median latency at batch 1, ms: filled fp32, open int8")
        for axes in (left, right):
            axes.grid(visible=True, which="major", alpha=0.3)
            axes.xaxis.set_major_formatter("{x:g}")
        # Outside: wherever points come to lie, it covers none.
        handles, names = left.get_legend_handles_labels()
        figure.legend(
            handles,
            names,
            loc="outside lower center",
            ncols=len(names),
            frameon=False,
            title="α is MobileNet's, its points are ρ",
        )
        figure.suptitle(
            f"Fashion-MNIST at {RESOLUTION_PX} px, a proxy for ImageNet: "
            "10,000 test images, 95% intervals"
        )
        return {
            "study.png": _saved(figure, "png", {"Software": None}),
            "study.svg": _saved(figure, "svg", {"Date": None, "Creator": None}),
        }


def _series(measured: Sequence[Measured]) -> Iterator[Series]:
    colours = iter(_COLOURS)
    alphas = sorted({m.case.spec.alpha for m in measured if m.case.spec.name == "mobilenet"})
    for alpha in reversed(alphas):
        members = [
            m for m in measured if m.case.spec.name == "mobilenet" and m.case.spec.alpha == alpha
        ]
        members.sort(key=lambda m: m.case.spec.rho)
        yield Series(f"α = {alpha:g}", "o", next(colours), tuple(members))
    for name, (shown, marker) in _OTHERS.items():
        alike = tuple(m for m in measured if m.case.spec.name == name)
        if alike:
            yield Series(shown, marker, next(colours), alike)


def _line(axes: Any, series: Series, column: str, precision: str, unit: float) -> None:
    rows = [m.rows[precision] for m in series.members]
    top1 = [100 * float(row["top1"]) for row in rows]
    low = [value - 100 * float(row["top1_low"]) for value, row in zip(top1, rows, strict=True)]
    high = [100 * float(row["top1_high"]) - value for value, row in zip(top1, rows, strict=True)]
    filled = precision == "fp32"
    axes.errorbar(
        [float(row[column]) / unit for row in rows],
        top1,
        yerr=[low, high],
        marker=series.marker,
        markersize=5,
        markerfacecolor=series.colour if filled else "white",
        color=series.colour,
        linestyle="-" if filled else ":",
        linewidth=1,
        elinewidth=0.8,
        capsize=2,
        label=series.name if filled else None,
    )


def _saved(figure: Any, kind: str, metadata: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format=kind, dpi=150, metadata=metadata)
    return stream.getvalue()
