"""`deploykit layers`: one row per layer of a network."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Mapping
from typing import Any

import click

from deploykit.backends import get
from deploykit.backends.base import check_offered
from deploykit.cli.display import print_fields, print_json
from deploykit.cli.groups import calibration_options, network_options, quiet_option, store_option
from deploykit.cli.options import PERCENT, group
from deploykit.cli.outputs import Outputs, output_options
from deploykit.cli.progress import Steps
from deploykit.errors import CheckFailed, UsageError
from deploykit.report.views import Field, column, millions, percent
from deploykit.store import Store
from deploykit.workflow.build import check_precisions, require_available
from deploykit.workflow.calibration import CalibrationChoice
from deploykit.workflow.keep import Goal, Kept, find_kept, name_as_rule
from deploykit.workflow.layers import LayerReport, LayerRow, ordered, report_layers, totals
from deploykit.workflow.network import obtain_network
from deploykit.workflow.plan import Source, Variants, plan


@group(
    "goal",
    click.option(
        "--max-accuracy-drop",
        callback=PERCENT,
        metavar="PERCENT",
        help="Instead, find the fewest layers to keep in fp32 so that top-1 loses no more, such as 0.5%.",
    ),
    click.option(
        "--min-snr-db",
        type=float,
        metavar="DB",
        help="The same for the outputs' signal-to-noise ratio, which needs no labels.",
    ),
)
def goal_options(max_accuracy_drop: float | None, min_snr_db: float | None) -> Goal | None:
    """What a search for layers to keep in float32 is to reach; None where there is none."""
    if max_accuracy_drop is None and min_snr_db is None:
        return None
    return Goal(max_accuracy_drop, min_snr_db)


@click.command("layers")
@click.argument("model")
@click.option("--precision", default="fp32", metavar="NAME", help="fp32, fp16 or int8.")
@click.option("--backend", default="onnxruntime", metavar="NAME", help="onnxruntime or torch.")
@click.option("--batch", type=click.IntRange(1), default=1, metavar="N", help="Images per run.")
@click.option(
    "--threads", type=click.IntRange(1), metavar="N", help="Of the runtime; else all cores."
)
@click.option("--by", default="order", metavar="ORDER", help="order, drift, time or macs.")
@goal_options
@click.option("--top", type=click.IntRange(1), metavar="N", help="Only the first N rows.")
@network_options
@calibration_options
@output_options(csv="Write the rows; - for stdout.")
@store_option
@quiet_option
def command(
    model: str,
    precision: str,
    backend: str,
    batch: int,
    threads: int | None,
    by: str,
    goal: Goal | None,
    top: int | None,
    variants: Variants,
    calibration: CalibrationChoice,
    outputs: Outputs,
    store: Store,
    quiet: bool,
) -> int:
    r"""Time, work, roofline and drift of each layer, in the order in which the engine runs them.

    A layer that the runtime fused into another one is counted there; what the runtime added has rows of
    its own. Drift is against fp32 on 16 images of the calibration part, or of noise.

    With --max-accuracy-drop or --min-snr-db, the layers to keep in fp32 are searched for instead and printed
    as options of build and profile. Accuracy is judged on the calibration part, never on the test part.

    \b
    deploykit layers resnet18 --by time --top 10
    deploykit layers resnet18 --backend torch
    deploykit layers lenet5 --weights trained --precision int8
    deploykit layers my.onnx --precision int8 --data npz:my.npz --by drift --csv layers.csv
    deploykit layers my.onnx --precision int8 --data npz:my.npz --max-accuracy-drop 0.5%
    deploykit layers mobilenet --precision int8 --min-snr-db 25
    """
    ordered((), by)  # refuses an order that is none before any work is done
    target = get(backend).target
    check_precisions([precision], [target])
    check_offered([get(backend)], [precision])
    require_available([get(backend)])
    sources = plan([model], variants, calibration.data)
    if len(sources) != 1:
        raise UsageError(f"layers takes one network, not {len(sources)}: give one multiplier each")
    if goal is not None:
        if outputs.csv is not None:
            raise UsageError(
                "--csv takes the rows of layers: leave it out when layers to keep are asked for"
            )
        return _search(
            sources[0], precision, target, calibration, goal, store, outputs, quiet=quiet
        )
    report_file = outputs.csv_report([field.name for field in dataclasses.fields(LayerRow)])
    with Steps(5, quiet=quiet) as steps:

        def say(text: str) -> None:
            steps.say(text)
            steps.step()

        say(f"export {model}")
        report = report_layers(
            obtain_network(sources[0], store),
            precision,
            store,
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
