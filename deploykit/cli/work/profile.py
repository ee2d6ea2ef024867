"""What `deploykit profile` does: measure configurations, search for a load, or compare two sides in turns."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from deploykit.backends import get
from deploykit.backends.base import check_offered
from deploykit.bench.metric import load_metric
from deploykit.bench.scenario import Constraint, Policy
from deploykit.cli.display import print_fields, print_json, print_rows
from deploykit.cli.documents import csv_report
from deploykit.cli.measuring import Against, Measuring, Runs, Scenarios
from deploykit.cli.outputs import Outputs
from deploykit.cli.progress import Steps
from deploykit.errors import CheckFailed, UsageError
from deploykit.report import STDOUT
from deploykit.report.csv import CsvReport
from deploykit.report.views import LISTING, PROFILE, Field
from deploykit.row import Row
from deploykit.store import Store, open_store
from deploykit.workflow.against import as_values, check_sides, compare_sides, other_side, sentence
from deploykit.workflow.build import check_precisions, require_available
from deploykit.workflow.calibration import check_choice
from deploykit.workflow.choices import CalibrationChoice, Variants
from deploykit.workflow.choices import preset as find_preset
from deploykit.workflow.configuration import Configuration, ProfileOptions, configurations
from deploykit.workflow.machine import core_remarks
from deploykit.workflow.network import sources_without_names
from deploykit.workflow.plan import plan
from deploykit.workflow.profile import Profiler
from deploykit.workflow.rows import exit_code
from deploykit.workflow.run import describe_machine
from deploykit.workflow.search import LoadSearch, check_constraint, percentile_of


def profile(
    models: Sequence[str],
    precision: tuple[str, ...] | None,
    backend: tuple[str, ...],
    *,
    scores: str | None,
    metric: str | None,
    scenarios: Scenarios,
    measuring: Measuring,
    constraint: Constraint | None,
    runs: Runs,
    against: Against | None,
    variants: Variants,
    calibration: CalibrationChoice,
    outputs: Outputs,
    store: str | None,
    quiet: bool,
) -> int:
    """Do what the options ask for, once all of them are known to be possible; return the exit code."""
    check_choice(calibration)
    if metric is not None:
        if calibration.data is None:
            raise UsageError("--metric is computed on test images: give --data DATASET")
        load_metric(metric)
        calibration = replace(calibration, judged=True)
    artifacts = open_store(store)
    if constraint is not None:
        check_constraint(constraint)
    if constraint is not None and against is not None:
        raise UsageError("--constraint and --against are two questions: ask one at a time")
    calibration.keep.check(precision or ("fp32",))
    _check_backends(backend, precision or (), runs)
    runs.check(scenarios, constraint)
    require_available([get(name) for name in backend])
    options = ProfileOptions(
        precisions=precision or (),
        backends=backend,
        batches=scenarios.batches,
        scenarios=scenarios.each,
        repeats=measuring.repeats,
        policy=runs.applied_to(_policy(measuring, constraint)),
        calibration=calibration,
        data=calibration.data,
        timeout_s=measuring.timeout_s,
        roofline=measuring.roofline,
        samples=measuring.samples_folder(outputs.csv),
        report_folder=Path(outputs.csv).parent if outputs.csv not in (None, STDOUT) else Path(),
        passes=runs.passes,
        scores=scores,
        metric=metric,
    )
    if runs.preset is not None and not models:
        models = find_preset(runs.preset).models
    sources = (
        plan(models, variants, calibration.data)
        if models
        else sources_without_names(artifacts, variants)
    )
    if not quiet:
        for remark in core_remarks():
            click.echo(f"note: {remark}", err=True)
    if constraint is not None:
        return _search(LoadSearch(sources, options, constraint), artifacts, outputs, quiet=quiet)
    wanted = configurations(sources, options)
    if against is not None:
        return _compare(wanted, against, options, artifacts, outputs, quiet=quiet)
    view = PROFILE if runs.preset is None else LISTING
    return _measure(wanted, options, view, artifacts, outputs, quiet=quiet)


def _check_backends(names: Sequence[str], precision: Sequence[str], runs: Runs) -> None:
    """Refuse backends that there are not, or that lack a precision or a pass.

    Raises:
        UnknownName, UsageError: as it says.
    """
    backends = [get(name) for name in names]
    check_precisions(precision, [one.target for one in backends])
    check_offered(backends, precision)
    for backend in backends:
        for name in runs.passes:
            backend.check_pass(name)


def _policy(measuring: Measuring, constraint: Constraint | None) -> Policy:
    """How long to measure: a constraint on a percentile needs the samples for it."""
    percentile = None if constraint is None else percentile_of(constraint)
    return measuring.policy if percentile is None else measuring.reaching(percentile)


def _measure(
    wanted: Sequence[Configuration],
    options: ProfileOptions,
    view: Sequence[Field],
    store: Store,
    outputs: Outputs,
    *,
    quiet: bool,
) -> int:
    """Measure every configuration, write and show its row; return the exit code."""
    report = csv_report(outputs)
    rows: list[Row] = []
    with Steps(len(wanted), quiet=quiet) as steps:
        for row in Profiler(store, options, steps.say).rows(wanted):
            rows.append(row)
            if report is not None:
                report.add(row)
            steps.step()
    describe_machine(options.samples, store)
    print_rows(view, rows, outputs, quiet=quiet)
    return exit_code(rows)


def _search(search: LoadSearch, store: Store, outputs: Outputs, *, quiet: bool) -> int:
    """Search, write what was tried, and answer in one line for each network, precision and backend.

    Returns:
        The exit code: 0, or 1 where nothing holds the constraint, or that of rows which all failed.
    """
    report = csv_report(outputs)
    try:
        with Steps(len(search.bases) * len(search.axis.amounts), quiet=quiet) as steps:
            for row in search.rows(Profiler(store, search.options, steps.say)):
                if report is not None and not report.stream:
                    report.add(row)
                steps.step()
    finally:
        # Which one is chosen is known at the end only: a file is written once more, a stream waits.
        if report is not None and search.tried:
            _finish(report, search.tried)
    print_rows(PROFILE, search.tried, outputs, quiet=quiet)
    describe_machine(search.options.samples, store)
    for answer in search.answers:
        click.echo(answer.text, err=not outputs.table)
    if all(answer.search.best is not None for answer in search.answers):
        return 0
    return exit_code(search.tried) if all(row["status"] != "ok" for row in search.tried) else 1


def _finish(report: CsvReport, rows: Sequence[Row]) -> None:
    if not report.stream:
        report.replace(rows)
        return
    for row in rows:
        report.add(row)
    sys.stdout.flush()


def _compare(
    wanted: Sequence[Configuration],
    against: Against,
    options: ProfileOptions,
    store: Store,
    outputs: Outputs,
    *,
    quiet: bool,
) -> int:
    """Compare the one configuration that is wanted with the other, and show the outcome.

    Raises:
        CheckFailed: it is slower by more than --max-slowdown.
        DeploykitError: a side can't be built or measured.
    """
    if len(wanted) != 1:
        raise UsageError(
            f"--against compares one configuration, these are {len(wanted)}: name one MODEL, "
            "precision, backend and batch"
        )
    head = wanted[0]
    other = other_side(against.other, head)
    check_sides([head, other])
    report = csv_report(outputs)
    with Steps(1, quiet=quiet) as steps:
        sides = compare_sides(
            Profiler(store, options, steps.say),
            head,
            other,
            threshold=against.threshold,
            budget_s=against.budget_s,
        )
    rows = [sides.base, sides.head]
    if report is not None:
        for row in rows:
            report.add(row)
    name = other.name if isinstance(other, Path) else other.text
    text = f"{head.text} against {name}: {sentence(sides.comparison)}"
    if outputs.json:
        print_json(as_values(sides))
    elif outputs.table:
        print_fields(PROFILE, rows)
        click.echo(text)
    if against.gate and sides.comparison.verdict == "slower":
        raise CheckFailed(f"{text}; look for what changed, or raise --max-slowdown")
    return 0
