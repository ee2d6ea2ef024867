"""study.md: what the study found, for someone who opens one file. Every figure comes from its rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

from deploykit.report.markdown import table
from deploykit.report.views import (
    accuracy,
    label,
    latency,
    megabytes,
    millions,
    percent,
    significant,
)
from deploykit.stats import holm
from studies.fashion_mnist.cases import EPOCHS, RESOLUTION_PX
from studies.fashion_mnist.rows import CALIBRATION_IMAGES, Measured

#: Said wherever the study is shown.
PROXY = (
    "Fashion-MNIST is a proxy for ImageNet: ten classes of small grey images. The order of networks and what "
    "a multiplier costs carry over at best, the accuracies themselves do not."
)
#: Chance of any false alarm among all the tests of a table.
_ALPHA = 0.05

_Grid = Mapping[tuple[float, Fraction], Measured]


@dataclass(frozen=True)
class Report:
    """The report of a study.

    Attributes:
        measured: its networks with their rows.
        trainings: the rows of study_training.csv.
        environment: of the machine that measured, as `env.capture` gives it.
    """

    measured: Sequence[Measured]
    trainings: Sequence[Mapping[str, Any]]
    environment: Mapping[str, Any]

    def text(self) -> str:
        """The whole as Markdown."""
        parts = [self._head()]
        if self._whole:
            parts += [_networks(self._whole), *self._grids(), _precisions(self._whole)]
        transfer = _transfer(self.trainings)
        return "\n".join([*parts, *([transfer] if transfer else []), _training(self.trainings)])

    @cached_property
    def _whole(self) -> list[Measured]:
        """Networks of which every row is ok, the cheapest first."""
        whole = [m for m in self.measured if all(r["status"] == "ok" for r in m.rows.values())]
        return sorted(whole, key=lambda m: _number(m, "macs"))

    def _head(self) -> str:
        machine, packages = self.environment["machine"], self.environment["packages"]
        runtime = packages.get("onnxruntime")
        left = len(self.measured) - len(self._whole)
        rows = [row for m in self._whole for row in m.rows.values()]
        shaky = sum(row.get("stability", "stable") != "stable" for row in rows)
        return (
            f"# Size against accuracy on Fashion-MNIST at {RESOLUTION_PX} px, a proxy for ImageNet\n\n"
            f"{PROXY}\n\n"
            f"Made by `make study`: every network is trained here for {EPOCHS} epochs from seed 0, exported, "
            f"converted and judged on the whole test part. Measured on {machine['cpu']} "
            f"({machine['cores']:g} cores) with ONNX Runtime {runtime}, batch 1, environment "
            f"`{self.environment['env_id']}` of `env.json`. Brackets are 95% intervals: of accuracy over test "
            "images (Wilson), of the median latency over runs. They don't hold what another seed would "
            "change: each network was trained once. AlexNet is `alexnet_owt`, as the network of 2012 can't "
            f"process {RESOLUTION_PX} px; LeNet-5 takes its own 32 px. Rows: `study.csv`, "
            "`study_training.csv`.\n\n"
            "![Accuracy against MACs and against latency on Fashion-MNIST, a proxy for ImageNet]"
            "(study.png)\n"
            + (f"\n{left} networks have rows that failed and are left out.\n" if left else "")
            + (
                f"\nThe timing of {shaky} of {len(rows)} rows is doubtful; their `stability` says why.\n"
                if shaky
                else ""
            )
        )

    def _grids(self) -> list[str]:
        grid = _mobilenets(self._whole)
        if len(grid) < 2:
            return []
        return [
            "## MobileNet over alpha and rho\n\nOn Fashion-MNIST, a proxy for ImageNet.\n",
            _grid("Top-1, fp32", grid, lambda m: percent(m.rows["fp32"]["top1"])),
            _grid("Top-1, int8", grid, lambda m: percent(m.rows["int8"]["top1"])),
            _grid("MACs, millions", grid, lambda m: millions(m.rows["fp32"]["macs"])),
            _grid("Latency, ms, fp32", grid, lambda m: significant(_number(m, "latency_p50_ms"))),
            _grid(
                "Latency, ms, int8",
                grid,
                lambda m: significant(_number(m, "latency_p50_ms", "int8")),
            ),
            _costs(grid),
        ]


def _number(measured: Measured, column: str, precision: str = "fp32") -> float:
    return float(measured.rows[precision][column])


def _networks(measured: Sequence[Measured]) -> str:
    def cells(m: Measured) -> list[str]:
        row, small = m.rows["fp32"], m.rows["int8"]
        return [
            label(row),
            millions(row["macs"]),
            millions(row["parameters"]),
            megabytes(row["onnx_bytes"]),
            megabytes(small["onnx_bytes"]),
            latency(row),
            latency(small),
            *(accuracy(m.rows[precision]) for precision in m.rows),
        ]

    header = "network; MACs M; parameters M; fp32 MB; int8 MB; fp32 ms; int8 ms".split("; ")
    header += [f"top-1 {precision}" for precision in measured[0].rows]
    return (
        "## Networks\n\nTop-1 on Fashion-MNIST, a proxy for ImageNet. fp16 is emulated on this runtime: its "
        "accuracy is that of fp16, and its latency is not shown.\n\n"
        + table(header, map(cells, measured), range(1, len(header)))
    )


def _mobilenets(measured: Iterable[Measured]) -> _Grid:
    return {
        (m.case.spec.alpha, m.case.spec.rho): m for m in measured if m.case.spec.name == "mobilenet"
    }


def _grid(title: str, grid: _Grid, cell: Callable[[Measured], str]) -> str:
    alphas = sorted({alpha for alpha, _ in grid}, reverse=True)
    rhos = sorted({rho for _, rho in grid}, reverse=True)
    rows = [
        [
            f"α = {alpha:g}",
            *(cell(grid[alpha, rho]) if (alpha, rho) in grid else "–" for rho in rhos),
        ]
        for alpha in alphas
    ]
    return table([title, *(f"ρ = {rho}" for rho in rhos)], rows, range(1, len(rhos) + 1))


def _costs(grid: _Grid) -> str:
    """What each step of a multiplier saves and costs, the other one held, mean over its values."""
    steps: list[tuple[str, list[tuple[Measured, Measured]]]] = []
    for alpha in sorted({a for a, _ in grid if a != 1}, reverse=True):
        pairs = [(grid[1.0, r], grid[a, r]) for a, r in grid if a == alpha and (1.0, r) in grid]
        steps.append((f"α 1 → {alpha:g}", pairs))
    one = Fraction(1)
    for rho in sorted({r for _, r in grid if r != 1}, reverse=True):
        pairs = [(grid[a, one], grid[a, r]) for a, r in grid if r == rho and (a, one) in grid]
        steps.append((f"ρ 1 → {rho}", pairs))

    def cells(step: str, pairs: Sequence[tuple[Measured, Measured]]) -> list[str]:
        points = [100 * (_number(b, "top1") - _number(a, "top1")) for a, b in pairs]
        return [
            step,
            f"{sum(points) / len(points):+.2f}",
            f"{min(points):+.2f} … {max(points):+.2f}",
            *(f"{_mean_ratio(pairs, column, precision):.2f}" for column, precision in _SAVED),
        ]

    header = "step; top-1, points; over the other multiplier; parameters; MACs; fp32 ms; int8 ms"
    return (
        "What a multiplier costs: the change of top-1 in points, and what is left of the rest (1 is all of "
        "it), the other multiplier held, mean over its values.\n\n"
        + table(header.split("; "), [cells(s, p) for s, p in steps if p], range(1, 3 + len(_SAVED)))
    )


_SAVED = (
    ("parameters", "fp32"),
    ("macs", "fp32"),
    ("latency_p50_ms", "fp32"),
    ("latency_p50_ms", "int8"),
)


def _mean_ratio(pairs: Sequence[tuple[Measured, Measured]], column: str, precision: str) -> float:
    """The geometric mean of what the second of each pair has of the first's."""
    logs = [
        math.log(_number(b, column, precision) / _number(a, column, precision)) for a, b in pairs
    ]
    return math.exp(sum(logs) / len(logs))


