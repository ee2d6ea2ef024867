"""Reports as CSV: written whole after each row, so that what is finished is never lost; read back in one way.

Text becomes values here and nowhere else: `read_rows` gives typed rows, `open_table` the few columns that a
command judges by, fast enough for 100,000 rows, and `read_cells` the cells of any CSV of this package.
"""

from __future__ import annotations

import csv
import io
import math
import os
import re
import stat
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, TextIO

from deploykit.columns import BY_NAME, COLUMNS, FLOAT, INT, NAMES, NOTE, SCHEMA_VERSION
from deploykit.errors import UsageError
from deploykit.lazy import pd
from deploykit.reading import open_file
from deploykit.report import SIMULATED, STDOUT, refuse_simulated, refuse_simulated_text
from deploykit.row import STATUSES, Note, Row, findings_in, text_of
from deploykit.text import printable
from deploykit.writing import led_to, output_errors, write_atomic


def to_csv(rows: Iterable[Mapping[str, Any]], names: Sequence[str] = NAMES) -> str:
    """Rows as CSV text with a header; blanks where a row has no value.

    Raises:
        UsageError: a row is of a simulated device.
    """
    rows = list(rows)
    for row in rows:
        refuse_simulated(row)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_cell(row.get(name)) for name in names] for row in rows)
    return text.getvalue()


#: What spreadsheets compute instead of showing it.
_FORMULA = re.compile(r"'*[=+\-@]")


def _cell(value: Any) -> str:
    """A printable text; what a spreadsheet would take for a formula has an apostrophe before it, which it hides."""
    text = printable(text_of(value))
    if not isinstance(value, str) or not _FORMULA.match(text):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def _plain(cell: str) -> str:
    """A cell without the apostrophe of `_cell`."""
    return cell[1:] if cell[:1] == "'" and _FORMULA.match(cell) else cell


def check_destination(path: str) -> None:
    """Refuse a path that can't take a report, before any work is done for it.

    Raises:
        UsageError: its folder is missing, or it is a folder itself.
        OutputFailed: the folder can't be written.
    """
    if path == STDOUT:
        return
    place = Path(path)
    if place.is_dir():
        raise UsageError(f"{path} is a folder: name a file in it")
    if not place.parent.is_dir():
        raise UsageError(f"the folder {place.parent} of {path} does not exist: make it first")
    if not is_stream(path):
        # Permissions alone don't tell: a file system can be read-only, or full to the last file.
        with output_errors("report", place), tempfile.TemporaryFile(dir=led_to(place).parent):
            pass


def keep_files(read: Iterable[str | None], written: Iterable[str]) -> None:
    """Refuse to write a document over a file that it is made of: what was measured is not to be had again.

    Raises:
        UsageError: a path that is written is one that is read.
    """
    kept = {os.path.realpath(path) for path in read if path is not None and path != STDOUT}
    for path in written:
        if path != STDOUT and not is_stream(path) and os.path.realpath(path) in kept:
            raise UsageError(
                f"{path} is read, and would be replaced by what is made of it: name another file"
            )


def is_stream(path: str) -> bool:
    """Whether rows go out one after the other, never to be replaced: stdout, a pipe, a device."""
    place = Path(path)
    return path == STDOUT or (place.exists() and not place.is_file())


def is_read_once(path: str) -> bool:
    """Whether what was read of a path is gone then: standard input, or a pipe as a shell's `<(command)` makes."""
    try:
        return path == STDOUT or stat.S_ISFIFO(Path(path).stat().st_mode)
    except (OSError, ValueError):
        return False  # its reader says what is wrong


