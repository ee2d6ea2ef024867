"""`deploykit layers`: one row per layer of a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from deploykit.cli.options import (
    calibration_options,
    json_option,
    quiet_option,
    store_option,
    variant_options,
)

if TYPE_CHECKING:
    from deploykit.report.views import Field


@click.command("layers")
@click.argument("model")
@click.option("--precision", default="fp32", metavar="NAME", help="fp32, fp16 or int8.")
@click.option("--backend", default="onnxruntime", metavar="NAME", help="onnxruntime or torch.")
@click.option("--batch", type=click.IntRange(1), default=1, metavar="N", help="Images per run.")
@click.option(
    "--threads", type=click.IntRange(1), metavar="N", help="Of the runtime; else all cores."
)
@click.option("--by", default="order", metavar="ORDER", help="order, drift, time or macs.")
@click.option(
    "--max-accuracy-drop",
    metavar="PERCENT",
    help="Instead, find the fewest layers to keep in fp32 so that top-1 loses no more, such as 0.5%.",
)
@click.option(
    "--min-snr-db",
    type=float,
    metavar="DB",
    help="The same for the outputs' signal-to-noise ratio, which needs no labels.",
)
@click.option("--top", type=click.IntRange(1), metavar="N", help="Only the first N rows.")
@variant_options
@calibration_options
@click.option("--csv", "csv_path", metavar="FILE", help="Write the rows; - for stdout.")
@store_option
@json_option
@quiet_option
def command(
    model: str,
    precision: str,
    backend: str,
    batch: int,
    threads: int | None,
    by: str,
    max_accuracy_drop: str | None,
    min_snr_db: float | None,
    top: int | None,
    data: str | None,
    calibration_method: str,
    calibration_images: int | None,
    synthetic_calibration: bool,
    csv_path: str | None,
    store: str | None,
    as_json: bool,
    quiet: bool,
    **options: Any,
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
    import dataclasses
    import sys

    from deploykit.backends import get
    from deploykit.backends.offers import check_offered
    from deploykit.cli.display import Steps, print_fields, print_json
    from deploykit.cli.options import variants
    from deploykit.errors import UsageError
    from deploykit.report.csvfile import STDOUT, CsvReport
    from deploykit.workflow.build import check_precisions, require_available
    from deploykit.workflow.calibration import CalibrationChoice
    from deploykit.workflow.layers import LayerRow, ordered, report_layers, totals
    from deploykit.workflow.network import obtain_network, open_store
    from deploykit.workflow.plan import plan

    if as_json and csv_path == STDOUT:
        raise UsageError("stdout takes one of --csv - and --json: name a file for the CSV")
    ordered((), by)  # refuses an order that is none before any work is done
    check_precisions([precision], [get(backend).target])
    check_offered([get(backend)], [precision])
    require_available([get(backend)])
    choice = CalibrationChoice(data, calibration_method, calibration_images, synthetic_calibration)
    choice.check()
    sources = plan([model], variants(**options), data)
    if len(sources) != 1:
        raise UsageError(f"layers takes one network, not {len(sources)}: give one multiplier each")
    artifacts = open_store(store)
    if max_accuracy_drop is not None or min_snr_db is not None:
        from deploykit.cli.keep_search import search_and_show

        return search_and_show(
            sources[0],
            precision,
            get(backend).target,
            choice,
            artifacts,
            max_accuracy_drop=max_accuracy_drop,
            min_snr_db=min_snr_db,
            as_json=as_json,
            csv_path=csv_path,
            quiet=quiet,
        )
    names = [field.name for field in dataclasses.fields(LayerRow)]
    report_file = CsvReport(csv_path, names) if csv_path else None
    with Steps(5, quiet=quiet) as steps:

        def say(text: str) -> None:
            steps.say(text)
            steps.step()

        say(f"export {model}")
        network = obtain_network(sources[0], artifacts)
        report = report_layers(
            network,
            precision,
            artifacts,
            choice,
            backend=backend,
            batch=batch,
            threads=threads,
            data=data,
            say=say,
        )
    rows = [dataclasses.asdict(row) for row in ordered(report.rows, by)[:top]]
    if report_file is not None:
        for row in rows:
            report_file.add(row)
    below = totals(report)
    if as_json:
        print_json({"layers": rows, **below, "warning": report.warning})
    elif csv_path != STDOUT:
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
    return 0


def _fields() -> list[Field]:
    from deploykit.report.views import Field, column, millions, percent

    def operator(row: dict[str, Any]) -> str:
        return f"{row['op_type']} (added)" if row["added"] else str(row["op_type"])

    def time(row: dict[str, Any]) -> str:
        if row["time_ms"] is None:
            return f"in {row['fused_into']}" if row["fused_into"] else "–"
        return f"{row['time_ms']:.4f}"

    def roofline(row: dict[str, Any]) -> str:
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