def _precisions(measured: Sequence[Measured]) -> str:
    adjusted = {
        precision: holm([float(m.rows[precision]["mcnemar_p"]) for m in measured])
        for precision in ("int8", "fp16")
    }

    def cells(place: int, m: Measured) -> list[str]:
        row = m.rows["int8"]
        change = 100 * (float(row["top1"]) - _number(m, "top1"))
        p = adjusted["int8"][place]
        return [
            label(row),
            f"{change:+.2f}",
            percent(row["top1_agreement"]),
            significant(row["mcnemar_p"], 2),
            significant(p, 2),
            "changed" if p < _ALPHA else "no change shown",
            f"{_number(m, 'latency_p50_ms') / float(row['latency_p50_ms']):.2f}",
            f"{_number(m, 'onnx_bytes') / float(row['onnx_bytes']):.2f}",
        ]

    header = (
        "network; int8 − fp32, points; agreement; McNemar p; p, Holm; accuracy; "
        "times faster; times smaller"
    )
    half = sum(p < _ALPHA for p in adjusted["fp16"])
    worst = min(measured, key=lambda m: float(m.rows["fp16"]["top1_agreement"])).rows["fp16"]
    return (
        "## What int8 costs\n\n"
        f"int8 against fp32 on the same test images of Fashion-MNIST, a proxy for ImageNet; ranges by minmax "
        f"from {CALIBRATION_IMAGES} images that neither training nor test sees. 'changed': McNemar's test "
        f"finds a difference at {_ALPHA:.0%}, corrected for {len(measured)} networks (Holm).\n\n"
        + table(
            header.split("; "), [cells(i, m) for i, m in enumerate(measured)], (1, 2, 3, 4, 6, 7)
        )
        + f"\nfp16 changes the accuracy of {half} of {len(measured)} networks by the same test; it agrees with "
        f"fp32 on {100 * float(worst['top1_agreement']):.2f}% of the images or more.\n"
    )


