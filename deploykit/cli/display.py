"""What people see of results: tables and JSON on stdout, what to know of them on stderr."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from deploykit.cli.outputs import Outputs
from deploykit.columns import NAMES
from deploykit.lazy import rich
from deploykit.report import SIMULATED, refuse_simulated
from deploykit.report.views import Field, label
from deploykit.row import WEIGHTY, Row
from deploykit.text import printable

#: A pipe has no width; this one lets every table stand unbroken.
_PIPE_WIDTH = 200
#: Columns that a table's box puts between two cells.
_GAP = 3
#: Names (in the first column) and words (elsewhere) up to these lengths are not broken.
_WHOLE_NAME, _WHOLE_WORD = 32, 12


def print_table(
    header: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = (), title: str = ""
) -> None:
    """A table on stdout, in the terminal's width; plain where stdout is no terminal."""
    console = rich.console.Console(width=_width(), highlight=False)
    table = rich.table.Table(
        box=rich.box.SIMPLE_HEAD,
        title=_plain(title) if title else None,
        title_justify="left",
        pad_edge=False,
    )
    aligned, cells = set(right), [list(row) for row in rows]
    columns = [[heading, *(row[i] for row in cells)] for i, heading in enumerate(header)]
    words = [
        max((len(w) for cell in column for w in cell.split()), default=0) for column in columns
    ]
    widths = [max(map(len, column)) for column in columns]
    # What the columns need beside the first one at least: where little is left, names are broken, too.
    rest = sum(
        _GAP + (widths[i] if i in aligned else min(words[i], _WHOLE_WORD))
        for i in range(1, len(columns))
    )
    for index, heading in enumerate(header):
        word = words[index]
        whole = widths[0] <= _WHOLE_NAME and widths[0] + rest <= console.width
        name = index == 0 and whole
        number = index in aligned and min(words[0], _WHOLE_WORD) + rest <= console.width
        table.add_column(
            heading,
            justify="right" if index in aligned else "left",
            # Names and words stay whole, paths and sentences give way; no column vanishes.
            no_wrap=name or number,
            min_width=min(word, _WHOLE_WORD),
            overflow="fold",
        )
    for row in cells:
        table.add_row(*(_plain(cell) for cell in row))
    console.print(table)


def _plain(cell: str) -> str:
    """Square brackets are intervals here or stand in names, and are not rich's markup."""
    return rich.markup.escape(printable(cell))


def print_fields(
    fields: Sequence[Field], rows: Sequence[Mapping[str, Any]], title: str = ""
) -> None:
    """A view of report rows as a table.

    Columns in which no row says anything are left out, then, where the terminal is too narrow, those that
    matter least.
    """
    shown = [f for f in fields if f.tells(rows)]
    room = _width()
    while (least := max(shown, key=lambda f: f.rank, default=None)) is not None and least.rank:
        widths = [max(len(f.heading), *(len(f.text(row)) for row in rows)) for f in shown]
        if sum(widths) + _GAP * len(widths) <= room:
            break
        shown.remove(least)
    print_table(
        [f.heading for f in shown],
        [[f.text(row) for f in shown] for row in rows],
        [i for i, f in enumerate(shown) if f.number],
        title,
    )
    mark_simulated(rows)


def mark_simulated(rows: Iterable[Mapping[str, Any]]) -> None:
    """Say on stderr of figures on stdout that they are no measurements, where the device of rows only plays one."""
    for device in dict.fromkeys(str(row.get("device") or "") for row in rows):
        if SIMULATED in device:
            sys.stderr.write(
                f"{printable(device)}: the device is simulated, these figures are no measurements\n"
            )


def print_rows(
    fields: Sequence[Field], rows: Sequence[Row], outputs: Outputs, *, quiet: bool
) -> None:
    """Measured rows on stdout, as JSON or a table, unless the CSV goes there; what to know of them on stderr.

    Args:
        fields: columns of the table; JSON has all.
        rows: of a profile.
        outputs: what stdout is to take.
        quiet: say only why rows failed or were skipped: progress can be done without, a reason can't.
    """
    if outputs.json:
        for row in rows:
            refuse_simulated(row)
        print_json([{name: row.get(name) for name in NAMES} for row in rows])
    elif outputs.table:
        print_fields(fields, rows)
    print_notes([row for row in rows if row["status"] != "ok"] if quiet else rows)


def print_verdict(claim: str, verdict: str, stated: str, computed: str, why: str) -> None:
    """A verdict on a claim as a paragraph on stdout: explanations are too long for a table."""
    colours = {"confirmed": "green", "refuted": "red", "partly": "yellow"}
    console = rich.console.Console(highlight=False, width=None if sys.stdout.isatty() else 100)
    name, _, statement = claim.partition(": ")
    head = rich.text.Text.assemble(
        (verdict, f"bold {colours.get(verdict, 'magenta')}"), f"  {name}"
    )
    console.print(head)
    for line in (f"{statement}.", f"stated {stated}, found {computed}", why):
        text = rich.text.Text(line)
        console.print(rich.padding.Padding(text, (0, 0, 0, 2), expand=False))
    console.print()


def _width() -> int:
    """Columns of the terminal, or of a pipe; `$COLUMNS` overrides both, as is usual."""
    has_width = sys.stdout.isatty() or "COLUMNS" in os.environ
    return shutil.get_terminal_size().columns if has_width else _PIPE_WIDTH


def print_notes(rows: Sequence[Row]) -> None:
    """Why rows are not ok, and what to beware of in those that are, on stderr: once for each reason."""
    concerned: dict[str, list[str]] = {}
    for row in rows:
        # Of the notes on a row that is fine, only those that change what it means.
        notes = row.noted(*WEIGHTY) if row["status"] == "ok" else row.notes
        reason = "; ".join(map(str, notes))
        if reason:
            name = printable(f"{label(row)} {row['precision']} {row['backend']}")
            concerned.setdefault(printable(f"{row['status']}: {reason}"), []).append(name)
    for reason, names in concerned.items():
        shown = names if len(names) <= 3 else [*names[:2], f"{len(names) - 2} more"]
        sys.stderr.write(f"{', '.join(shown)}: {reason}\n")
    sys.stderr.writelines(f"{line}\n" for line in _doubts(rows))


def _doubts(rows: Sequence[Row]) -> list[str]:
    """What makes timings doubtful, a line for each cause: the table has no room for it."""
    seen: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for finding in row.findings or ():
            seen.setdefault((finding.name, finding.remedy), []).append(finding.seen)
    return [
        printable(
            f"{len(texts)} of {len(rows)} rows {'are' if len(texts) > 1 else 'is'} unstable: {name}: "
            f"{texts[0]}{', say' * (len(set(texts)) > 1)}; {remedy}"
        )
        for (name, remedy), texts in seen.items()
    ]


def print_json(value: Any) -> None:
    """A value as JSON on stdout; what JSON has no number for becomes text ("inf") or null (not a number)."""
    # A stream that is not UTF-8 gets JSON's own escapes, which its readers understand.
    ascii_only = not (sys.stdout.encoding or "ascii").lower().replace("-", "").startswith("utf8")
    text = json.dumps(
        _finite(value), indent=2, default=str, ensure_ascii=ascii_only, allow_nan=False
    )
    sys.stdout.write(text + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
