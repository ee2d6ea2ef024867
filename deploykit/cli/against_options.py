"""Options of the interleaved comparison, `deploykit profile --against`, and what it shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from deploykit.cli.options import stack
from deploykit.cli.percent import fraction
from deploykit.errors import CheckFailed, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deploykit.store import Store
    from deploykit.workflow.configuration import Configuration, ProfileOptions

DEFAULT_THRESHOLD = 0.01
DEFAULT_BUDGET_S = 8.0

against_options = stack(
    click.option(
        "--against",
        metavar="OTHER",
        help="Compare with OTHER, in turns: an .onnx file, an engine's folder, a precision, "
        "an option set (precision=int8,threads=1), or another MODEL.",
    ),
    click.option(
        "--max-slowdown",
        metavar="PERCENT",
        help="With --against: end with 1 if slower than OTHER by more, such as 5%.",
    ),
    click.option(
        "--against-seconds",
        type=click.FloatRange(0.1),
        metavar="S",
        help=f"With --against: time for blocks and loads; default {DEFAULT_BUDGET_S:g}.",
    ),
)


@dataclass(frozen=True)
class Against:
    """What the options of `against_options` mean.

    Attributes:
        other: with what to compare.
        threshold: relative change of latency that matters.
        gate: whether a slowdown beyond it ends the command with 1.
        budget_s: for blocks and loads.
    """

    other: str
    threshold: float
    gate: bool
    budget_s: float


def take_against(options: dict[str, Any]) -> Against | None:
    """Take the options of `against_options` out of a command's options; None without --against.

    Raises:
        UsageError: a percentage that can't be, or an option that needs --against.
    """
    other, slowdown = options.pop("against"), options.pop("max_slowdown")
    seconds = options.pop("against_seconds")
    if other is None:
        if slowdown is not None or seconds is not None:
            raise UsageError("--max-slowdown and --against-seconds need --against OTHER")
        return None
    threshold = DEFAULT_THRESHOLD if slowdown is None else fraction(slowdown, "--max-slowdown")
    budget_s = DEFAULT_BUDGET_S if seconds is None else seconds
    return Against(other, threshold, slowdown is not None, budget_s)


def compare_and_show(
    wanted: Sequence[Configuration],
    against: Against,
    profile: ProfileOptions,
    store: Store,
    *,
    csv_path: str | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Compare the one configuration that is wanted with the other, and show the outcome.

    Raises:
        CheckFailed: it is slower by more than --max-slowdown.
        DeploykitError: a side can't be built or measured.
    """
    from deploykit.cli.display import Steps, print_fields, print_json
    from deploykit.report.csvfile import STDOUT, CsvReport
    from deploykit.report.views import PROFILE
    from deploykit.workflow.against import as_values, check_sides, compare_sides, other_side
    from deploykit.workflow.against import sentence as in_words
    from deploykit.workflow.profile import Profiler

    if len(wanted) != 1:
        raise UsageError(
            f"--against compares one configuration, these are {len(wanted)}: name one MODEL, "
            "precision, backend and batch"
        )
    head = wanted[0]
    other = other_side(against.other, head)
    check_sides([head, other])
    report = CsvReport(csv_path) if csv_path else None
    with Steps(1, quiet=quiet) as steps:
        sides = compare_sides(
            Profiler(store, profile, steps.say),
            head,
            other,
            threshold=against.threshold,
            budget_s=against.budget_s,
        )
    rows = [sides.base, sides.head]
    for row in rows:
        if report is not None:
            report.add(row)
    name = other.name if not hasattr(other, "text") else other.text
    found = sides.comparison
    text = f"{head.text} against {name}: {in_words(found)}"
    if as_json:
        print_json(as_values(sides))
    elif csv_path != STDOUT:
        print_fields(PROFILE, rows)
        click.echo(text)
    if against.gate and found.verdict == "slower":
        raise CheckFailed(f"{text}; look for what changed, or raise --max-slowdown")
    return 0
