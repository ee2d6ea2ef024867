"""What `deploykit layers` does: measure the layers of a network, or search for those to keep in float32."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Mapping
from typing import Any

from deploykit.backends import get
from deploykit.backends.base import check_offered
from deploykit.cli.display import print_fields, print_json
from deploykit.cli.documents import csv_report
from deploykit.cli.outputs import Outputs
from deploykit.cli.progress import Steps
from deploykit.errors import CheckFailed, UsageError
from deploykit.report.views import Field, column, millions, percent
from deploykit.store import Store, open_store
from deploykit.workflow.build import check_precisions, require_available
from deploykit.workflow.calibration import check_choice
from deploykit.workflow.choices import CalibrationChoice, Goal, Variants
from deploykit.workflow.configuration import default_precisions
from deploykit.workflow.keep import Kept, find_kept, name_as_rule
from deploykit.workflow.layers import LayerReport, LayerRow, ordered, report_layers, totals
from deploykit.workflow.network import obtain_network
from deploykit.workflow.plan import Source, plan


def layers(
    model: str,
    precision: str | None,
    backend: str,
    *,
    batch: int,
    threads: int | None,
    by: str,
    goal: Goal | None,
    top: int | None,
    variants: Variants,
    calibration: CalibrationChoice,
    outputs: Outputs,
    store: str | None,
    quiet: bool,
) -> int:
    """Measure the layers, or search where there is a goal; return the exit code.

    Raises:
        UsageError: several networks, or options that contradict each other.
    """
    check_choice(calibration)
    artifacts = open_store(store)
    ordered((), by)  # refuses an order that is none before any work is done
    target = get(backend).target
    named = [precision] if precision else []
    check_precisions(named, [target])
    check_offered([get(backend)], named)
    require_available([get(backend)])
    sources = plan([model], variants, calibration.data)
    if len(sources) != 1:
        raise UsageError(f"layers takes one network, not {len(sources)}: give one multiplier each")
    precision = precision or default_precisions(sources[0])[0]
    if goal is not None:
        if outputs.csv is not None:
            raise UsageError(
                "--csv takes the rows of layers: leave it out when layers to keep are asked for"
            )
        return _search(
            sources[0], precision, target, calibration, goal, artifacts, outputs, quiet=quiet
        )
    report_file = csv_report(outputs, [field.name for field in dataclasses.fields(LayerRow)])
    with Steps(5, quiet=quiet) as steps:

        def say(text: str) -> None:
            steps.say(text)
            steps.step()

        say(f"export {model}")
        report = report_layers(
            obtain_network(sources[0], artifacts),
            precision,
            artifacts,
            calibration,
            backend=backend,
            batch=batch,
            threads=threads,
            data=calibration.data,
            say=say,
        )
    rows = [dataclasses.asdict(row) for row in ordered(report.rows, by)[:top]]
    if report_file is not None:
        for row in rows:
            report_file.add(row)
    _show(report, rows, outputs)
    return 0


def _show(report: LayerReport, rows: list[dict[str, Any]], outputs: Outputs) -> None:
    below = totals(report)
    if outputs.json:
        print_json({"layers": rows, **below, "warning": report.warning})
    elif outputs.table:
        print_fields(_fields(), rows)
        sys.stdout.write(
            f"layers {below['layers_ms']:.4g} ms + call {below['call_ms']:.3g} ms; whole run, not "
            f"profiled, {below['whole_ms']:.4g} ms: ratio {below['ratio']:.3f} "
            f"({below['runs']} profiled runs)\n"
        )
    if report.warning:
        sys.stderr.write(f"{report.warning}\n")
    if report.doubt:
        sys.stderr.write(f"the roofline is uncertain: {report.doubt}\n")


def _fields() -> list[Field]:
    def operator(row: Mapping[str, Any]) -> str:
        return f"{row['op_type']} (added)" if row["added"] else str(row["op_type"])

    def time(row: Mapping[str, Any]) -> str:
        if row["time_ms"] is None:
            return f"in {row['fused_into']}" if row["fused_into"] else "–"
        return f"{row['time_ms']:.4f}"

    def roofline(row: Mapping[str, Any]) -> str:
        if row["roofline_fraction"] is None:
            return "–"
        return f"{percent(row['roofline_fraction'])} {row['roofline_bound']}"

    def decibels(value: Any) -> str:
        return "–" if value is None else f"{value:.1f}"

    def cosine(value: Any) -> str:
        return "–" if value is None else f"{value:.5f}"

    return [
        Field("node", column("node", str), number=False),
        Field("module", column("module", str), number=False, rank=6),
        Field("operator", operator, number=False, rank=1),
        Field("runs as", lambda row: row["engine_op_type"] or "removed", number=False, rank=5),
        Field("time ms", time),
        Field("share", column("time_share", percent), rank=2),
        Field("MACs (M)", lambda row: millions(row["macs"] or None), rank=3),
        Field("GFLOP/s", column("gflops"), rank=4),
        Field("of roofline", roofline, rank=7),
        Field("SNR dB", column("drift_snr_db", decibels)),
        Field("cosine", column("drift_cosine", cosine), rank=8),
        Field("max abs", column("drift_max_abs"), rank=9),
    ]


def _search(
    source: Source,
    precision: str,
    target: str,
    calibration: CalibrationChoice,
    goal: Goal,
    store: Store,
    outputs: Outputs,
    *,
    quiet: bool,
) -> int:
    """Print the layers to keep in float32, as options, and what that reaches.

    Raises:
        UsageError: two goals, or a precision with nothing to keep.
        CheckFailed: not even all layers in fp32 suffice.
    """
    if precision == "fp32":
        raise UsageError("with --precision fp32 all layers are: give another one, such as int8")
    with Steps(0, quiet=quiet) as steps:

        def say(text: str) -> None:
            steps.step()
            steps.expect(steps.done + 1)
            steps.say(text)

        network = obtain_network(source, store)
        kept = find_kept(network, precision, target, calibration, goal, say=say)
    if outputs.json:
        print_json({**dataclasses.asdict(kept), **dataclasses.asdict(goal)})
    if kept.nodes is None:
        raise CheckFailed(
            f"not even all {kept.candidates} layers in fp32 suffice: {_value(goal, kept.reached)}, "
            f"{_value(goal, kept.without)} with none; ask for less"
        )
    if outputs.table:
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
