"""What people see of results: tables and JSON on stdout, what to know of them on stderr."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from deploykit.cli import log, progress, tables
from deploykit.cli.library import artifacts, env, workflow
from deploykit.cli.outputs import Outputs
from deploykit.columns import NAMES
from deploykit.figures import plainly
from deploykit.lazy import rich
from deploykit.report import SIMULATED, refuse_simulated
from deploykit.report.conclusions import conclusions
from deploykit.report.states import doubts, state
from deploykit.report.views import CONFIGURATION, Field, arrange, label, latency
from deploykit.report.views import text as text_cell
from deploykit.row import WEIGHTY, Row
from deploykit.text import printable, shown, write_line

if TYPE_CHECKING:
    from deploykit.workflow.choices import EngineChoice

#: What a terminal acts on or turns round, beside what JSON escapes by itself.
_CONTROL = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
#: What a paragraph is wrapped to on a pipe.
_PARAGRAPH_WIDTH = 100
#: A pipe has no width; this one lets every table stand unbroken.
_PIPE_WIDTH = 200
#: Sentences that a command ends with at most.
MAX_CONCLUSIONS = 12


def print_table(
    header: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = (), title: str = ""
) -> None:
    """A table on stdout, in the terminal's width; the heading bold where stdout is one."""
    head = [printable(heading) for heading in header]
    cells = [[printable(cell) for cell in row] for row in rows]
    lines = tables.layout(head, cells, set(right), _width())
    _print([title] if title else [], lines)


def print_fields(
    fields: Sequence[Field], rows: Sequence[Mapping[str, Any]], title: str = ""
) -> None:
    """A view of report rows as a table, with what they have in common above it.

    Columns in which no row says anything are left out, then, where the terminal is too narrow, those that
    matter least; below the table stands which. Where what tells the rows apart and the main results have no room,
    intervals stand below their numbers; where that is not enough, each row is a paragraph with all that it says.
    """
    view, room = arrange(fields, rows), _width()
    if not view.fields:
        return
    staying = [f for f in view.fields if not f.rank]
    below = _columns(staying, rows, room, intervals_below=False) is None
    shown = _fitting(view.fields, rows, room, intervals_below=below)
    columns = _columns(shown, rows, room, intervals_below=below)
    hidden = [f.heading for f in view.fields if f not in shown]
    if columns is None:
        hidden = []
        lines = tables.stacked(*_named(view.fields, rows), room)
    else:
        lines = tables.lines(*_texts(shown, rows), columns, _right(shown))
    above = [title] if title else []
    if view.above:
        above += tables.wrap(f"In all rows: {', '.join(map(printable, view.above))}", room)
    _print(above, lines)
    if hidden:
        print_text(f"Not shown in {room} columns: {', '.join(hidden)}")
    mark_simulated(rows)


def _fitting(
    fields: Sequence[Field],
    rows: Sequence[Mapping[str, Any]],
    room: int,
    *,
    intervals_below: bool,
) -> list[Field]:
    """The columns that stay, and of the others those that have room, what matters most first."""
    shown = [f for f in fields if not f.rank]
    for one in sorted((f for f in fields if f.rank), key=lambda f: f.rank):
        more = [f for f in fields if f in shown or f is one]
        if _columns(more, rows, room, intervals_below=intervals_below) is not None:
            shown = more
    return shown


def _columns(
    fields: Sequence[Field],
    rows: Sequence[Mapping[str, Any]],
    room: int,
    *,
    intervals_below: bool,
) -> list[int] | None:
    """How wide each column is: what tells rows apart, or could be left out, stays whole. None where none fits."""
    whole = {i for i, f in enumerate(fields) if f.apart or f.rank}
    return tables.widths(
        *_texts(fields, rows), _right(fields), room, whole, intervals_below=intervals_below
    )


def _right(fields: Sequence[Field]) -> set[int]:
    return {i for i, f in enumerate(fields) if f.number}


def _texts(
    fields: Sequence[Field], rows: Sequence[Mapping[str, Any]]
) -> tuple[list[str], list[list[str]]]:
    return [f.heading for f in fields], [[printable(f.text(row)) for f in fields] for row in rows]