class CsvReport:
    """A CSV that grows row by row, in a file or on standard output.

    The file is replaced as a whole after each row: whoever reads it, whenever the run ends, finds a header
    and finished rows.

    Args:
        path: of the file; "-" for standard output. A pipe or a device gets row after row as stdout does.
        names: the columns.
    """

    def __init__(self, path: str, names: Sequence[str] = NAMES) -> None:
        check_destination(path)
        self.path, self.names = path, names
        self.stream = is_stream(path)
        self.rows: list[Mapping[str, Any]] = []

    def replace(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take all rows so far, in an order of their own, and write them to the file."""
        self.rows = list(rows)
        write_atomic(Path(self.path), to_csv(self.rows, self.names), "report")

    def add(self, row: Mapping[str, Any]) -> None:
        """Take a finished row and write it out."""
        self.rows.append(row)
        if not self.stream:
            write_atomic(Path(self.path), to_csv(self.rows, self.names), "report")
            return
        text = to_csv([row], self.names)
        text = text if len(self.rows) == 1 else text.partition("\n")[2]
        if self.path == STDOUT:
            sys.stdout.write(text)
            sys.stdout.flush()
        else:
            write_atomic(Path(self.path), text, "report")


#: Columns that version 1 of the schema did not have from its first day; a report without them has blanks there.
ADDED = frozenset(column.name for column in COLUMNS if column.added)
_STATUSES = frozenset(STATUSES)
_HINT = "name a CSV of `deploykit profile`"


@dataclass(frozen=True)
class Table:
    """Rows of a report, reduced to the columns asked for.

    Attributes:
        path: of the file, as errors name it.
        rows: line number of the row's end, and the cells of the columns asked for, blanks as "".
        missing: columns asked for that the file lacks, read as blank.
        extra: columns of the file that no profile has, ignored.
    """

    path: str
    rows: Iterator[tuple[int, tuple[str, ...]]]
    missing: tuple[str, ...]
    extra: tuple[str, ...]

    @property
    def remark(self) -> str:
        """What a reader of results should know of the file, in one line; empty if nothing."""
        parts = []
        if self.missing:
            parts.append(f"has no column {', '.join(self.missing)}: taken as blank")
        if self.extra:
            parts.append(f"has extra columns, ignored: {', '.join(self.extra)}")
        return printable(f"{self.path} {'; '.join(parts)}") if parts else ""


@contextmanager
def open_table(path: str, names: Sequence[str], also: Sequence[str] = ()) -> Iterator[Table]:
    """Open a report for reading; `-` is standard input. Faults are found as the rows are read.

    Args:
        path: of the file.
        names: the columns wanted, two or more; "schema" and "status" are checked in any case.
        also: columns whose cells follow those, which the file may lack: they are blank then.

    Raises:
        UsageError: the file can't be read, is empty, is no CSV, lacks columns, or has another schema; or
            a row is cut off, has an unknown status or is of a simulated device.
    """
    with _opened(path) as (file, source):
        yield _table(file, source, names, also)


@contextmanager
def _opened(path: str) -> Iterator[tuple[TextIO, str]]:
    """A CSV for reading, and how errors name it; what goes wrong with it within is one line."""
    source = "standard input" if path == STDOUT else path
    try:
        if path == STDOUT:
            yield sys.stdin, source
        else:
            # What spreadsheets put before the first column, a byte order mark, is not part of its name.
            with (
                open_file(path, pipe=True) as stored,
                io.TextIOWrapper(stored, encoding="utf-8-sig", newline="") as file,
            ):
                yield file, source
    except UnicodeDecodeError as error:
        raise UsageError(f"{source} is not text in UTF-8: {_HINT}") from error
    except csv.Error as error:
        raise UsageError(f"{source} is not a CSV ({error}): {_HINT}") from error
    except OSError as error:
        if error.filename != path:
            raise
        raise UsageError(f"can't read {source}: {error.strerror}; {_HINT}") from error


def read_cells(path: str | Path, needed: Collection[str] = ()) -> list[dict[str, str]]:
    """The rows of any CSV of this package, cells as text, blanks as "".

    Args:
        path: of the file.
        needed: columns without which it is another kind of file, of which there are no rows.

    Raises:
        UsageError: it can't be read, or a row has not as many cells as the header or is of a simulated device.
    """
    with _opened(str(path)) as (file, source):
        reader = csv.reader(file)
        header = next(reader, [])
        rows: list[dict[str, str]] = []
        if not set(needed) <= set(header):
            return rows
        for cells in filter(None, reader):
            if len(cells) != len(header):
                raise UsageError(
                    f"{source}, line {reader.line_num}: {len(cells)} cells, the header has {len(header)}: "
                    "the file is damaged"
                )
            rows.append(dict(zip(header, map(_plain, cells), strict=True)))
            refuse_simulated(rows[-1], f"{source}, line {reader.line_num}")
        return rows


def read_rows(path: str, names: Sequence[str] = NAMES, also: Sequence[str] = ()) -> list[Row]:
    """The rows of a profile, with their values as what they are.

    Args:
        path: of the file; `-` is standard input.
        names: the columns that the file must have, but for those that were added later, which are blank.
        also: columns that it may lack.

    Raises:
        UsageError: as `open_table` says, or a cell holds another type than its column.
    """
    return read_report(path, names, also)[0]


def read_report(
    path: str, names: Sequence[str] = NAMES, also: Sequence[str] = ()
) -> tuple[list[Row], Table]:
    """The rows of a profile as `read_rows` gives them, and the table that they were read from, for its columns.

    Raises:
        UsageError: as `read_rows`.
    """
    wanted = ("status", *(name for name in names if name != "status"))
    others = tuple(name for name in also if name not in wanted)
    with open_table(path, wanted, others) as table:
        rows = [
            row_of(dict(zip((*wanted, *others), cells, strict=True)), f"{table.path}, line {line}")
            for line, cells in table.rows
        ]
    return rows, table


def row_of(cells: Mapping[str, Any], place: str = "a row") -> Row:
    """A row from cells, text or the numbers that a data frame made of them; other columns are left out.

    Raises:
        UsageError: a cell holds another type than its column, told with its place, or the row is of a simulated
            device.
    """
    refuse_simulated(cells, place)
    values = {
        name: _value(name, cell, place)
        for name, cell in cells.items()
        if name in BY_NAME and BY_NAME[name].role != NOTE and not _blank(cell)
    }
    reason, stability = (cells.get(name) for name in ("reason", "stability"))
    kind = "failed" if values.get("status") == "failed" else "stored"
    notes = () if _blank(reason) else (Note(kind, str(reason)),)
    return Row(values, notes, None if _blank(stability) else findings_in(str(stability)))


def rows_of(records: Any) -> list[Row] | None:
    """Rows from a data frame or from mappings in the profile's columns; None stays None.

    Raises:
        UsageError: a cell holds another type than its column, or a row is of a simulated device.
    """
    if records is None:
        return None
    if isinstance(records, pd.DataFrame):
        # Blanks of a data frame are NaN or NA, by its column's type.
        records = records.astype(object).where(records.notna(), None).to_dict("records")
    rows = [row if isinstance(row, Row) else row_of(row) for row in records]
    for row in rows:
        refuse_simulated(row)
    return rows


def _blank(cell: Any) -> bool:
    return cell is None or cell == "" or cell != cell


def _value(name: str, cell: Any, place: str) -> Any:
    kind = BY_NAME[name].kind
    try:
        if kind == FLOAT:
            fraction = float(cell)
            if math.isnan(fraction):  # a text, as a blank of a data frame is one already
                raise ValueError
            return fraction
        if kind == INT:
            number = float(cell)  # a data frame has no whole numbers beside blanks
            if not number.is_integer():
                raise ValueError
            return int(number)
    except (ValueError, OverflowError):
        what = "number" if kind == FLOAT else "whole number"
        raise UsageError(f"{place}: {name} is {cell}: it must be a {what}") from None
    return text_of(cell)


def _table(file: TextIO, source: str, names: Sequence[str], also: Sequence[str] = ()) -> Table:
    reader = csv.reader(file)
    header = next(reader, [])
    if not header:
        raise UsageError(f"{source} is empty: {_HINT}")
    # A spreadsheet may add columns without a name, as wide as what was once written in it.
    named = [name for name in header if name]
    places = {name: place for place, name in enumerate(header) if name}
    if len(places) < len(named):
        twice = next(name for name in named if named.count(name) > 1)
        raise UsageError(f"{source} has the column {twice!r} twice: {_HINT}")
    wanted = ("schema", "status", *names)
    lacking = [name for name in wanted if name not in places]
    needed = [name for name in lacking if name not in ADDED]
    if needed:
        _refuse_separator(header, source)
        needed = list(dict.fromkeys(needed))
        shown = ", ".join(needed[:4]) + (f" and {len(needed) - 4} more" if needed[4:] else "")
        raise UsageError(f"{source} has no column {shown}: {_HINT}")
    # A cell added at the end of each row is what a column that the file lacks reads as.
    wanted_places = [places.get(name, len(header)) for name in ("device", *wanted, *also)]
    rows = _rows(reader, source, len(header), wanted_places)
    known = frozenset(NAMES)
    return Table(source, rows, tuple(lacking), tuple(n for n in named if n not in known))


def _refuse_separator(header: Sequence[str], source: str) -> None:
    """Refuse a report that a spreadsheet saved in its own way, with numbers that it may have taken for others.

    Raises:
        UsageError: something else than commas stands between the columns.
    """
    for separator, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if "status" in (cell.strip('"') for cell in header[0].split(separator)):
            raise UsageError(
                f"{source} has {name} between its columns, as spreadsheets write them, which may have changed its "
                "numbers too: name the CSV as `deploykit profile` wrote it"
            )


def _rows(
    reader: Iterator[list[str]], source: str, width: int, places: Sequence[int]
) -> Iterator[tuple[int, tuple[str, ...]]]:
    device, schema, status, *wanted = places
    pick = itemgetter(*wanted)
    version, has_rows = str(SCHEMA_VERSION), False
    for cells in reader:
        line = reader.line_num  # type: ignore[attr-defined]
        if not cells or not (cells[0] or any(cells)):  # spreadsheets end with rows of blanks
            continue
        if len(cells) != width:
            raise UsageError(
                f"{source}, line {line}: {len(cells)} cells, the header has {width}: the file is damaged"
            )
        if cells[schema] != version:
            raise UsageError(
                f"{source}, line {line}: schema {cells[schema] or 'blank'}, this deploykit reads {version}: "
                "use the one that wrote it, or profile again"
            )
        if cells[status] not in _STATUSES:
            raise UsageError(
                f"{source}, line {line}: status {cells[status]!r} is none of ok, failed and skipped"
            )
        has_rows = True
        cells.append("")
        if SIMULATED in cells[device]:
            refuse_simulated_text(cells[device], f"{source}, line {line}")
        yield line, tuple(map(_plain, pick(cells)))
    if not has_rows:
        raise UsageError(f"{source} has a header but no rows: {_HINT}")


def positive(text: str, name: str, source: str, line: int) -> float | None:
    """A cell that holds a positive number or nothing.

    Raises:
        UsageError: something else stands there, such as a negative latency or nan.
    """
    return _number(text, f"{source}, line {line}: {name}", "a positive number", lambda v: v > 0)


def number(text: str, name: str, source: str, line: int) -> float | None:
    """A cell that holds a finite number, of either sign, or nothing.

    Raises:
        UsageError: something else stands there.
    """
    return _number(text, f"{source}, line {line}: {name}", "a finite number", lambda v: True)


def share(text: str, name: str, source: str, line: int) -> float | None:
    """A cell that holds a fraction from 0 to 1 or nothing.

    Raises:
        UsageError: something else stands there.
    """
    return _number(text, f"{source}, line {line}: {name}", "from 0 to 1", lambda v: 0 <= v <= 1)


def _number(text: str, place: str, must: str, fits: Callable[[float], bool]) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or not fits(value):
        raise UsageError(f"{place} is {text}: it must be {must}")
    return value
