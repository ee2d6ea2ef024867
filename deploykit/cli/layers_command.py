"""`deploykit layers`: one row per layer of a network."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from deploykit.cli import completion
from deploykit.cli.groups import (
    BATCH,
    THREADS,
    build_timeout_option,
    calibration_options,
    device_option,
    network_options,
    opened_store,
    quiet_option,
    store_option,
)
from deploykit.cli.library import (
    artifacts,
    backends,
    bench,
    display,
    page,
    progress,
    report,
    workflow,
)
from deploykit.cli.options import PERCENT, Grouped, Number, group, refuse_beside
from deploykit.cli.outputs import Outputs, csv_report, output_options, write_documents
from deploykit.errors import CheckFailed, UsageError
from deploykit.figures import general
from deploykit.text import printable
from deploykit.workflow import ranges
from deploykit.workflow.choices import CalibrationChoice, EngineChoice, Goal, Variants


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
        type=Number.of(ranges.SNR_DB),
        metavar="DB",
        help="The same for the outputs' signal-to-noise ratio, which needs no labels.",
    ),
    click.option(
        "--max-metric-drop",
        type=Number.of(ranges.METRIC_DROP),
        metavar="VALUE",
        help="The same for --metric: by how much its value may be below that of fp32.",
    ),
    click.option(
        "--scores", metavar="OUTPUT", help="Which output holds the class scores for the accuracy."
    ),
    click.option(
        "--metric",
        metavar="MODULE:FUNCTION",
        help="A function of your own of outputs and labels, as for profile; larger is better.",
    ),
)
def goal_options(
    max_accuracy_drop: float | None,
    min_snr_db: float | None,
    max_metric_drop: float | None,
    scores: str | None,
    metric: str | None,
) -> Goal | None:
    """What a search for layers to keep in float32 is to reach; None where there is none."""
    given = (max_accuracy_drop, min_snr_db, max_metric_drop, scores, metric)
    return None if given == (None,) * len(given) else Goal(*given)


@click.command("layers", cls=Grouped)
@click.argument("model")
@click.option(
    "--precision",
    shell_complete=completion.precisions,
    metavar="NAME",
    help="fp32, fp16, int8 or as-is; default fp32, or as-is for a file that is quantised already.",
)
@click.option(
    "--backend",
    shell_complete=completion.backends,
    default="onnxruntime",
    metavar="NAME",
    help="Runtime that builds and runs the engine: onnxruntime, torch, tensorrt-rtx or tensorrt.",
)
@click.option("--batch", type=BATCH, default=1, metavar="N", help="Images per run.")
@click.option(
    "--threads", type=THREADS, metavar="N", help="Threads of the runtime; else all cores."
)
@click.option("--quick", is_flag=True, help="Fewer rounds, for a first look: less sure times.")
@click.option("--by", default="order", metavar="ORDER", help="order, drift, time or macs.")
@click.option(
    "--mix",
    is_flag=True,
    help="Instead, what each layer takes in int8 and in fp32 and what changing costs, and the fastest mix of both: "
    "predicted, built and measured.",
)
@goal_options
@click.option(
    "--time-limit",
    type=Number.of(ranges.TIMEOUT_S),
    default=900,
    metavar="S",
    help="Time for everything: a build must be done by then; measuring and searching end with what there is.",
)
@click.option("--top", type=Number(1, 1_000_000), metavar="N", help="Only the first N rows.")
@network_options
@calibration_options
@output_options(
    csv="Write the rows; - for stdout.", html="Write a page with the graph; - for stdout."
)
@device_option
@store_option
@build_timeout_option
@quiet_option
def command(
    model: str,
    precision: str | None,
    backend: str,
    batch: int,
    threads: int | None,
    quick: bool,
    by: str,
    mix: bool,
    goal: Goal | None,
    time_limit: float,
    top: int | None,
    variants: Variants,
    calibration: CalibrationChoice,
    outputs: Outputs,
    store: str | None,
    quiet: bool,
) -> int:
    r"""Time, work, roofline and drift of each layer, in the order in which the engine runs them.

    A layer that the runtime fused into another one is counted there; what the runtime added has rows of
    its own. Drift is against fp32 on 16 images of the calibration part, or of noise.

    With --max-accuracy-drop, --min-snr-db or --max-metric-drop, the layers to keep in fp32 are searched for
    instead and printed as options of build and profile. Accuracy and metrics are judged on the calibration
    part, never on the test part. With --mix the choice is for speed alone, on ONNX Runtime.

    \b
    deploykit layers resnet18 --by time --top 10
    deploykit layers resnet18 --backend torch
    deploykit layers lenet5 --weights trained --precision int8
    deploykit layers my.onnx --precision int8 --data npz:my.npz --by drift
    deploykit layers my.onnx --precision int8 --data digits --max-accuracy-drop 1%
    deploykit layers mobilenet --precision int8 --min-snr-db 25
    deploykit layers efficientnet_b0 --mix
    """
    limit = bench.contain.TimeLimit(time_limit)
    workflow.calibration.check_choice(calibration)
    opened = opened_store(store, quiet=quiet)
    workflow.layers.ordered((), by)  # refuses an order that is none before any work is done
    target = backends.get(backend).target
    named = [precision] if precision else []
    workflow.build.check_precisions(named, [target])
    backends.base.check_offered([backends.get(backend)], named)
    workflow.build.require_available([backends.get(backend)])
    sources = workflow.plan.plan([model], variants, calibration.data)
    if len(sources) != 1:
        raise UsageError(f"layers takes one network, not {len(sources)}: give one multiplier each")
    if mix:
        return _mix(
            sources[0],
            precision,
            backend,
            batch,
            threads,
            calibration,
            opened,
            outputs,
            goal,
            quiet=quiet,
        )
    workflow.build.check_used(EngineChoice(), calibration, named, [backends.get(backend)])
    if goal is None:
        workflow.layers.require_timed_parts(backends.get(backend))
    else:
        refuse_beside(
            "the search for layers to keep", "by", "top", "batch", "threads", "quick", "strict"
        )
        if goal.metric is not None:
            bench.metric.load_metric(goal.metric)
    with limit.bounding():
        precision = precision or workflow.configuration.default_precisions(sources[0])[0]
    if goal is not None:
        for option, given in (("--csv", outputs.csv), ("--html", outputs.html)):
            if given is not None:
                raise UsageError(
                    f"{option} takes the rows of layers: leave it out when layers to keep are asked for"
                )
        return _search(
            sources[0],
            precision,
            target,
            calibration,
            goal,
            opened,
            outputs,
            limit,
            quiet=quiet,
        )
    device = str(backends.get(backend).device())
    if outputs.csv is not None or outputs.html is not None or outputs.json:
        report.refuse_simulated_text(device, "what is told of layers")
    csv = csv_report(
        outputs, [field.name for field in dataclasses.fields(workflow.layers.LayerRow)]
    )
    with progress.Steps(5, quiet=quiet) as steps:

        def say(text: str) -> None:
            steps.say(text)
            steps.step()

        def look() -> workflow.layers.LayerReport:
            say(f"export {model}")
            with limit.bounding():
                network = workflow.network.obtain_network(sources[0], opened)
            return workflow.layers.report_layers(
                network,
                precision,
                opened,
                calibration,
                backend=backend,
                batch=batch,
                threads=threads,
                data=calibration.data,
                say=say,
                limit=limit,
                quick=quick,
            )

        measured = opened.despite_wipes(look)
    rows = [dataclasses.asdict(row) for row in workflow.layers.ordered(measured.rows, by)[:top]]
    if csv is not None:
        for row in rows:
            csv.add(row)
    sheet = [dataclasses.asdict(row) for row in measured.rows]
    try:
        write_documents(
            outputs, html=lambda: _page(f"{printable(model)} {precision}", sheet, measured)
        )
    finally:  # what was measured is shown, whatever can't be written
        _show(measured, rows, outputs)
    display.mark_simulated([{"device": device}])
    return 0


def _page(
    title: str, rows: Sequence[Mapping[str, Any]], measured: workflow.layers.LayerReport
) -> str:
    """The page of one graph, with what makes its figures doubtful."""
    remarks = [text for text in (measured.cut, measured.warning, measured.doubt) if text]
    return page.render(
        page.Contents(f"deploykit: layers of {title}", layers=[(title, rows)], remarks=remarks)
    )


def _show(
    measured: workflow.layers.LayerReport, rows: list[dict[str, Any]], outputs: Outputs
) -> None:
    below = workflow.layers.totals(measured)
    if outputs.json:
        display.print_json({"layers": rows, **below, "warning": measured.warning})
    elif outputs.table:
        display.print_fields(_fields(), rows)
        if measured.share is not None and measured.time_share is not None:
            by_macs, by_time = map(report.views.percent, (measured.share, measured.time_share))
            display.print_text(
                f"of what multiplies, {by_macs} by MACs and {by_time} by time compute in the precision asked "
                f"for; the engine: {measured.precision_actual}"
            )
        display.print_text(
            f"layers {general(below['layers_ms'], 4)} ms + call {general(below['call_ms'], 3)} ms; whole run, not "
            f"profiled, {general(below['whole_ms'], 4)} ms: ratio {below['ratio']:.3f} "
            f"({below['runs']} profiled runs)"
        )
    if measured.cut:
        display.print_remark(measured.cut)
    if measured.warning:
        display.print_remark(measured.warning)
    if measured.doubt:
        display.print_remark(f"the roofline is uncertain: {measured.doubt}")


def _fields() -> list[report.views.Field]:
    views = report.views

    def operator(row: Mapping[str, Any]) -> str:
        return f"{row['op_type']} (added)" if row["added"] else str(row["op_type"])

    def time(row: Mapping[str, Any]) -> str:
        if row["time_ms"] is None:
            return f"in {row['fused_into']}" if row["fused_into"] else "–"
        return f"{row['time_ms']:.4f}"

    def roofline(row: Mapping[str, Any]) -> str:
        if row["roofline_fraction"] is None:
            return "–"
        return f"{views.percent(row['roofline_fraction'])} {row['roofline_bound']}"

    def decibels(value: Any) -> str:
        return "–" if value is None else f"{value:.1f}"

    def cosine(value: Any) -> str:
        return "–" if value is None else f"{value:.5f}"

    return [
        views.Field("node", views.column("node", str), number=False),
        views.Field("module", views.column("module", str), number=False, rank=6),
        views.Field("operator", operator, number=False, rank=1),
        views.Field(
            "runs as", lambda row: row["engine_op_type"] or "removed", number=False, rank=5
        ),
        views.Field("time ms", time),
        views.Field("share", views.column("time_share", views.percent), rank=2),
        views.Field("MACs (M)", lambda row: views.millions(row["macs"] or None), rank=3),
        views.Field("GFLOP/s", views.column("gflops"), rank=4),
        views.Field("of roofline", roofline, rank=7),
        views.Field("SNR dB", views.column("drift_snr_db", decibels)),
        views.Field("cosine", views.column("drift_cosine", cosine), rank=8),
        views.Field("max abs", views.column("drift_max_abs"), rank=9),
    ]


def _mix(
    source: workflow.plan.Source,
    precision: str | None,
    backend: str,
    batch: int,
    threads: int | None,
    calibration: CalibrationChoice,
    store: artifacts.Store,
    outputs: Outputs,
    goal: Goal | None,
    *,
    quiet: bool,
) -> int:
    """Print what each layer takes in both precisions, and the fastest mix as options, predicted and measured.

    Raises:
        UsageError: another precision or backend, or a goal of accuracy, is asked for.
    """
    mixing = workflow.what_if
    if goal is not None:
        raise UsageError("--mix looks for speed alone: leave what outputs must keep out, or --mix")
    if outputs.html is not None:
        raise UsageError("--html draws the layers of one engine: leave it out, or --mix")
    refuse_beside("--mix", "by", "top", "quick", "time_limit")
    reference = backends.reference().name
    if backend != reference or precision not in (None, "int8"):
        raise UsageError(
            f"--mix is of int8 and fp32 on {reference}: leave --backend and --precision out"
        )
    csv = csv_report(outputs, mixing.COLUMNS)
    with progress.Steps(6, quiet=quiet) as steps:

        def say(text: str) -> None:
            steps.say(text)
            steps.step()

        network = workflow.network.obtain_network(source, store)
        found, tried = mixing.found_and_tried(
            network, store, calibration, batch=batch, threads=threads, say=say
        )
    rows = mixing.rows(found)
    if csv is not None:
        for row in rows:
            csv.add(row)
    if outputs.json:
        display.print_json(mixing.as_values(found, tried))
    elif outputs.table:
        display.print_fields(_mix_fields(), rows)
        sys.stdout.writelines(
            f"--keep {shlex.quote(rule)}\n" for rule in found.kept if found.is_mix
        )
        display.print_text(found.sentence)
        if tried is not None:
            display.print_text(tried.sentence(found))
    return 0


def _mix_fields() -> list[report.views.Field]:
    views = report.views

    def milliseconds(value: Any) -> str:
        return "–" if value is None else f"{value:.4f}"

    def ms(name: str) -> report.views.Field:
        heading = name.removesuffix("_ms").replace("_", " ")
        return views.Field(f"{heading} ms", views.column(name, milliseconds))

    return [
        views.Field("node", views.column("node", str), number=False),
        views.Field("operator", views.column("op_type", str), number=False, rank=2),
        views.Field("layers", views.column("layers", str), rank=3),
        ms("fp32_ms"),
        ms("int8_ms"),
        ms("to_int8_ms"),
        ms("to_fp32_ms"),
        views.Field("in the mix", views.column("mix", str), number=False),
    ]


def _search(
    source: workflow.plan.Source,
    precision: str,
    target: str,
    calibration: CalibrationChoice,
    goal: Goal,
    store: artifacts.Store,
    outputs: Outputs,
    limit: bench.contain.TimeLimit,
    *,
    quiet: bool,
) -> int:
    """Print the layers to keep in float32, as options, and what that reaches.

    Raises:
        UsageError: two goals, or a precision with nothing to keep.
        CheckFailed: not even all layers in fp32 suffice.
    """
    workflow.keep.check_searched(precision)
    with progress.Steps(0, quiet=quiet) as steps:

        def say(text: str) -> None:
            steps.say(text)
            steps.step()

        with limit.bounding():
            network = workflow.network.obtain_network(source, store)
        left_s = limit.left_s()
        result = workflow.keep.search_layers_to_keep(
            network, precision, target, calibration, goal, say=say, limit_s=left_s
        )
    if not result.complete and result.nodes is not None:
        display.print_remark(
            f"the limit of {limit.seconds:g} s was reached: these layers suffice, but fewer may; give more with "
            "--time-limit"
        )
    if outputs.json:
        display.print_json({**dataclasses.asdict(result), **dataclasses.asdict(goal)})
    if result.nodes is None:
        raise CheckFailed(
            f"not even all {result.candidates} layers in fp32 suffice: {_value(goal, result.reached)}, "
            f"{_value(goal, result.without)} with none; ask for less"
        )
    if outputs.table:
        sys.stdout.write(
            _text(goal, result, [shlex.quote(workflow.keep.name_as_rule(n)) for n in result.nodes])
        )
    return 0


def _text(goal: Goal, result: workflow.keep.SearchResult, rules: list[str]) -> str:
    if not rules:
        return f"nothing needs keeping: {_value(goal, result.reached)}\n"
    lines = [f"--keep {rule}\n" for rule in rules]
    return (
        "".join(lines) + f"{len(rules)} of {result.candidates} layers in fp32: "
        f"{_value(goal, result.reached)}; with none: {_value(goal, result.without)} "
        f"({result.measured} conversions measured)\n"
    )


def _value(goal: Goal, value: float) -> str:
    if goal.max_drop is not None:
        return f"top-1 drops by {100 * value:.2f} points on the calibration part"
    if goal.metric is not None:
        return f"{goal.metric} drops by {general(value, 4)} on the calibration part"
    return f"outputs at {value:.1f} dB"
