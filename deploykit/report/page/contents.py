"""What a page is made of: rows of one report or two, and what lies beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploykit.report.page.candidates_picture import Candidates
from deploykit.report.page.entry import Entry

if TYPE_CHECKING:
    from deploykit.report.compare import ReportComparison


@dataclass(frozen=True)
class Contents:
    """All that a page shows; what is empty is left out of it.

    Attributes:
        title: of the page.
        entries: rows of the report.
        folder: of the report, where its samples lie.
        machines: records of env.json by env_id.
        base: rows of the earlier report, and `base_folder` where it lies.
        comparison: how the two differ.
        claims: rows of a claims.csv.
        layers: rows of layers by the name of what was looked at, one engine or two.
        candidates: what a tuning tried.
        remarks: what a reader should know of the files.
    """

    title: str
    entries: Sequence[Entry] = ()
    folder: Path = Path()
    machines: Mapping[str, Any] = field(default_factory=dict)
    base: Sequence[Entry] = ()
    base_folder: Path = Path()
    comparison: ReportComparison | None = None
    claims: Sequence[Mapping[str, Any]] = ()
    layers: Sequence[tuple[str, Sequence[Mapping[str, Any]]]] = ()
    candidates: Candidates | None = None
    remarks: Sequence[str] = ()
