"""A row of a profile: typed values by column, with notes and findings that code can ask for by kind.

Rows are made by `workflow`, judged by `claims`, shown and written by `report`. Notes and findings become text
where a row meets people or a CSV, in the columns `reason` and `stability`. Standard library only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deploykit.columns import BY_NAME, FLOAT, INT, NAMES, TEXT

#: The finding of a row whose requests arrived faster than they were served.
OVERLOAD = "overload"
#: What a note can be about. Code asks for a note's kind, never for words in its text.
KINDS = (
    "failed",  # why the row has no measurement
    "missing",  # why a column is blank
    "unjudged",  # why there is no accuracy though the weights were trained on data with labels
    "learned",  # that images which the network learned may be among those that judge it
    "stability",  # what makes the timing doubtful
    "emulated",  # a precision that the runtime computes in another type
    "drift",  # outputs that are far from the reference's
    "rounding",  # values that the precision lost
    "kept",  # layers that stay in float32, and why
    "slower",  # a lower precision that is slower than float32, and where
    "roofline",  # what the ceilings say of the row
    "load",  # streams, rates and threads against the machine's cores
    "inputs",  # what was taken for what a file leaves open of its inputs
    "options",  # which options the row's backend has no use for
    "data",  # what the images or their labels lack
    "runtime",  # what the runtime itself reported
    "counted",  # what the counts of the network suppose
    "compared",  # how the row fared against the one that it was measured in turns with
    "stored",  # all that a stored report says of the row, in one text
)
#: Kinds that change what an otherwise good row means: people are told of them at once.
WEIGHTY = ("emulated", "unjudged", "learned", "slower", "inputs", "options", "drift")
STATUSES = ("ok", "failed", "skipped")

#: Columns that are rendered from a row's notes and findings.
_RENDERED = ("reason", "stability")
STABLE, _UNSTABLE = "stable", "unstable: "


def text_of(value: Any) -> str:
    """A cell: blank for None, six significant digits for fractions, one line for text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return "" if value != value else f"{value:.6g}"
    return " ".join(str(value).split())


@dataclass(frozen=True)
class Note:
    """One thing to know of a row.

    Attributes:
        kind: one of `KINDS`.
        text: a whole statement, without a full stop.
        remedy: what to do about it, as a command or an option; empty where nothing can be done.
    """

    kind: str
    text: str
    remedy: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"a note can't be of kind {self.kind!r}: one of {', '.join(KINDS)}")

    def __str__(self) -> str:
        return f"{self.text}: {self.remedy}" if self.remedy else self.text


@dataclass(frozen=True)
class Finding:
    """One cause for doubt in a timing: a name to filter by, what was seen, and what helps."""

    name: str
    seen: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.name}: {self.seen}; {self.remedy}"


def stability_text(findings: Sequence[Finding]) -> str:
    """The cell of the `stability` column of a timed row: "stable", or "unstable" with each finding."""
    return _UNSTABLE + " | ".join(map(str, findings)) if findings else STABLE


def findings_in(cell: str) -> tuple[Finding, ...] | None:
    """The findings that `stability_text` wrote; of a text by another hand, one that quotes it."""
    if not cell:
        return None
    if cell == STABLE:
        return ()
    findings = []
    for part in cell.removeprefix(_UNSTABLE).split(" | "):
        name, _, rest = part.partition(": ")
        seen, _, remedy = rest.partition("; ")
        findings.append(Finding(name or "stability", seen or part, remedy))
    return tuple(findings)


@dataclass(frozen=True, eq=True)
class Row(Mapping[str, Any]):
    """What one process measured of one configuration; as a mapping, the profile's columns.

    A column that was not measured is None and not among the keys. `reason` and `stability` are rendered from the
    notes and findings.

    Attributes:
        cells: values by column; None is dropped.
        notes: what to know of the row, in the order in which people should read it.
        findings: what makes its timing doubtful; None where nothing was timed.
        exit_code: what a command ends with for this row's sake: not 0 where it failed.

    Raises:
        ValueError: there is no such column, or it is a rendered one.
        TypeError: a value is not of its column's type. Both are errors of the program.
    """

    cells: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    findings: tuple[Finding, ...] | None = None
    exit_code: int = 0

    def __post_init__(self) -> None:
        known = {name: v for name, v in self.cells.items() if v is not None}
        for name, value in known.items():
            _check(name, value)
        if known.get("status", "ok") not in STATUSES:
            raise ValueError(f"a row's status can't be {known['status']!r}")
        object.__setattr__(self, "cells", known)

    def __getitem__(self, name: str) -> Any:
        if name == "reason":
            return "; ".join(map(str, self.notes)) or None
        if name == "stability":
            return None if self.findings is None else stability_text(self.findings)
        if name not in BY_NAME:
            raise KeyError(name)
        return self.cells.get(name)

    def __iter__(self) -> Iterator[str]:
        return (name for name in NAMES if self[name] is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return name in BY_NAME and self[str(name)] is not None

    def plus(
        self,
        values: Mapping[str, Any] | None = None,
        notes: Sequence[Note] = (),
        *,
        findings: tuple[Finding, ...] | None = None,
        exit_code: int | None = None,
    ) -> Row:
        """The row with more values and notes; what is given replaces what was there, notes are added."""
        return Row(
            {**self.cells, **(values or {})},
            (*self.notes, *notes),
            self.findings if findings is None else findings,
            self.exit_code if exit_code is None else exit_code,
        )

    def noted(self, *kinds: str) -> tuple[Note, ...]:
        """The notes of these kinds."""
        return tuple(note for note in self.notes if note.kind in kinds)


def _check(name: str, value: Any) -> None:
    column = BY_NAME.get(name)
    if column is None or name in _RENDERED:
        raise ValueError(f"a row takes no value for {name!r}")
    fits = {
        TEXT: isinstance(value, str),
        INT: isinstance(value, int) and not isinstance(value, bool),
        FLOAT: isinstance(value, int | float) and not isinstance(value, bool),
    }[column.kind]
    if not fits:
        raise TypeError(f"{name} holds {column.kind}, not {value!r}")


def emulated(row: Mapping[str, Any]) -> bool:
    """Whether nothing of a row computes in the precision that was asked for, as its columns tell.

    What multiplies nothing is emulated in nothing, and of products that nobody traced it is not known.
    """
    actual = row["precision_actual"]
    traced = bool(actual) and actual not in ("none", "unknown")
    return traced and row["precision"] not in ("", "as-is", *actual.split("+"))


def overloaded(row: Mapping[str, Any]) -> bool:
    """Whether requests arrived faster than they were served: latencies then tell how long was measured."""
    findings = findings_in(str(row.get("stability") or ""))
    return any(finding.name == OVERLOAD for finding in findings or ())
