"""Reports as CSV: written whole after each row, so that what is finished is never lost."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from deploykit.errors import UsageError
from deploykit.report.schema import NAMES, Row, text_of
from deploykit.store import output_errors, write_atomic

STDOUT = "-"


def to_csv(rows: Iterable[Mapping[str, Any]], names: Sequence[str] = NAMES) -> str:
    """Rows as CSV text with a header; blanks where a row has no value."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([text_of(row.get(name)) for name in names] for row in rows)
    return text.getvalue()


def check_destination(path: str) -> None:
    """Refuse a path that can't take a report, before any work is done for it.

    Raises:
        UsageError: its folder is missing, or it is a folder itself.
        OutputFailed: the folder can't be written.
    """
    import tempfile

    if path == STDOUT:
        return
    place = Path(path)
    if place.is_dir():
        raise UsageError(f"{path} is a folder: name a file in it")
    if not place.parent.is_dir():
        raise UsageError(f"the folder {place.parent} of {path} does not exist: make it first")
    if not _is_stream(path):
        # Permissions alone don't tell: a file system can be read-only, or full to the last file.
        folder = place.resolve().parent
        with output_errors("report", place), tempfile.TemporaryFile(dir=folder):
            pass


def _is_stream(path: str) -> bool:
    """Whether rows go out one after the other, never to be replaced: stdout, a pipe, a device."""
    place = Path(path)
    return path == STDOUT or (place.exists() and not place.is_file())


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
        self.stream = _is_stream(path)
        self.rows: list[Row] = []

    def replace(self, rows: Iterable[Row]) -> None:
        """Take all rows so far, in an order of their own, and write them to the file."""
        self.rows = list(rows)
        write_atomic(Path(self.path), to_csv(self.rows, self.names), "report")

    def add(self, row: Row) -> None:
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
