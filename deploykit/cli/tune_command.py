"""`deploykit tune`: the configuration to take."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from deploykit.bench.scenario import Constraint, Policy, parse_rate
from deploykit.cli import completion
from deploykit.cli.groups import (
    build_timeout_option,
    calibration_options,
    device_option,
    dry_run_option,
    network_options,
    opened_store,
    quiet_option,
    store_option,
)
from deploykit.cli.library import (
    artifacts,
    display,
    progress,
    report,
    workflow,
)
from deploykit.cli.options import (
    BATCHES,
    LIST,
    PERCENT,
    STREAMS,
    THREADS,
    Grouped,
    Number,
    group,
    read_by,
)
from deploykit.cli.outputs import Outputs, csv_report, output_options, write_documents, write_page
from deploykit.errors import EXIT_INTERRUPTED, UsageError
from deploykit.text import printable, write_line
from deploykit.workflow import ranges
from deploykit.workflow.choices import CalibrationChoice, EngineChoice, Variants, run_option_values

#: Of those that are out, so many are shown, those with one reason together.
MAX_SHOWN = 12
#: Seconds that units of a time stand for.
_UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
#: How what is written of a tuning begins that did not come to its end.
_BROKEN_OFF = "The tuning was interrupted"
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
        type=Number.of(ranges.SNR_DB),
        metavar="DB",
        help="Signal-to-noise ratio that outputs must keep; default 10 where accuracy is not judged.",
    ),
    click.option(
        "--metric",
        metavar="MODULE:FUNCTION",
        help="A function of your own of outputs and labels, as for profile; larger is better.",
    ),
    click.option(
        "--max-metric-drop",
        type=Number.of(ranges.METRIC_DROP),
        metavar="VALUE",
        help="By how much the value of --metric may be below that of fp32; needs --data.",
    ),
    click.option(
        "--backend",
        "--backends",
        shell_complete=completion.backends,
        callback=LIST,
        metavar="LIST",
        help="Runtimes to choose from, as for profile; else all that run here.",
    ),
    click.option(
        "--precision",
        shell_complete=completion.precisions,
        callback=LIST,
        metavar="LIST",
        help="Precisions to choose from; else all that a backend has and does not emulate.",
    ),
    click.option(
        "--threads",
        callback=THREADS,
        metavar="LIST",
        help="Threads to choose from; else powers of two up to all usable cores.",
    ),
    click.option(
        "--batch",
        callback=BATCHES,
        metavar="LIST",
        help="Images per run, several to choose from for throughput_ips; else 1, and 8 and 32 for that.",
    ),
    click.option(
        "--streams",
        callback=STREAMS,
        metavar="LIST",
        help="Concurrent requests, several to choose from for throughput_ips; else 1, and 2 for that.",
    ),
    click.option(
        "--rate",
        callback=_RATE,
        metavar="RATE",
        help="Requests arrive at 50/s, say, at random; queueing counts in the latency.",
    ),
    click.option(
        "--option",
        "options",
        multiple=True,
        metavar="NAME=VALUE",
        help="Values of an option of a runtime to choose from, such as ort.allow_spinning=0 or ov.streams=1,2; can "
        "be repeated. Of the others tune tries what is cheap to try.",
    ),
    click.option(
        "--budget",
        default="3m",
        callback=read_by(_seconds),
        metavar="TIME",
        help="Time for each network, building included, such as 90s or 5m.",
    ),
)
def question_options(
    objective: str,
    constraints: tuple[str, ...],
    max_accuracy_drop: float | None,
    min_snr_db: float | None,
    metric: str | None,
    max_metric_drop: float | None,
    backend: tuple[str, ...] | None,
    precision: tuple[str, ...] | None,
    threads: tuple[int, ...] | None,
    batch: tuple[int, ...] | None,
    streams: tuple[int, ...] | None,
    rate: float | None,
    options: tuple[str, ...],
    budget: float,
) -> tuple[workflow.tuned.Question, str | None]:
    """What is asked, and the metric of the user's own that judges.

    Raises:
        UsageError: it makes no sense.
    """
    question = workflow.tuned.Question(
        objective=objective,
        constraints=tuple(map(Constraint.parse, constraints)),
        max_accuracy_drop=max_accuracy_drop,
        min_snr_db=min_snr_db,
        backends=backend or (),
        precisions=precision or (),
        threads=threads or (),
        batches=batch or (),
        streams=streams or (),
        rate_per_s=rate,
        options=run_option_values(options),
        max_metric_drop=max_metric_drop,
        budget_s=budget,
    )
    return question, metric


@click.command("tune", cls=Grouped)
@click.argument(
    "models", shell_complete=completion.models, nargs=-1, required=True, metavar="MODEL..."
)
@question_options
@click.option(
    "--min-top1",
    callback=read_by(ranges.share),
    metavar="SHARE",
    help="Refuse networks whose top-1 may be lower, such as 0.90 or 90%; needs labelled data.",
)
@click.option(
    "--train",
    is_flag=True,
    help="Train networks that no trained weights come for on --data, once, into the store.",
)
@click.option(
    "--epochs",
    type=Number.of(ranges.EPOCHS),
    metavar="N",
    help="With --train: passes over the data; else the recipe's.",
)
@network_options
@calibration_options
@output_options(
    file="Write the answer as TOML, which profile and build take by --config.",
    plot="Draw the objective against top-1 or drift, to an .svg or .png file.",
    markdown="Write the answer as a page for people; - for stdout.",
    csv="Write the rows of the answer and of who came close; - for stdout.",
    html="Write a page with pictures of these rows; - for stdout.",
)
@device_option
@store_option
@build_timeout_option
@dry_run_option
@quiet_option
def command(
    models: tuple[str, ...],
    question: tuple[workflow.tuned.Question, str | None],
    min_top1: float | None,
    train: bool,
    epochs: int | None,
    variants: Variants,
    calibration: CalibrationChoice,
    outputs: Outputs,
    store: str | None,
    dry_run: bool,
    quiet: bool,
) -> int:
    r"""Find the fastest configuration that holds the accuracy: backend, precision, threads and batch.

    All candidates are measured in turns; those that are surely slower are dropped, those that lose too much are
    refused, and the winner meets the default, fp32 on ONNX Runtime, once more. Where nothing is surely better,
    the default is the answer. Of several networks, the cheapest that holds everything is named, and who is
    worth a higher price; --train makes weights where there are none. Broken off with Ctrl-C, the same command
    goes on where it was.

    \b
    deploykit tune mobilenet
    deploykit tune lenet5 --weights trained --max-accuracy-drop 1% -o tune.toml
    deploykit profile --config tune.toml
    deploykit tune my.onnx --data npz:my.npz --max-accuracy-drop 0.5%
    deploykit tune mobilenet --constraint 'latency_p95_ms<=10'
    deploykit tune alexnet --objective throughput_ips --batch 1,64 --streams 4
    deploykit tune mobilenet lenet5 --train --data fashion-mnist --min-top1 0.90
    deploykit tune resnet18 --min-snr-db 30 --budget 5m --plot resnet18.svg
    """
    asked, metric = question
    options = workflow.configuration.ProfileOptions(
        policy=Policy.quick(),
        calibration=calibration,
        data=calibration.data,
        metric=metric,
        roofline=False,
    )
    options = workflow.asked.check_tuning(asked, options)
    training = workflow.trained.training_of(
        train=train, epochs=epochs, weights=variants.weights, data=calibration.data
    )
    if train:
        variants = replace(variants, weights=None)
    _check_destinations(outputs)
    opened = opened_store(store, quiet=quiet)
    sources = workflow.plan.plan(models, variants, calibration.data)
    if dry_run:
        return _plan(sources, asked, outputs)
    csv = csv_report(outputs)
    found = workflow.frontier.Frontier()
    try:
        with progress.Steps(len(sources), quiet=quiet) as steps:
            for one in workflow.frontier.tune_each(
                sources,
                asked,
                options,
                opened,
                min_top1=min_top1,
                training=training,
                say=steps.say,
                detail=steps.detail,
                step=steps.step,
            ):
                found.take(one)
                if csv is not None and isinstance(one, workflow.tuned.Tuned):
                    for row in one.rows:
                        csv.add(row)
    except KeyboardInterrupt:
        if not found.answers and not found.refused:
            raise
        _show(found, outputs, several=False)
        done = len(found.answers) + len(found.refused)
        said = f"with {done} of {len(sources)} networks done; the same command goes on"
        write_line(f"deploykit: interrupted {said}", err=True)
        # What was asked for in files would be lost with a terminal that is closed.
        _write(found, outputs, opened, f"{_BROKEN_OFF} {said}.")
        return EXIT_INTERRUPTED
    _show(found, outputs, several=len(sources) > 1)
    _write(found, outputs, opened)
    failed = next((one.error for one in found.refused if one.error is not None), None)
    if found.cheapest is None:
        return 1 if failed is None else failed.exit_code
    return 0 if failed is None else failed.exit_code


def _write(
    found: workflow.frontier.Frontier,
    outputs: Outputs,
    store: artifacts.Store,
    broken_off: str = "",
) -> None:
    """Write the answers that there are to the files that were asked for.

    Args:
        found: the answers.
        outputs: of the command.
        store: has the ceilings of this machine.
        broken_off: the sentence that says so of a tuning that did not come to its end; empty for others.

    Raises:
        OutputFailed: a file can't be written.
    """
    best = found.cheapest
    if best is not None and broken_off and _is_whole(outputs.file):
        text = f"deploykit: {outputs.file} stays as it was, as this answer is of a part of the networks alone"
        write_line(text, err=True)
    elif best is not None:
        head = f"# {broken_off}\n" if broken_off else ""
        write_documents(outputs, file=lambda: f"{head}{best.toml}")
    if outputs.plot is not None and found.answers:
        picture = workflow.pareto.draw(found.answers)
        workflow.pareto.save(picture, Path(outputs.plot))
    said = [*(one.sentence for one in found.answers), *(one.why for one in found.refused)]
    if broken_off:
        said = [broken_off, *said]
    elif len(said) > 1:
        said.append(found.sentence)
    rows = [row for one in found.answers for row in one.rows]
    tried = workflow.pareto.candidates_of(found.answers) if found.answers else None
    write_page(outputs, rows, "deploykit: tune", store, said, tried)
    write_documents(outputs, markdown=lambda: _page(found, said))


def _is_whole(path: str | None) -> bool:
    """Whether a file has what an answer of a part must not replace: anything but such an answer."""
    from deploykit.reading import open_file

    if path is None or path == report.STDOUT:
        return False
    try:
        with open_file(path) as file:
            head = file.read(2 + len(_BROKEN_OFF))
    except OSError:  # there is none, or writing says what is wrong with it
        return False
    return head not in (b"", f"# {_BROKEN_OFF}".encode())


def _plan(
    sources: Sequence[workflow.plan.Source], asked: workflow.tuned.Question, outputs: Outputs
) -> int:
    """Which candidates would be tried, and how long that takes; nothing is built."""
    wanted = [
        one
        for source in sources
        for default, others in [workflow.space.candidates(source, asked)]
        for one in (default, *others)
    ]
    meeting_s = workflow.frontier.beside_s(asked, len(sources))
    takes = progress.duration(asked.budget_s * len(sources) + meeting_s)
    return display.print_configurations(
        wanted,
        EngineChoice(),
        outputs,
        f"{len(wanted)} candidates, and runtime options for the best of them; it takes up to {takes}, and longer "
        "only where a default takes longer to build",
    )


def _check_destinations(outputs: Outputs) -> None:
    """Refuse, before any work is done, files that can't be written.

    Raises:
        UsageError, OutputFailed: a folder is missing, or can't be written.
        MissingDependency: matplotlib is not installed, and a picture is asked for.
    """
    if outputs.plot is not None:
        workflow.pareto.check_picture(outputs.plot)
    for path in (outputs.file, outputs.plot):
        if path is not None:
            report.csv.check_destination(path)


def _show(found: workflow.frontier.Frontier, outputs: Outputs, *, several: bool) -> None:
    """Every answer with who came close and why the others are out; of several networks, which to take."""
    if outputs.json or outputs.file or outputs.plot or outputs.html:
        for row in (row for tuned in found.answers for row in tuned.rows):
            report.refuse_simulated(row)
    if outputs.json:
        answers = [
            {**workflow.tuned.as_values(one), "beside": found.beside_values(one)}
            for one in found.answers
        ]
        refused = [
            {"model": workflow.configuration.source_name(one.source), "refused": one.why}
            for one in found.refused
        ]
        display.print_json([*answers, *refused])
    elif outputs.table:
        for tuned in found.answers:
            _show_one(tuned)
    said = [one.sentence for one in found.answers] + [one.why for one in found.refused]
    for sentence in (*said, *([found.sentence] if several else [])):
        display.print_answer(sentence, err=not outputs.table)
    best = found.cheapest
    if outputs.table and best is not None and best.engine is not None:
        write_line(printable(f"Its engine: {best.engine}"))


def _page(found: workflow.frontier.Frontier, said: Sequence[str]) -> str:
    """The answers as Markdown: what to take, what was measured, and why the others are out."""
    as_text = report.markdown.as_text
    parts = ["# What tuning found\n", *(f"{as_text(sentence)}\n" for sentence in said)]
    for tuned in found.answers:
        rows = [
            {**one.row, "candidate": one.name}
            for one in tuned.candidates
            if one.row.get("status") == "ok"
        ]
        if rows:
            parts.append(report.profile_page.view_table(_fields(tuned), rows))
            parts += [f"- {as_text(line)}.\n" for line in report.states.doubts(rows)]
        cells = _not_taken(tuned)
        if cells:
            parts.append(report.markdown.table(_NOT_TAKEN, cells, right=(1,)))
    return "\n".join(parts)


def _fields(tuned: workflow.tuned.Tuned) -> tuple[report.views.Field, ...]:
    """What a table of rows shows: what was asked for first, whatever the width."""
    asked = tuned.question
    return report.views.tuned([asked.objective, *(one.column for one in asked.constraints)])


_NOT_TAKEN = ("not taken", "times", "why")


def _not_taken(tuned: workflow.tuned.Tuned) -> list[tuple[str, str, str]]:
    """Why candidates are out, those with one reason together."""
    groups: dict[tuple[str, str], list[str]] = {}
    for one in tuned.candidates:
        if one.row.get("status") == "ok" and not one.reason:
            continue
        times = "–" if one.ratio is None else f"{one.ratio:.2f}"
        is_as_good = (one.ratio or 1.0) <= 1 + workflow.races.MIN_GAIN
        why = "as good, but not better" if is_as_good else "not surely slower, but no better"
        groups.setdefault((times, one.reason or why), []).append(one.name)
    return [(_names(names), times, why) for (times, why), names in groups.items()]


def _show_one(tuned: workflow.tuned.Tuned) -> None:
    """The rows that were measured, and why each other candidate is out; those with one reason together."""
    measured = [one for one in tuned.candidates if one.row.get("status") == "ok"]
    if measured:
        rows = [{**one.row, "candidate": one.name} for one in measured]
        display.print_fields(_fields(tuned), rows)
        display.print_doubts(rows)
    cells = _not_taken(tuned)
    if cells:
        more = cells[MAX_SHOWN:]
        if more:
            left = f"{len(more)} more"
            cells = [*cells[:MAX_SHOWN], (left, "", "all of them are in --json")]
        display.print_table(_NOT_TAKEN, cells, right=(1,))
    for remark in (*tuned.remarks, tuned.time_sentence):
        display.print_text(remark)


def _names(names: list[str]) -> str:
    return ", ".join(names if len(names) <= 2 else [names[0], f"{len(names) - 1} more"])