#: How the transfer cases begin, by the word in their name.
_WAYS = {
    "scratch": "from random weights",
    "finetuned": "from Fashion-MNIST's weights, all trained on",
    "head": "from Fashion-MNIST's weights, the classifier alone trained",
}


def _transfer(trainings: Sequence[Mapping[str, Any]]) -> str:
    digits = [row for row in trainings if row["dataset"] == "digits"]
    top1_by_way = {
        way: [float(row["top1"]) for row in digits if f"-{way}-" in row["case"]] for way in _WAYS
    }
    rows = [
        [_WAYS[way], percent(_mean(top1)), ", ".join(percent(value) for value in top1)]
        for way, top1 in top1_by_way.items()
        if top1
    ]
    if not rows:
        return ""
    first, scratch = digits[0], top1_by_way["scratch"]
    verdicts = [
        f"{_WAYS[way]}: {100 * (_mean(top1) - _mean(scratch)):+.1f} points"
        for way, top1 in top1_by_way.items()
        if way != "scratch" and top1 and scratch
    ]
    bought = (
        f"\nWhat the start buys, in the mean: {'; '.join(verdicts)}. From random weights the seeds alone lie "
        f"{100 * (max(scratch) - min(scratch)):.1f} points apart, so that a smaller difference shows nothing.\n"
        if verdicts
        else ""
    )
    return (
        "## Transfer learning on a tenth of the digits\n\n"
        f"MobileNet α=0.25 at {RESOLUTION_PX} px on {first['train_images']} images of digits, "
        f"{first['epochs']} epochs, judged on {first['test_images']} others. Seeds differ in the order of "
        "images, augmentation and, from random weights, in those.\n\n"
        + table(("start", "mean top-1", "by seed"), rows, (1,))
        + bought
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _training(trainings: Sequence[Mapping[str, Any]]) -> str:
    took_s = [float(row["train_s"]) for row in trainings if row.get("train_s") not in (None, "")]
    return (
        f"## Training\n\n{len(trainings)} trainings, {sum(took_s) / 60:.0f} minutes of them one after the "
        "other (they ran side by side), each with its recipe, seed, accuracy and checkpoint's hash in "
        "`study_training.csv`.\n"
    )
