"""The main job: from the default networks to engines, a profile, verdicts and a summary, in one call."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploykit import codec, env
from deploykit.bench.roofline import known_ceilings
from deploykit.claims import Claim, evaluate_claims
from deploykit.claims.verdict import (
    COLUMNS,
    HEADER,
    Verdict,
    tally,
    verdict_cells,
    written_rows,
)
from deploykit.errors import DeploykitError, OutputFailed, UsageError
from deploykit.report import profile_page
from deploykit.report.csv import CsvReport, to_csv
from deploykit.report.markdown import table
from deploykit.row import Row
from deploykit.store import Store
from deploykit.workflow.configuration import Configuration, ProfileOptions, enumerate_configurations
from deploykit.workflow.plan import DEFAULT_MODELS, Source
from deploykit.workflow.profile import Profiler
from deploykit.writing import output_errors, write_atomic

PRECISIONS = ("fp32", "fp16", "int8")
BACKENDS = ("onnxruntime", "tensorrt-rtx")


@dataclass(frozen=True)
class RunResult:
    """What a run left.

    Attributes:
        rows: of the profile.
        verdicts: on the claims.
        folder: of the reports.
        elapsed_s: how long it took.
    """

    rows: Sequence[Row]
    verdicts: Sequence[Verdict]
    folder: Path
    elapsed_s: float

    @property
    def errors(self) -> list[DeploykitError]:
        """What kept claims from being judged, in their order, but for packages that aren't installed."""
        return [v.error for v in self.verdicts if v.error is not None and not v.missing]


class Run:
    """One run of the main job.

    Args:
        folder: for the reports; made if it is missing.
        store: of graphs and engines.
        options: how to measure, and in which precisions on which backends; None for `PRECISIONS` on `BACKENDS`.
        sources: the networks.
        say: is told what is being done.
        step: is called when claims are checked, the last step.
        finished: is given each row when it is.
        claims: those that are checked; None checks the project's own.
    """

    def __init__(
        self,
        folder: Path,
        store: Store,
        options: ProfileOptions | None = None,
        sources: Sequence[Source] = DEFAULT_MODELS,
        say: Callable[[str], None] = lambda text: None,
        step: Callable[[], None] = lambda: None,
        finished: Callable[[Row], None] = lambda row: None,
        claims: Sequence[Claim] | None = None,
    ) -> None:
        self.folder, self.store, self.say, self.step = folder, store, say, step
        self.finished, self.claims = finished, claims
        self.options = options or ProfileOptions(precisions=PRECISIONS, backends=BACKENDS)
        self.wanted: list[Configuration] = enumerate_configurations(sources, self.options)

    def __call__(self) -> RunResult:
        """Make everything; rows reach profile.csv as they are finished.

        A claim that can't be judged costs none of the reports: why not is in its verdict.

        Raises:
            OutputFailed, UsageError: reports or store can't be written.
            KeyboardInterrupt: passes through; the rows until then are in profile.csv.
        """
        start_s = time.perf_counter()
        if self.folder.exists() and not self.folder.is_dir():
            raise UsageError(
                f"{self.folder} is a file: name a folder for the reports with --reports"
            )
        with output_errors("reports"):
            self.folder.mkdir(parents=True, exist_ok=True)
        report = CsvReport(str(self.folder / "profile.csv"))
        write_environment(self.folder)
        rows: list[Row] = []
        for row in Profiler(self.store, self.options, self.say).rows(self.wanted):
            rows.append(row)
            report.add(row)
            self.finished(row)
        write_environment(self.folder, self.store)  # with the ceilings, which are known by now
        self.say("check claims")
        verdicts = evaluate_claims(rows=rows, claims=self.claims)
        self.step()
        write_atomic(
            self.folder / "claims.csv", to_csv(written_rows(verdicts), tuple(COLUMNS)), "report"
        )
        elapsed_s = time.perf_counter() - start_s
        text = summarise(rows, verdicts, env.capture())
        write_atomic(self.folder / "summary.md", text, "report")
        return RunResult(rows, verdicts, self.folder, elapsed_s)


def write_environment(folder: Path, store: Store | None = None) -> None:
    """Add this machine to the folder's env.json, under its env_id; other machines' entries stay.

    With `store`, the ceilings that were measured of it are in the entry.

    Raises:
        OutputFailed: it can't be written.
    """
    path = folder / "env.json"
    environments: dict[str, Any] = {}
    try:
        environments = codec.read_json(path, dict[str, Any])
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise OutputFailed(f"{path} can't be read ({error}): delete it") from error
    measured = [] if store is None else codec.to_values(known_ceilings(store.root))
    environments[env.env_id()] = env.capture() | ({"ceilings": measured} if measured else {})
    write_atomic(path, codec.to_json(environments, pretty=True), "report")


def describe_machine(samples: Path | None, store: Store) -> None:
    """Leave env.json among the samples of a profile, where there are any.

    Called before anything is measured, too: what can't be written then must not cost what was measured.

    Raises:
        OutputFailed: it can't be written.
    """
    if samples is not None and samples.is_dir():
        write_environment(samples, store)


def summarise(
    rows: Sequence[Row], verdicts: Sequence[Verdict], environment: Mapping[str, Any]
) -> str:
    """The summary of a run as Markdown: what was measured, what was only built, what the claims came to.

    Args:
        rows: of the profile.
        verdicts: on the claims.
        environment: as `env.capture` describes it.

    Raises:
        UsageError: a row is of a simulated device.
    """
    machine, packages = environment["machine"], environment["packages"]
    versions = ", ".join(f"{name} {version}" for name, version in packages.items())
    parts = [
        "# What this run found\n",
        f"Measured on {machine['cpu']} ({machine['cores']:g} cores, {machine['memory_gib']} GiB, "
        f"{', '.join(machine['gpus']) or 'no GPU'}), Python {environment['python']}; {versions}. "
        f"Environment `{environment['env_id']}`, described in `env.json`.\n",
        profile_page.sections(rows),
        "## Claims\n",
        f"{tally(verdicts)}.\n",
        table(HEADER, verdict_cells(verdicts)),
    ]
    return "\n".join(parts)
