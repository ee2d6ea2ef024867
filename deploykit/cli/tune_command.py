"""`deploykit tune`: the configuration to take."""

from __future__ import annotations

import math
import re
from typing import Any

import click

from deploykit.bench.scenario import Constraint, Policy, parse_rate
from deploykit.cli.groups import (
    build_timeout_option,
    calibration_options,
    device_option,
    network_options,
    quiet_option,
    store_option,
)
from deploykit.cli.library import artifacts, columns, display, progress, report, workflow
from deploykit.cli.options import BATCHES, LIST, PERCENT, STREAMS, THREADS, Number, group, read_by
from deploykit.cli.outputs import Outputs, csv_report, output_options
from deploykit.errors import UsageError
from deploykit.workflow.choices import CalibrationChoice, Variants

#: Seconds that units of a time stand for.
_UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_RATE = read_by(lambda text, _: parse_rate(text))


def _seconds(text: str, option: str) -> float:
    """What "90", "90s", "5m" and "1h" mean.

    Raises:
        UsageError: it is no time, or not between a second and a day.
    """
    match = re.fullmatch(r"\s*([0-9.]+)\s*(s|min|m|h|)\s*", text)
    try:
        value = math.nan if match is None else float(match[1]) * _UNITS_S[match[2]]
    except ValueError:
        value = math.nan
    if not 1 <= value <= 86400:
        raise UsageError(f"{option} takes a time from 1s to 24h, such as 90s or 5m, not {text!r}")
    return value


@group(
    "question",
    click.option(
        "--objective",
        default="latency_p50_ms",
        metavar="COLUMN",
        help="What to make small: latency_p50_ms, latency_p99_ms, engine_bytes, host_peak_mib; or throughput_ips, "
        "which is made large.",
    ),
    click.option(
        "--constraint",
        "constraints",
        multiple=True,
        metavar="COLUMN<=N",
        help="What the answer must hold, such as 'latency_p95_ms<=10'; can be repeated.",
    ),
    click.option(
        "--max-accuracy-drop",
        callback=PERCENT,
        metavar="PERCENT",
        help="By how much top-1 may be below that of fp32, such as 0.5%; needs labelled data.",
    ),
    click.option(
        "--min-snr-db",
        type=Number(-100, 300, whole=False),
        metavar="DB",
        help="Signal-to-noise ratio that outputs must keep; default 10 where accuracy is not judged.",
    ),
    click.option(
        "--backend", callback=LIST, metavar="LIST", help="To choose from; else all that run here."
    ),
    click.option(
        "--precision",
        callback=LIST,
        metavar="LIST",
        help="To choose from; else all that a backend has and does not emulate.",
    ),
    click.option(
        "--threads",
        callback=THREADS,
        metavar="LIST",
        help="To choose from; else powers of two up to all usable cores.",
    ),
    click.option(
        "--batch",
        default="1",
        callback=BATCHES,
        metavar="LIST",
        help="Images per run; several to choose from for throughput_ips.",
    ),
    click.option(
        "--streams",
        default="1",
        callback=STREAMS,
        metavar="LIST",
        help="Concurrent requests; several to choose from for throughput_ips.",
    ),
    click.option(
        "--rate",
        callback=_RATE,
        metavar="RATE",
        help="Requests arrive at 50/s, say, at random; queueing counts in the latency.",
    ),
    click.option(
        "--budget",
        default="3m",
        callback=read_by(_seconds),
        metavar="TIME",
        help="For measuring, of each network, such as 90s or 5m; default 3m.",
    ),
)
def question_options(
    objective: str,
    constraints: tuple[str, ...],
    max_accuracy_drop: float | None,
    min_snr_db: float | None,
    backend: tuple[str, ...] | None,
    precision: tuple[str, ...] | None,
    threads: tuple[int, ...] | None,
    batch: tuple[int, ...],
    streams: tuple[int, ...],
    rate: float | None,
    budget: float,
) -> dict[str, Any]:
    """What is asked, as the arguments of `workflow.tuned.Question`."""
    return {
        "objective": objective,
        "constraints": tuple(map(Constraint.parse, constraints)),
        "max_accuracy_drop": max_accuracy_drop,
        "min_snr_db": min_snr_db,
        "backends": backend or (),
        "precisions": precision or (),
        "threads": threads or (),
        "batches": batch,
        "streams": streams,
        "rate_per_s": rate,
        "budget_s": budget,
    }


@click.command("tune")
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@question_options
@network_options
@calibration_options
@output_options(csv="Write the rows of the answer and of who came close; - for stdout.")
@device_option
@store_option
@build_timeout_option
@quiet_option
def command(
    models: tuple[str, ...],
    question: dict[str, Any],
    variants: Variants,
    calibration: CalibrationChoice,
    outputs: Outputs,
    store: str | None,
    quiet: bool,
) -> int:
    r"""Find the fastest configuration that holds the accuracy: backend, precision, threads and batch.

    All candidates are measured in turns; those that are surely slower are dropped, those that lose too much are
    refused, and the winner meets the default, fp32 on ONNX Runtime, once more. Where nothing is surely better,
    the default is the answer. Broken off with Ctrl-C, the same command goes on where it was.

    \b
    deploykit tune mobilenet
    deploykit tune lenet5 --weights trained --max-accuracy-drop 1%
    deploykit tune my.onnx --data npz:my.npz --max-accuracy-drop 0.5% --constraint 'latency_p95_ms<=10'
    deploykit tune squeezenet1_0 --objective throughput_ips --batch 1,8,32 --streams 1,2
    deploykit tune resnet18 --min-snr-db 30 --budget 5m --csv resnet18.csv
    """
    asked = workflow.tuned.Question(**question)
    for constraint in asked.constraints:
        if constraint.column not in columns.BY_NAME:
            raise UsageError(
                f"constraint {str(constraint)!r}: there is no column {constraint.column}; see docs/columns.md"
            )
    workflow.calibration.check_choice(calibration)
    opened = artifacts.open_store(store)
    sources = workflow.plan.plan(models, variants, calibration.data)
    csv = csv_report(outputs)
    options = workflow.configuration.ProfileOptions(
        policy=Policy.quick(), calibration=calibration, data=calibration.data, roofline=False
    )
    answers = []
    with progress.Steps(len(sources), quiet=quiet) as steps:
        for source in sources:
            tuned = workflow.tune.Tuning(source, asked, options, opened, steps.say)()
            answers.append(tuned)
            if csv is not None:
                for row in tuned.rows:
                    csv.add(row)
            steps.step()
    if outputs.json:
        display.print_json([workflow.tuned.as_values(one) for one in answers])
    elif outputs.table:
        for tuned in answers:
            _show(tuned)
    for tuned in answers:
        click.echo(tuned.sentence, err=not outputs.table)
    return 0 if all(tuned.best is not None for tuned in answers) else 1


def _show(tuned: workflow.tuned.Tuned) -> None:
    """The rows that were measured, and why each other candidate is out."""
    if tuned.rows:
        display.print_fields(report.views.PROFILE, tuned.rows)
    out = [one for one in tuned.candidates if one.row.get("status") != "ok" or one.reason]
    if out:
        cells = [
            (one.name, "–" if one.ratio is None else f"{one.ratio:.2f}", one.reason) for one in out
        ]
        display.print_table(("not taken", "times", "why"), cells, right=(1,))
