"""The documents of a command, written to where its outputs say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import click

from deploykit.cli.outputs import Outputs
from deploykit.columns import NAMES
from deploykit.report import STDOUT
from deploykit.report.csv import CsvReport, check_destination
from deploykit.writing import write_atomic


def check_documents(outputs: Outputs) -> None:
    """Refuse, before any work is done, paths that can't take a document.

    Raises:
        UsageError, OutputFailed: as `check_destination`.
    """
    for path in (outputs.csv, outputs.markdown, outputs.junit):
        if path is not None:
            check_destination(path)


def write_documents(outputs: Outputs, **documents: Callable[[], str]) -> None:
    """Write each document that is asked for; `csv=lambda: text` makes the text of that one.

    Raises:
        OutputFailed: a file can't be written.
    """
    for name, text in documents.items():
        path = getattr(outputs, name)
        if path == STDOUT:
            click.echo(text(), nl=False)
        elif path is not None:
            write_atomic(Path(path), text(), "report")


def csv_report(outputs: Outputs, names: Sequence[str] = NAMES) -> CsvReport | None:
    """The CSV that grows row by row, or None where none is asked for.

    Raises:
        UsageError, OutputFailed: its path can't take it.
    """
    return CsvReport(outputs.csv, names) if outputs.csv is not None else None
