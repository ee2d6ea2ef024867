"""`deploykit layers` with a goal: which layers to keep in fp32."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from deploykit.errors import CheckFailed, UsageError

if TYPE_CHECKING:
    from deploykit.store import Store
    from deploykit.workflow.calibration import CalibrationChoice
    from deploykit.workflow.keep import Goal, Kept
    from deploykit.workflow.plan import Source


def search_and_show(
    source: Source,
    precision: str,
    target: str,
    choice: CalibrationChoice,
    store: Store,
    *,
    max_accuracy_drop: str | None,
    min_snr_db: float | None,
    as_json: bool,
    csv_path: str | None,
    quiet: bool,
) -> int:
    """Print the layers to keep, as options, and what that reaches.

    Raises:
        UsageError: two goals, a precision with nothing to keep, or --csv, which takes rows of layers.
        CheckFailed: not even all layers in fp32 suffice.
    """
    import dataclasses
    import shlex

    from deploykit.cli.display import Steps, print_json
    from deploykit.cli.percent import fraction
    from deploykit.workflow.keep import Goal, find_kept, name_as_rule
    from deploykit.workflow.network import obtain_network

    if csv_path is not None:
        raise UsageError(
            "--csv takes the rows of layers: leave it out when layers to keep are asked for"
        )
    if precision == "fp32":
        raise UsageError("with --precision fp32 all layers are: give another one, such as int8")
    drop = None if max_accuracy_drop is None else fraction(max_accuracy_drop, "--max-accuracy-drop")
    goal = Goal(drop, min_snr_db)
    with Steps(0, quiet=quiet) as steps:

        def say(text: str) -> None:
            steps.step()
            steps.expect(steps.done + 1)
            steps.say(text)

        network = obtain_network(source, store)
        kept = find_kept(network, precision, target, choice, goal, say=say)
    if as_json:
        print_json({**dataclasses.asdict(kept), **dataclasses.asdict(goal)})
    if kept.nodes is None:
        raise CheckFailed(
            f"not even all {kept.candidates} layers in fp32 suffice: {_value(goal, kept.reached)}, "
            f"{_value(goal, kept.without)} with none; ask for less"
        )
    if not as_json:
        sys.stdout.write(_text(goal, kept, [shlex.quote(name_as_rule(n)) for n in kept.nodes]))
    return 0


def _text(goal: Goal, kept: Kept, rules: list[str]) -> str:
    if not rules:
        return f"nothing needs keeping: {_value(goal, kept.reached)}\n"
    lines = [f"--keep {rule}\n" for rule in rules]
    return (
        "".join(lines) + f"{len(rules)} of {kept.candidates} layers in fp32: "
        f"{_value(goal, kept.reached)}; with none: {_value(goal, kept.without)} "
        f"({kept.measured} conversions measured)\n"
    )


def _value(goal: Goal, value: float) -> str:
    if goal.max_drop is not None:
        return f"top-1 drops by {100 * value:.2f} points on the calibration part"
    return f"outputs at {value:.1f} dB"
