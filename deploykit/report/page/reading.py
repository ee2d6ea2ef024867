"""From files to the contents of a page: a report, an earlier one, and what lies beside them."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from deploykit import codec
from deploykit.columns import checked_by
from deploykit.errors import UsageError
from deploykit.reading import open_file
from deploykit.report import STDOUT
from deploykit.report.compare import Limits, ReportComparison, compare_reports
from deploykit.report.csv import is_read_once, read_cells, read_report
from deploykit.report.page.candidates_picture import Candidates
from deploykit.report.page.contents import Contents
from deploykit.report.page.entry import Entry, entries_of
from deploykit.text import file_name

PROFILE, CLAIMS, LAYERS = "profile", "claims", "layers"
#: Graphs of layers that a page has room for.
MOST_GRAPHS = 2
#: Columns that rows are judged by: a page that lacks one doubts less than it should, which the others only show.
_JUDGED = frozenset((*checked_by("check"), *checked_by("compare")))
#: Columns by which each kind of report is known.
_KINDS = {
    PROFILE: {"schema", "status", "model"},
    CLAIMS: {"verdict", "as_expected", "statement"},
    LAYERS: {"node", "op_type", "time_ms"},
}


def read(
    path: str,
    base: str | None = None,
    *,
    claims: str | None = None,
    layers: Sequence[str] = (),
    max_slowdown: float = 0.05,
    across_machines: bool = False,
    comparison: ReportComparison | None = None,
) -> Contents:
    """Read what a page shows.

    Args:
        path: a profile, claims or layers as CSV; `-` is a profile on standard input.
        base: an earlier profile.
        claims: verdicts; None takes claims.csv beside a profile where it is.
        layers: rows of layers, of one engine or two.
        max_slowdown: the limit, as a share.
        across_machines: compare though the machines differ.
        comparison: of the two reports, where it is made already.

    Raises:
        UsageError: a file can't be read, or is of another kind.
    """
    kind = _kind_of(path)
    title = "standard input" if path == STDOUT else file_name(Path(path).name)
    if kind != PROFILE:
        if base is not None:
            raise UsageError(f"{path} holds {kind}, and BASE is of two profiles: leave it out")
        if kind == CLAIMS and claims is not None:
            raise UsageError(f"{path} holds claims itself: leave {claims} out")
        sheets = [*([path] if kind == LAYERS else []), *layers]
        if len(sheets) > MOST_GRAPHS:
            raise UsageError(
                f"{MOST_GRAPHS} graphs of layers stand side by side, {path} among them: leave {sheets[-1]} out"
            )
        return Contents(
            f"deploykit: {title}",
            claims=_claims(path if kind == CLAIMS else claims),
            layers=_layers(sheets),
        )
    if base is not None and any(map(is_read_once, (path, base))):
        raise UsageError(
            "two reports are read twice each: name files instead of standard input or a pipe"
        )
    folder = Path() if path == STDOUT else Path(path).parent
    entries, remarks = _profile(path, folder)
    contents: dict[str, Any] = {}
    if base is not None:
        if _kind_of(base) != PROFILE:
            raise UsageError(f"{base} is no profile: name a CSV of `deploykit profile` as BASE")
        base_folder = Path(base).parent
        if comparison is None:
            limits = Limits(slowdown=max_slowdown)
            comparison = compare_reports(base, path, limits, across_machines=across_machines)
        base_entries, of_base = _profile(base, base_folder)
        remarks = [*of_base, *remarks]
        contents = {"base": base_entries, "base_folder": base_folder, "comparison": comparison}
        title += f" against {file_name(Path(base).name)}"
    beside = folder / "claims.csv"
    if claims is not None:
        verdicts = _claims(claims)
    elif path != STDOUT and beside.is_file() and os.path.realpath(path) != os.path.realpath(beside):
        verdicts, of_claims = _claims_beside(str(beside))
        remarks = [*remarks, *of_claims]
    else:
        verdicts = ()
    needed = {entry.text("env_id") for entry in entries}
    return Contents(
        f"deploykit: {title}",
        entries,
        folder,
        {name: one for name, one in _machines(folder, path, entries).items() if name in needed},
        claims=verdicts,
        layers=_layers(layers),
        remarks=remarks,
        **contents,
    )


def _profile(path: str, folder: Path) -> tuple[list[Entry], list[str]]:
    """The rows of a profile, and what a reader should know of its columns.

    Raises:
        UsageError: it can't be read.
    """
    rows, table = read_report(path)
    missing = tuple(name for name in table.missing if name in _JUDGED)
    remark = replace(table, missing=missing).remark
    return entries_of(rows, path, folder), [remark] if remark else []


def of_rows(
    rows: Sequence[Mapping[str, Any]],
    title: str,
    folder: Path,
    machines: Mapping[str, Any],
    *,
    remarks: Sequence[str] = (),
    candidates: Candidates | None = None,
) -> Contents:
    """The contents of a page of rows that are at hand.

    Args:
        rows: of a profile.
        title: of the page.
        folder: that paths of samples start from.
        machines: records as in env.json, by env_id.
        remarks: what a reader should know first.
        candidates: what a tuning tried.

    Raises:
        UsageError: a row is of a simulated device.
    """
    entries = entries_of(rows, "the report", folder)
    return Contents(title, entries, folder, machines, candidates=candidates, remarks=remarks)


def _machines(
    folder: Path, path: str, entries: Sequence[Entry] = ()
) -> dict[str, Mapping[str, Any]]:
    """The records of env.json beside a report, or among its samples, by env_id; what can't be read is left out."""
    places = [folder / "env.json"]
    if path != STDOUT:
        places.append(folder / f"{Path(path).stem}-samples" / "env.json")
    # Samples may lie in a folder of another name: --samples names it, and reports are renamed.
    kept = {str(Path(entry.text("samples")).parent) for entry in entries if entry.text("samples")}
    places += [folder / place / "env.json" for place in sorted(kept)]
    found: dict[str, Mapping[str, Any]] = {}
    for place in places:
        try:
            records = codec.read_json(place, dict[str, Any])
        except (OSError, ValueError):
            continue
        for name, record in records.items():
            # A record with ceilings tells more than one without.
            if isinstance(record, dict) and (record.get("ceilings") or name not in found):
                found[name] = record
    return found