def _named(
    fields: Sequence[Field], rows: Sequence[Mapping[str, Any]]
) -> tuple[list[str], list[list[str]]]:
    """The same with all that tells rows apart in the first cell, where rows are paragraphs."""
    apart = [f for f in fields if f is fields[0] or f.apart]
    others = [f for f in fields if f not in apart]
    header, cells = _texts(others, rows)
    names = [
        " ".join(filter(None, (_said(f, printable(f.text(row))) for f in apart))) for row in rows
    ]
    return ["", *header], [[name, *texts] for name, texts in zip(names, cells, strict=True)]


def _said(field: Field, text: str) -> str:
    """A cell in a name: with its heading where the text alone is a number, and nothing where it is usual."""
    if text == "–" or text in field.usual:
        return ""
    return f"{field.heading} {text}" if field.number else text


def _print(above: Sequence[str], lines: Sequence[str]) -> None:
    """Lines on stdout, those above a table and its heading bold where that is a terminal."""
    sys.stdout.writelines(f"{printable(line)}\n" for line in above)
    bold = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    ruled = next((i for i, line in enumerate(lines) if line.startswith("─")), 0)
    sys.stdout.writelines(
        f"\x1b[1m{line}\x1b[0m\n" if bold and i < ruled else f"{line}\n"
        for i, line in enumerate(lines)
    )


def mark_simulated(rows: Iterable[Mapping[str, Any]]) -> None:
    """Say on stderr of figures on stdout that they are no measurements, where the device of rows only plays one."""
    for device in dict.fromkeys(str(row.get("device") or "") for row in rows):
        if SIMULATED in device:
            print_remark(f"{device}: the device is simulated, these figures are no measurements")


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
        print_profile(fields, rows)
    print_notes([row for row in rows if row["status"] != "ok"] if quiet else rows)
    if outputs.table and not outputs.json:
        print_conclusions(rows)


def print_profile(fields: Sequence[Field], rows: Sequence[Row]) -> None:
    """The rows that were measured or failed as a table, what makes them doubtful, and how many were skipped."""
    shown = [row for row in rows if row["status"] != "skipped"] or list(rows)
    print_fields(fields, shown)
    print_doubts(shown)
    if len(shown) < len(rows):
        left = len(rows) - len(shown)
        print_text(
            f"{left} of {len(rows)} rows {'were' if left > 1 else 'was'} skipped and not shown: stderr and the CSV "
            "say why"
        )


def print_plan(
    wanted: Sequence[workflow.configuration.Configuration],
    options: workflow.configuration.ProfileOptions,
    store: artifacts.Store,
    outputs: Outputs,
) -> int:
    """What a profile would measure, and how long that takes; nothing is done for it. The exit code is 0."""
    least_s = workflow.duration.least_s(wanted, options, store.root, measure=False)
    rows = f"{len(wanted)} row{'s' * (len(wanted) != 1)}"
    # How long a run takes is known by what the machine can do at best, if at all.
    about = "about" if options.policy.iterations is None else "at least"
    time = f"measuring takes {about} {progress.duration(least_s)}, building aside"
    return print_configurations(wanted, options.build, outputs, f"{rows}; {time}")


def print_configurations(
    wanted: Sequence[workflow.configuration.Configuration],
    build: EngineChoice,
    outputs: Outputs,
    sentence: str,
) -> int:
    """What would be built or measured, and a sentence about it, without doing it. The exit code is 0."""
    return print_planned(CONFIGURATION, planned_cells(wanted, build), outputs, sentence)


def planned_cells(
    wanted: Sequence[workflow.configuration.Configuration], build: EngineChoice
) -> list[dict[str, Any]]:
    """What names each row that is to be; threads that nobody gave are those that it will have."""
    cores = max(1, int(env.usable_cores()))
    found = [workflow.rows.configuration_cells(one, build, "") for one in wanted]
    for cells in found:
        if cells["threads"] is None and cells["target"] == "cpu":
            cells["threads"] = cores
    return found


def _replaced(row: Mapping[str, Any]) -> str:
    return "is replaced" if row.get("replaces") else ""


#: The columns of a plan that say where something goes, and whether a file is there already.
FILE = (
    Field("file", text_cell("file"), number=False, name="file"),
    Field("", _replaced, number=False, name="replaces"),
)


def print_planned(
    fields: Sequence[Field], rows: Sequence[Mapping[str, Any]], outputs: Outputs, sentence: str
) -> int:
    """What --dry-run prints: a row for each thing that would be done, or the same as JSON. The exit code is 0."""
    if outputs.json:
        print_json([{one.name: row.get(one.name) for one in fields} for row in rows])
        return 0
    print_fields(fields, rows)
    print_text(f"{sentence}. Nothing was done.")
    return 0


