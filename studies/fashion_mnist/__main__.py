"""The study of size against accuracy, from nothing to its report: `make study`.

Run as `python -m studies.fashion_mnist`. It trains what is not trained yet, measures what is not measured
yet, and writes `study.csv`, `study.md`, `study.png`, `study.svg` and `study_training.csv`. Each part goes on
where an earlier call stopped: checkpoints and rows are stored in a folder of the study's own.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from deploykit import env
from deploykit.bench.scenario import Policy
from deploykit.errors import EXIT_INTERRUPTED, BuildFailed, DeploykitError
from deploykit.report.csv import to_csv
from deploykit.store import open_store
from deploykit.workflow.run import write_environment
from deploykit.writing import output_errors, write_atomic
from studies.fashion_mnist.cases import Case, Outcome, plan, run_study
from studies.fashion_mnist.report import Report
from studies.fashion_mnist.rows import TRAINING_COLUMNS, Measured, evaluate, training_rows

#: The data set whose networks are measured; the transfer cases are about what training buys alone.
STUDIED = "fashion-mnist"

Say = Callable[[str], None]


def write_reports(
    folder: Path, reports: Path, measured: Sequence[Measured], cases: Sequence[Case]
) -> list[Path]:
    """Write everything that the study found into `reports`; returns the files.

    Raises:
        OutputFailed: `reports` can't be written.
        MissingDependency: matplotlib is not installed; the tables are written all the same.
    """
    from studies.fashion_mnist.plot import draw

    with output_errors("reports"):
        reports.mkdir(parents=True, exist_ok=True)
    trainings = training_rows(cases, folder)
    report = Report(measured, trainings, env.capture())
    texts = {
        "study.csv": to_csv(row for network in measured for row in network.rows.values()),
        "study_training.csv": to_csv(trainings, TRAINING_COLUMNS),
        "study.md": report.text(),
    }
    for name, text in texts.items():
        write_atomic(reports / name, text, "report")
    write_environment(reports)
    pictures = draw(measured)
    for name, data in pictures.items():
        write_atomic(reports / name, data, "picture")
    return [reports / name for name in (*texts, *pictures)]


def study(options: argparse.Namespace, say: Say, cases: Sequence[Case] | None = None) -> int:
    """Train, measure and report; returns the exit code.

    Args:
        options: as `parser` gives them.
        say: called with each step, in words.
        cases: other than the study's own.
    """
    cases = plan() if cases is None else cases

    def note(outcome: Outcome) -> None:
        if outcome.status != "stored":
            accuracy = f", top-1 {outcome.top1:.4f}" if outcome.top1 is not None else ""
            reason = f": {outcome.reason}" if outcome.reason else ""
            say(f"{outcome.case}: {outcome.status}{accuracy}{reason}")

    outcomes = run_study(
        options.folder, cases, budget_s=options.budget, jobs=options.jobs, notify=note
    )
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    left = [outcome for outcome in outcomes if outcome.checkpoint is None]
    say(f"{len(outcomes) - len(left)} of {len(outcomes)} networks are trained")
    if left and not options.partial:
        say("no report yet: call it again to go on, or with --partial to report what there is")
        return BuildFailed.exit_code if failed else 0
    policy = Policy.quick() if options.quick else Policy()
    studied = [case for case in cases if case.dataset == STUDIED]
    measured = evaluate(
        studied,
        options.folder,
        open_store(options.store),
        policy,
        remeasure=options.remeasure,
        say=say,
    )
    for path in write_reports(options.folder, options.reports, measured, cases):
        say(f"wrote {path}")
    bad = [row for network in measured for row in network.rows.values() if row["status"] != "ok"]
    for row in bad:
        say(f"{row['case']} {row['precision']}: {row['status']}: {row.get('reason', '')}")
    return BuildFailed.exit_code if bad or failed else 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser(
        prog="python -m studies.fashion_mnist",
        description="Train, measure and report the Fashion-MNIST study; go on where it stopped.",
        epilog="Training takes about 80 minutes on two cores, measuring a few.",
    )
    command.add_argument("--folder", type=Path, default=Path("study"), help="checkpoints and rows")
    command.add_argument("--reports", type=Path, default=Path("reports"), help="where to report")
    command.add_argument("--store", help="artifact store; $DEPLOYKIT_STORE, else engines/")
    command.add_argument("--budget", type=float, metavar="S", help="stop training after S seconds")
    command.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        default=max(1, int(env.usable_cores())),
        help="trainings at a time",
    )
    command.add_argument("--quick", action="store_true", help="time each row 0.5 s instead of 3 s")
    command.add_argument("--remeasure", action="store_true", help="measure stored rows again")
    command.add_argument("--partial", action="store_true", help="report though trainings are left")
    return command


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: returns its exit code."""
    options = parser().parse_args(arguments)
    start_s = time.perf_counter()

    def say(text: str) -> None:
        print(f"{time.perf_counter() - start_s:6.0f} s  {text}", file=sys.stderr, flush=True)

    try:
        return study(options, say)
    except DeploykitError as error:
        say(f"deploykit: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        say("interrupted: call it again to go on")
        return EXIT_INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
