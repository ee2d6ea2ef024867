"""Reading a profile's CSV back: the columns that are needed, row after row, every fault in one line."""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TextIO

from deploykit.errors import UsageError
from deploykit.report.csvfile import STDOUT
from deploykit.report.schema import NAMES, SCHEMA_VERSION

#: Columns that version 1 of the schema did not have from its first day; a report without them has blanks there.
ADDED = NAMES[NAMES.index("calibration") :]
STATUSES = frozenset({"ok", "failed", "skipped"})
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
        return f"{self.path} {'; '.join(parts)}" if parts else ""


@contextmanager
def open_table(path: str, names: Sequence[str]) -> Iterator[Table]:
    """Open a report for reading; `-` is standard input. Faults are found as the rows are read.

    Args:
        path: of the file.
        names: the columns wanted, two or more; "schema" and "status" are checked in any case.

    Raises:
        UsageError: the file can't be read, is empty, is no CSV, lacks columns, or has another schema; or
            a row is cut off or has an unknown status.
    """
    source = "standard input" if path == STDOUT else path
    try:
        if path == STDOUT:
            yield _table(sys.stdin, source, names)
        else:
            # What spreadsheets put before the first column, a byte order mark, is not part of its name.
            with Path(path).open(newline="", encoding="utf-8-sig") as file:
                yield _table(file, source, names)
    except UnicodeDecodeError as error:
        raise UsageError(f"{source} is not text in UTF-8: {_HINT}") from error
    except csv.Error as error:
        raise UsageError(f"{source} is not a CSV ({error}): {_HINT}") from error
    except OSError as error:
        if error.filename != path:
            raise
        raise UsageError(f"can't read {source}: {error.strerror}; {_HINT}") from error


def _table(file: TextIO, source: str, names: Sequence[str]) -> Table:
    reader = csv.reader(file)
    header = next(reader, [])
    if not header:
        raise UsageError(f"{source} is empty: {_HINT}")
    places = {name: place for place, name in enumerate(header)}
    if len(places) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise UsageError(f"{source} has the column {twice!r} twice: {_HINT}")
    wanted = ("schema", "status", *names)
    lacking = [name for name in wanted if name not in places]
    needed = [name for name in lacking if name not in ADDED]
    if needed:
        shown = ", ".join(needed[:4]) + (f" and {len(needed) - 4} more" if needed[4:] else "")
        raise UsageError(f"{source} has no column {shown}: {_HINT}")
    # A cell added at the end of each row is what a column that the file lacks reads as.
    found = [places.get(name, len(header)) for name in wanted]
    rows = _rows(reader, source, len(header), found)
    known = frozenset(NAMES)
    return Table(source, rows, tuple(lacking), tuple(n for n in header if n not in known))


def _rows(
    reader: Iterator[list[str]], source: str, width: int, places: Sequence[int]
) -> Iterator[tuple[int, tuple[str, ...]]]:
    schema, status, *wanted = places
    pick = itemgetter(*wanted)
    version, found = str(SCHEMA_VERSION), False
    for cells in reader:
        line = reader.line_num  # type: ignore[attr-defined]
        if not cells:
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
        if cells[status] not in STATUSES:
            raise UsageError(
                f"{source}, line {line}: status {cells[status]!r} is none of ok, failed and skipped"
            )
        found = True
        cells.append("")
        yield line, pick(cells)
    if not found:
        raise UsageError(f"{source} has a header but no rows: {_HINT}")


def positive(text: str, name: str, source: str, line: int) -> float | None:
    """A cell that holds a positive number or nothing.

    Raises:
        UsageError: something else stands there, such as a negative latency or nan.
    """
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise UsageError(f"{source}, line {line}: {name} is {text}: it must be a positive number")
    return value


def share(text: str, name: str, source: str, line: int) -> float | None:
    """A cell that holds a fraction from 0 to 1 or nothing.

    Raises:
        UsageError: something else stands there.
    """
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise UsageError(f"{source}, line {line}: {name} is {text}: it must be from 0 to 1")
    return value
