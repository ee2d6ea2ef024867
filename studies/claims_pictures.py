"""Pictures of what small networks that were trained say of claims, into reports/.

Run as `python -m studies.claims_pictures`, at the end of `make claims-full`. Drawn are the trainings that
`deploykit claims --train` has kept in the store, of the networks that the claims' own entries name; what is not
kept is trained. Needs matplotlib, and Fashion-MNIST for two of the five.
"""

from __future__ import annotations

import argparse
import io
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploykit.claims import list_claims
from deploykit.claims.check import find_check, typed
from deploykit.claims.checks.trained import interval
from deploykit.claims.effort import training
from deploykit.claims.kept import trained
from deploykit.claims.proxies import make, part_of, share_right
from deploykit.claims.surfaces import activation_maps, located
from deploykit.data.by_name import FASHION_CLASSES
from deploykit.errors import DeploykitError, MissingDependency
from deploykit.lazy import install_line, torch
from deploykit.store import Store
from deploykit.writing import write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colours that people with any kind of colour vision tell apart (Okabe and Ito).
BLUE, ORANGE, GREEN, BLACK = "#0072B2", "#D55E00", "#009E73", "#000000"
_DPI = 200
#: Of titles, so that one fits a line of 600 px.
TITLE_PT = 11

#: One line of a picture: places on the x axis, and the values of each seed there.
Points = dict[float, list[float]]


def arguments_of(name: str) -> dict[str, Any]:
    """The arguments of a claim, of their types."""
    (claim,) = (claim for claim in list_claims() if claim.id == name)
    return typed(claim.arguments, find_check(claim.check).kinds, (), "argument")