def _kind_of(path: str) -> str:
    """Which kind of report a CSV is, by its header; standard input is a profile.

    Raises:
        UsageError: it can't be read, or is none of them.
    """
    if path == STDOUT:
        return PROFILE
    try:
        # What comes through a pipe comes once: it is for the reader of a profile.
        with (
            open_file(path) as stored,
            io.TextIOWrapper(stored, encoding="utf-8-sig", newline="") as file,
        ):
            header = set(next(csv.reader(file), []))
    except (OSError, UnicodeDecodeError, csv.Error):
        return PROFILE  # whose reader says what is wrong
    for kind, names in _KINDS.items():
        if names <= header:
            return kind
    raise UsageError(
        f"{path} is no report that a page is made of: name a CSV of `deploykit profile`, `tune`, `claims` or "
        "`layers`"
    )


def _claims(path: str | None) -> Sequence[Mapping[str, Any]]:
    if path is None:
        return ()
    rows = read_cells(path, _KINDS[CLAIMS])
    if not rows:
        raise UsageError(f"{path} holds no verdicts: name a CSV of `deploykit claims`")
    return rows


def _claims_beside(path: str) -> tuple[Sequence[Mapping[str, Any]], list[str]]:
    """The verdicts of a file that nobody named; one that can't be read may be another program's, and is told."""
    try:
        return _claims(path), []
    except UsageError as error:
        return (), [f"{path}, which nobody named, is left out: {error}"]


def _layers(paths: Sequence[str]) -> list[tuple[str, Sequence[Mapping[str, Any]]]]:
    sheets: list[tuple[str, Sequence[Mapping[str, Any]]]] = []
    for path in paths:
        rows = read_cells(path, _KINDS[LAYERS])
        if not rows:
            raise UsageError(f"{path} holds no layers: name a CSV of `deploykit layers`")
        sheets.append((file_name(Path(path).name), rows))
    return sheets
