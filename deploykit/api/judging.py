"""Judging: what `deploykit compare`, `check`, `claims` and `doctor` do."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploykit import codec
from deploykit.api.arguments import (
    Names,
    StoreLike,
    number,
    opened,
    share,
    spoken,
    texts,
)
from deploykit.claims import evaluate_claims, list_claims, read_claims
from deploykit.claims.claim import choose_claims
from deploykit.claims.verdict import verdict_rows
from deploykit.errors import UsageError
from deploykit.report import STDOUT, page_beside
from deploykit.report.check import Weakness, check_report
from deploykit.report.compare import Limits, compare_reports
from deploykit.report.compare import rendering as comparison_rows
from deploykit.report.csv import (
    check_destination,
    is_read_once,
    keep_files,
    read_rows,
    rows_of,
    to_csv,
)
from deploykit.row import Row
from deploykit.workflow import machine, ranges
from deploykit.workflow.claim_rows import measure_for
from deploykit.workflow.stored import stored_in
from deploykit.writing import working_folder, write_atomic

if TYPE_CHECKING:
    import pandas as pd

    from deploykit.report.frame import Frame

    #: A report as the API takes it: the path of a CSV of `deploykit profile`, or what `profile` returned.
    Report = str | os.PathLike[str] | pd.DataFrame


@spoken
def compare(
    base: Report,
    head: Report,
    *,
    max_slowdown: float | str = 0.05,
    max_accuracy_drop: float | str = 0.005,
    max_metric_drop: float = 0.0,
    across_machines: bool = False,
    gate: bool = False,
) -> Frame:
    """Compare two reports: a row per configuration, with the ratio of latencies and its interval.

    `verdict` is slower, faster, same or undecided (also where a side has fewer than three processes), failed,
    mended, skipped, base only or head only; `regression` is whether it would close the gate. `attrs["failure"]` is
    the line that the command would end with, None where nothing regressed; `attrs["summary"]` tells how all came
    out.

    Args:
        base: the earlier report: a CSV file, or the frame of `profile(..., repeats=5)`.
        head: the later one.
        max_slowdown: how much slower a configuration may become, a share or "5%".
        max_accuracy_drop: how much top-1 it may lose, a share (0.005 is half a percentage point).
        max_metric_drop: how much the value of a metric of your own may fall, in its unit.
        across_machines: compare though the machines differ.
        gate: raise where the command would fail.

    Raises:
        UsageError: a report can't be read, the machines differ, or there is no configuration in common.
        CheckFailed: with `gate`, a configuration regressed.

    Example:
        >>> options = dict(weights="trained", iterations=20, warmup_iterations=2, roofline=False)
        >>> frame = deploykit.profile("lenet5", **options)
        >>> deploykit.compare(frame, frame).loc[0, "verdict"]
        'undecided'
    """
    from deploykit.report.frame import frame_of

    limits = Limits(
        share(max_slowdown, "--max-slowdown") or 0.0,
        share(max_accuracy_drop, "--max-accuracy-drop") or 0.0,
        number(max_metric_drop, ranges.METRIC_DROP, "--max-metric-drop") or 0.0,
    )
    with _as_files(base=base, head=head) as paths:
        found = compare_reports(paths[0], paths[1], limits, across_machines=across_machines)
    failure = found.failure
    if failure is not None and (gate or isinstance(failure, UsageError)):
        raise failure
    return frame_of(
        comparison_rows.rows_of(found),
        of="comparison",
        summary=comparison_rows.summary(found),
        failure=None if failure is None else str(failure),
        remarks=list(found.remarks),
    )


@spoken
def check(report: Report) -> Frame:
    """Say which rows of a report are weak, why, and what would help: a row per weakness, none where all is well.

    Args:
        report: a CSV file, or the frame of `profile`.

    Raises:
        UsageError: the report can't be read.

    Example:
        >>> options = dict(weights="trained", iterations=20, warmup_iterations=2, roofline=False)
        >>> weak = deploykit.check(deploykit.profile("lenet5", **options))
        >>> list(weak.columns), weak.attrs["rows"]
        (['line', 'row', 'name', 'seen', 'remedy'], 1)
    """
    from deploykit.report.frame import frame_of

    with _as_files(report=report) as (path,):
        checked = check_report(path)
    words = {"int": "int", "str": "text"}
    kinds = {field.name: words[str(field.type)] for field in dataclasses.fields(Weakness)}
    return frame_of(
        [dataclasses.asdict(weakness) for weakness in checked.weak],
        kinds,
        of="weaknesses",
        rows=checked.rows,
        weak_rows=checked.weak_rows,
        remarks=list(checked.remarks),
    )


@spoken
def write_report(
    report: Report,
    base: Report | None = None,
    *,
    path: str | os.PathLike[str] | None = None,
    png: str | os.PathLike[str] | None = None,
    svg: str | os.PathLike[str] | None = None,
    claims: str | os.PathLike[str] | None = None,
    layers: Sequence[str | os.PathLike[str]] = (),
    max_slowdown: float | str = 0.05,
    across_machines: bool = False,
) -> Path:
    """Write a report as one page of HTML with pictures, and return its path. Also callable as `deploykit.report`.

    Args:
        report: a CSV of `deploykit profile`, `tune`, `claims` or `layers`, or the frame of `profile`.
        base: an earlier profile, which is drawn beside it.
        path: of the page; None is the report's name with .html, report.html for a frame.
        png: a folder for each picture as PNG.
        svg: a folder for each picture as SVG.
        claims: a CSV of verdicts; None takes claims.csv beside the report.
        layers: CSVs of `deploykit layers`, drawn as a graph; two stand side by side.
        max_slowdown: where the limit line stands, a share or "5%".
        across_machines: compare with `base` though the machines differ.

    Raises:
        UsageError: a report can't be read, or the machines differ, or an argument that is for `base` has none.
        OutputFailed: the page or a picture can't be written.
        MissingDependency: PNG without matplotlib.

    Example:
        >>> options = dict(weights="trained", iterations=20, warmup_iterations=2, roofline=False)
        >>> deploykit.write_report(deploykit.profile("lenet5", **options), path="lenet5.html")
        PosixPath('lenet5.html')
    """
    from deploykit.report import page as pages
    from deploykit.report.page import files, raster, reading

    limit = share(max_slowdown, "--max-slowdown") or 0.0
    if len(layers) > 2:
        raise UsageError("two graphs of layers stand side by side: give --layers twice at most")
    if base is None:
        given_for_base = {
            "--max-slowdown": limit != Limits().slowdown,
            "--across-machines": across_machines,
        }
        _refuse_unused("a report alone, without base,", given_for_base)
    default = Path(os.fspath(report)) if isinstance(report, str | os.PathLike) else Path("report")
    if path is None and str(default) != STDOUT and is_read_once(str(default)):
        raise UsageError(
            f"{default} is a pipe, and no page can lie beside it: name the page by path"
        )
    place = Path(path) if path is not None else Path(page_beside(str(default)))
    named = (report, base, claims, *layers)
    files_read = [os.fspath(one) for one in named if isinstance(one, str | os.PathLike)]
    keep_files(files_read, [str(place)])
    check_destination(str(place))
    if png is not None:
        raster.require_matplotlib()
    given = {"report": report} | ({} if base is None else {"base": base})
    with _as_files(**given) as paths:
        contents = reading.read(
            *paths,
            claims=None if claims is None else os.fspath(claims),
            layers=[os.fspath(one) for one in layers],
            max_slowdown=limit,
            across_machines=across_machines,
        )
        text = pages.render(contents)
        for folder, ending in ((png, ".png"), (svg, ".svg")):
            if folder is not None:
                files.write_pictures(contents, Path(folder), ending)
    write_atomic(place, text, "page")
    return place


@spoken
def check_claims(
    ids: Names | None = None,
    rows: Any = None,
    claims: str | os.PathLike[str] | None = None,
    *,
    measure: bool = False,
    train: bool = False,
    store: StoreLike = None,
) -> Frame:
    """Check claims about networks by computing: a verdict each. Also callable as `deploykit.claims`.

    `verdict` is confirmed, refuted, in context, cited or undecided; `as_expected` is False where it surprises. A
    claim that can't be evaluated is undecided and never as expected, and `explanation` says why.

    Args:
        ids: of the claims, one or several; None checks all.
        rows: a profile for claims about what is measured: a CSV file, the frame of `profile`, or its rows.
        claims: a file of claims of your own, in TOML as docs/claims.md says; None takes the project's.
        measure: measure what the claims take first, on this machine, at most 15 minutes; `rows` are then for the
            claims that measure nothing.
        train: train the small networks that some claims take, at most two hours; what is kept is not trained again.
        store: where networks and engines are kept for `measure`, and what was trained; None is the default one.

    Raises:
        UnknownName: there is no such claim.
        UsageError: the report or the file of claims can't be read, or one of its claims can't be; or a store
            is given and nothing that would use it.

    Example:
        >>> deploykit.check_claims("vgg-140m")["verdict"].tolist()
        ['confirmed']
    """
    from deploykit.report.frame import frame_of

    if not (measure or train):
        given = {"--store": store is not None}
        _refuse_unused("a check that neither measures nor trains", given)
    is_path = isinstance(rows, str | os.PathLike)
    profile = read_rows(os.fspath(rows)) if is_path else rows_of(rows)
    own = None if claims is None else read_claims(Path(claims))
    measured = None
    if measure:
        chosen = choose_claims(texts(ids, "ids") or None, list_claims() if own is None else own)
        measured = list(measure_for(chosen, opened(store)))
    kept = opened(store) if train else None
    verdicts = evaluate_claims(
        texts(ids, "ids") or None,
        profile,
        measured=measured,
        claims=own,
        train=train,
        store=kept,
    )
    records = verdict_rows(verdicts)
    # What is stated and found is a number, a word or a list, by the claim.
    mixed = ("stated", "found")
    listed = [
        {key: _word(value) if key in mixed else value for key, value in row.items()}
        for row in records
    ]
    return frame_of(listed, of="claims")


@spoken
def doctor() -> Frame:
    """Tell what works on this machine, what is missing, and the line that installs it: a row each.

    `state` is "ok", "missing" or "note"; `attrs["runs_something"]` is whether any backend can build and run.

    Example:
        >>> deploykit.doctor().attrs["runs_something"]
        True
    """
    from deploykit.report.frame import frame_of

    checks = machine.examine()
    return frame_of(
        [vars(check) for check in checks],
        of="machine",
        runs_something=machine.runs_something(checks),
    )


@spoken
def stored(store: StoreLike = None) -> Frame:
    """List what the engine store holds, the largest first: a row per entry, with `bytes` and `idle_days`.

    `stale` says why nothing will ask for an entry again; blank where something may. `attrs["store"]` is the folder.
    `deploykit store remove` and `gc` take entries out.

    Args:
        store: the store; None is the default one.

    Raises:
        UsageError: it can't be one.

    Example:
        >>> engine = deploykit.build("lenet5", weights="trained")
        >>> "engine" in deploykit.stored()["kind"].tolist()
        True
    """
    from deploykit.report.frame import frame_of

    artifacts = opened(store)
    kinds = {"name": "text", "kind": "text", "precision": "text", "backend": "text", "bytes": "int"}
    kinds |= {"idle_days": "float", "path": "text", "stale": "text"}
    records = [
        vars(one) | {"bytes": one.size_bytes, "path": str(one.path), "stale": one.stale or None}
        for one in stored_in(artifacts)
    ]
    return frame_of(records, kinds, of="store", store=str(artifacts.root))


def _refuse_unused(what: str, given: Mapping[str, bool]) -> None:
    """Refuse arguments that change nothing in what is asked for, as the commands refuse their options.

    Args:
        what: is asked for, as the subject of a sentence.
        given: whether each was given, by its option.

    Raises:
        UsageError: one was.
    """
    for option, is_given in given.items():
        if is_given:
            raise UsageError(f"{what} has no use for {option}: leave it out")


def _word(value: Any) -> str | None:
    return None if value is None else str(value)


def _with_samples_found(row: Row) -> Row:
    """A row of a frame with its samples found from anywhere: their paths start from the current folder."""
    samples = row.get("samples")
    return row.plus({"samples": str(Path(samples).absolute())}) if samples else row


@contextlib.contextmanager
def _as_files(**reports: Any) -> Iterator[tuple[str, ...]]:
    """The paths of reports, frames written to files under the names of the arguments.

    Raises:
        UsageError: one is no report.
    """
    with working_folder() as folder:
        paths = []
        known: dict[str, Any] = {}
        for name, report in reports.items():
            if isinstance(report, str | os.PathLike):
                paths.append(os.fspath(report))
                continue
            if not hasattr(report, "to_dict"):
                raise UsageError(
                    f"{name} takes the path of a report or the frame of a profile, not {report!r:.40}"
                )
            path = Path(folder) / f"{name}.csv"
            rows = [_with_samples_found(row) for row in rows_of(report) or ()]
            path.write_text(to_csv(rows), encoding="utf-8")
            environment = getattr(report, "attrs", {}).get("environment")
            if environment is not None:  # beside a report it tells of the machine
                known[str(environment.get("env_id"))] = environment
                (Path(folder) / "env.json").write_bytes(codec.to_json(known))
            paths.append(str(path))
        try:
            yield tuple(paths)
        except UsageError as error:
            # A frame has no path: what is wrong is said of the argument.
            error.args = (str(error).replace(f"{folder}{os.sep}", ""),)
            raise