def _figure(
    columns: int = 1, rows: int = 1, height: float = 3.8, **options: Any
) -> tuple[Figure, Any]:
    """A figure 600 px wide where it is shown, with its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, height), dpi=_DPI, layout="constrained")
    return figure, figure.subplots(rows, columns, **options)


def _line(axes: Axes, points: Points, colour: str, name: str, *, log: bool = False) -> None:
    """Means over seeds with their 95% intervals, and each seed as a dot."""
    axes.grid(visible=True, alpha=0.3)
    places = sorted(points)
    middle = statistics.geometric_mean if log else statistics.fmean
    axes.plot(
        places,
        [middle(points[x]) for x in places],
        color=colour,
        marker="o",
        markersize=4,
        label=name,
    )
    for x in places:
        axes.plot([x] * len(points[x]), points[x], ".", color=colour, alpha=0.4, markersize=5)
        if not log:
            low, _, high = interval(points[x])
            axes.plot([x, x], [low, high], color=colour, linewidth=1)


def _legend(figure: Figure, axes: Axes, title: str) -> None:
    """Below the axes, where it covers no point."""
    handles, names = axes.get_legend_handles_labels()
    figure.legend(
        handles,
        names,
        loc="outside lower center",
        ncols=1 if max(map(len, names)) > 30 else len(names),
        frameon=False,
        title=title,
    )


def _values(proxy: Any, metric: str, seeds: int) -> list[float]:
    return [float(getattr(trained(proxy, seed), metric)) for seed in range(seeds)]


def transfer() -> Figure:
    """Accuracy with little data, from a network of other classes against random weights."""
    given = arguments_of("transfer-helps-small-data")
    started, anew = Points(), Points()
    for contest in given["contests"].values():
        images = contest.first.images_per_class
        # Side by side, so that neither covers the other.
        for points, proxy, place in (
            (started, contest.first, 0.95 * images),
            (anew, contest.second, 1.05 * images),
        ):
            points[place] = [100 * v for v in _values(proxy, "accuracy", given["seeds"])]
    figure, axes = _figure(height=4.4)
    _line(axes, started, BLUE, "started from a network of five other classes")
    _line(axes, anew, ORANGE, "started from random weights")
    axes.set(
        xscale="log",
        xlabel="training images of each class",
        ylabel="test images right, %",
    )
    counts = [contest.first.images_per_class for contest in given["contests"].values()]
    axes.set_xticks(counts, map(str, counts))
    axes.minorticks_off()
    figure.suptitle("Little data: transferred weights against random ones", fontsize=TITLE_PT)
    _legend(figure, axes, f"Fashion-MNIST, five classes, {given['seeds']} seeds")
    return figure


def depth() -> Figure:
    """Training loss by depth, of plain and of residual networks."""
    given = arguments_of("plain-deeper-trains-worse")
    seeds = given["seeds"]
    without, with_shortcuts = (
        {side.layers: side for one in contests.values() for side in (one.first, one.second)}
        for contests in (given["contests"], arguments_of("residual-fixes-depth")["contests"])
    )
    plain, residual = (
        {layers: _values(side, "last_loss", seeds) for layers, side in sides.items()}
        for sides in (without, with_shortcuts)
    )
    deepest = max(without)
    figure, (left, right) = _figure(2, height=4.2)
    for proxy, colour in ((without[deepest], ORANGE), (with_shortcuts[deepest], BLUE)):
        for seed in range(seeds):
            result = trained(proxy, seed)
            epochs = result.losses.reshape(-1, result.steps).mean(1)
            left.plot(range(1, len(epochs) + 1), epochs, color=colour, alpha=0.6, linewidth=1)
    left.set(
        xlabel="epoch",
        ylabel="training loss",
        title=f"{deepest} layers, each seed",
        ylim=(0, None),
    )
    _line(right, plain, ORANGE, "plain")
    _line(right, residual, BLUE, "with shortcuts")
    right.set(
        xlabel="convolutions",
        title=f"by depth, after {without[deepest].epochs} epochs",
        xticks=sorted(plain),
        ylim=(0, None),
    )
    _legend(figure, right, f"digits, {seeds} seeds")
    figure.suptitle("Training loss of plain and of residual networks", fontsize=TITLE_PT)
    return figure


def gradients() -> Figure:
    """How much of the gradient is left at the first layer, by depth, for sigmoids and ReLUs."""
    given = arguments_of("relu-keeps-gradients")
    relu, sigmoid = Points(), Points()
    for contest in given["contests"].values():
        for points, proxy in ((relu, contest.first), (sigmoid, contest.second)):
            points[proxy.layers] = _values(proxy, "first_gradient", given["seeds"])
    figure, axes = _figure(height=4.4)
    _line(axes, relu, BLUE, "ReLU", log=True)
    _line(axes, sigmoid, ORANGE, "sigmoid", log=True)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="hidden layers",
        ylabel="gradient of the first layer\nover that of the last",
    )
    axes.set_xticks(sorted(relu), [f"{x:g}" for x in sorted(relu)])
    axes.minorticks_off()
    figure.suptitle(
        "How much of the gradient reaches the first layer",
        fontsize=TITLE_PT,
    )
    _legend(figure, axes, f"digits, first epoch, {given['seeds']} seeds")
    return figure


def ensembles() -> Figure:
    """Accuracy of ensembles by the number of their members, against the best member."""
    given = arguments_of("ensembles-help")
    members, count = given["members"], given["ensembles"]
    joint = Points()
    best, single = [], []
    for number in range(count):
        team = [trained(given["proxy"], number * members + each) for each in range(members)]
        single += [100 * one.accuracy for one in team]
        best.append(100 * max(one.accuracy for one in team))
        for size in range(1, members + 1):
            together = sum(one.probabilities for one in team[1:size]) + team[0].probabilities
            joint.setdefault(size, []).append(100 * share_right(together, team[0].labels))
    figure, axes = _figure(height=4.4)
    _line(axes, joint, BLUE, "mean of the members' probabilities")
    axes.axhline(
        statistics.fmean(best), color=ORANGE, linestyle="--", label=f"best of {members} members"
    )
    axes.axhline(statistics.fmean(single), color=BLACK, linestyle=":", label="a single network")
    axes.set(
        xlabel="networks in the ensemble",
        ylabel="test images right, %",
        xticks=sorted(joint),
    )
    figure.suptitle("Several networks together against the best of them", fontsize=TITLE_PT)
    _legend(figure, axes, f"digits, 200 training images, {count} ensembles")
    return figure


def maps() -> Figure:
    """Test images of several classes on their canvas, with the class activation map and where it peaks."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch, Rectangle

    given = arguments_of("gap-localises")
    proxy = given["proxy"]
    images, labels, corners = part_of(proxy, "test")
    network = make(proxy, trained(proxy, 0).weights).eval()
    share = located(network, images, labels, corners, proxy.side_px).share_inside
    chosen = torch.tensor([int((labels == label).nonzero()[0]) for label in range(5)])
    found, _ = activation_maps(network, images[chosen], labels[chosen])
    figure, rows = _figure(5, 2, height=3.6, sharex=True, sharey=True)
    side = proxy.canvas_px
    for column, (index, heat) in enumerate(zip(chosen.tolist(), found, strict=True)):
        y, x = corners[index].tolist()
        for axes in rows[:, column]:
            axes.imshow(images[index, 0], cmap="gray", extent=(0, side, side, 0))
        overlaid = rows[1, column]
        overlaid.imshow(heat, cmap="inferno", alpha=0.75, extent=(0, side, side, 0))
        overlaid.add_patch(
            Rectangle((x, y), proxy.side_px, proxy.side_px, fill=False, color="white", linewidth=1)
        )
        peak = int(heat.argmax())
        cell = side / heat.shape[-1]
        overlaid.plot(
            (peak % heat.shape[-1] + 0.5) * cell,
            (peak // heat.shape[-1] + 0.5) * cell,
            "x",
            color="#56B4E9",
            markersize=8,
            markeredgewidth=2,
        )
        rows[0, column].set_title(FASHION_CLASSES[int(labels[index])], fontsize=10)
        rows[1, column].set_xlabel("px")
    rows[0, 0].set_ylabel("image, px")
    rows[1, 0].set_ylabel("map, px")
    rows[0, 0].set(xticks=(0, side // 2, side), yticks=(0, side // 2, side))
    figure.legend(
        handles=[
            Patch(facecolor="black", edgecolor="gray", label="square: where the object is"),
            Line2D(
                [], [], marker="x", linestyle="", color="#56B4E9", markeredgewidth=2, label="peak"
            ),
        ],
        loc="outside lower center",
        ncols=2,
        frameon=False,
    )
    chance = (proxy.side_px / side) ** 2
    figure.suptitle(
        f"Class activation maps peak on the object in {share:.1%} of {len(images):,} images\n"
        f"(by chance {chance:.0%})",
        fontsize=TITLE_PT,
    )
    return figure


#: The pictures, by the names of their files.
PICTURES: dict[str, Callable[[], Figure]] = {
    "claims_activation_maps.png": maps,
    "claims_ensembles.png": ensembles,
    "claims_transfer.png": transfer,
    "claims_depth.png": depth,
    "claims_sigmoid_gradients.png": gradients,
}


def png(figure: Figure) -> bytes:
    """The picture as PNG; the same figure gives the same bytes."""
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the pictures that are named, all where none is."""
    parser = argparse.ArgumentParser(prog="python -m studies.claims_pictures")
    parser.add_argument("names", nargs="*", metavar="FILE", help=f"of {', '.join(PICTURES)}")
    parser.add_argument("--folder", type=Path, default=Path("reports"))
    parser.add_argument("--store", type=Path, help="where trainings are kept; else the default one")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in PICTURES]
    if unknown:
        parser.error(f"there is no picture {unknown[0]}: there are {', '.join(PICTURES)}")

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    try:
        try:
            import matplotlib  # noqa: F401
        except ImportError:
            raise MissingDependency(
                f"pictures are drawn by matplotlib, which is not installed: {install_line('report')}"
            ) from None
        with training(allowed=True, store=Store(options.store), say=say):
            for name in options.names or PICTURES:
                write_atomic(options.folder / name, png(PICTURES[name]()), "picture")
                say(f"{options.folder / name}")
    except DeploykitError as error:
        say(f"deploykit: {error}")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