def print_conclusions(
    rows: Sequence[Mapping[str, Any]], whole: str = "--markdown FILE has all"
) -> None:
    """What was found, in sentences, as far as the rows allow; the first of many, with where the `whole` is."""
    found = conclusions(rows)
    if found:
        sys.stdout.write("\n")
    for line in found[:MAX_CONCLUSIONS]:
        print_text(line)
    if len(found) > MAX_CONCLUSIONS:
        print_text(f"{len(found) - MAX_CONCLUSIONS} more: {whole}")


def row_line(row: Mapping[str, Any]) -> str:
    """A finished row in a line of progress: what it is, its latency, its state."""
    name = " ".join([label(row), str(row.get("precision")), str(row.get("backend"))])
    threads = row.get("threads")
    apart = [f"{threads} thread{'s' * (threads != 1)}"] if threads not in (None, "") else []
    apart += [f"batch {row['batch']}"] if row.get("batch") not in (None, "", 1) else []
    time = latency(row)
    shown = [f"{time} ms"] if time != "–" else []
    return f"{', '.join([name, *apart])}: {', '.join([*shown, state(row)])}"


def print_text(text: str) -> None:
    """A sentence on stdout, wrapped to the terminal's width."""
    sys.stdout.writelines(f"{line}\n" for line in tables.wrap(printable(text), _width()))


def print_answer(text: str, *, err: bool = False) -> None:
    """An answer in a sentence, which is one line for programs and wrapped on a terminal."""
    if err:
        print_remark(text)
    elif sys.stdout.isatty():
        print_text(text)
    else:
        write_line(printable(text))


def print_doubts(rows: Sequence[Mapping[str, Any]]) -> None:
    """Why numbers of a table are marked, below it: a line for each cause."""
    for line in doubts(rows):
        print_text(line)


def print_verdict(
    name: str, statement: str, verdict: str, stated: str, computed: str, why: str
) -> None:
    """A verdict on a claim as a paragraph on stdout: explanations are too long for a table."""
    colours = {"confirmed": "green", "refuted": "red", "in context": "yellow", "cited": "cyan"}
    has_width = sys.stdout.isatty() or "COLUMNS" in os.environ
    width = _width() if has_width else _PARAGRAPH_WIDTH
    console = rich.console.Console(highlight=False, width=width)
    head = rich.text.Text.assemble(
        (verdict, f"bold {colours.get(verdict, 'magenta')}"), f"  {shown(name)}"
    )
    console.print(head)
    said = shown(statement)
    said += "" if said.endswith((".", "!", "?")) else "."
    for line in (said, f"stated {stated}, found {computed}", why):
        text = rich.text.Text(plainly(printable(" ".join(line.split()))))
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
        weighty = row["status"] == "ok" and not log.verbose()
        notes = row.noted(*WEIGHTY) if weighty else row.notes
        reason = "; ".join(map(str, notes))
        if reason:
            name = printable(f"{label(row)} {row['precision']} {row['backend']}")
            worth = "" if row["status"] == "ok" else f"{row['status']}: "
            concerned.setdefault(printable(f"{worth}{reason}"), []).append(name)
    for reason, names in concerned.items():
        shown = names if len(names) <= 3 else [*names[:2], f"{len(names) - 2} more"]
        print_remark(f"{', '.join(shown)}: {reason}")


def print_remark(text: str) -> None:
    """A sentence on stderr, below what stdout has so far; wrapped where that is a terminal."""
    said = printable(text)
    lines = [said]
    if sys.stderr.isatty():
        lines = tables.wrap(said, shutil.get_terminal_size().columns)
    for line in lines:
        write_line(line, err=True)


def print_json(value: Any) -> None:
    """A value as JSON on stdout; what JSON has no number for becomes text ("inf") or null (not a number)."""
    # A stream that is not UTF-8 gets JSON's own escapes, which its readers understand.
    ascii_only = not (sys.stdout.encoding or "ascii").lower().replace("-", "").startswith("utf8")
    text = json.dumps(
        _finite(value), indent=2, default=str, ensure_ascii=ascii_only, allow_nan=False
    )
    # JSON lets the control characters from U+007F on stand as they are; a terminal acts on them.
    sys.stdout.write(_CONTROL.sub(lambda one: f"\\u{ord(one[0]):04x}", text) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
