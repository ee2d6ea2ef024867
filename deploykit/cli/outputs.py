"""Where a command's result is to go, to files and at most one thing to stdout; and the writing of files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deploykit.cli.library import artifacts, columns, page, report, workflow, writing
from deploykit.cli.options import Decorator, group
from deploykit.errors import UsageError
from deploykit.report import STDOUT
from deploykit.text import write_line

if TYPE_CHECKING:
    from deploykit.row import Row

#: Each destination that a command can offer: its option, its value's name, and the file to name for it instead.
_DESTINATIONS = {
    "file": (("-o", "--output"), "PATH", "a file for the graph"),
    "plot": (("--plot",), "FILE", "a file for the picture"),
    "csv": (("--csv",), "FILE", "a file for the CSV"),
    "markdown": (("--markdown",), "FILE", "a file for the Markdown"),
    "junit": (("--junit",), "FILE", "a file for the JUnit XML"),
    "html": (("--html",), "FILE", "a file for the page"),
}


@dataclass(frozen=True)
class Outputs:
    """What a command was asked to write, and where; "-" is stdout.

    Attributes:
        file: path of what the command makes, where that is a file.
        plot: path of its picture, which is never stdout.
        csv, markdown, junit, html: paths of documents about it; None where one is not asked for.
        json: whether stdout takes JSON instead of a table.
        step_summary: whether the Markdown is added to the file that `$GITHUB_STEP_SUMMARY` names.
    """

    file: str | None = None
    plot: str | None = None
    csv: str | None = None
    markdown: str | None = None
    junit: str | None = None
    html: str | None = None
    json: bool = False
    step_summary: bool = False

    @property
    def table(self) -> bool:
        """Whether stdout is free for what people read."""
        return not self.json and STDOUT not in (
            self.file,
            self.csv,
            self.markdown,
            self.junit,
            self.html,
        )


def output_options(**offered: str) -> Decorator:
    """Let a command write to the destinations that it offers, or print JSON; it receives them as `outputs`.

    Args:
        offered: the help of --output (`file`), --csv, --markdown, --junit and --html, of those that it has.
    """
    options = [
        click.option(*_DESTINATIONS[name][0], name, metavar=_DESTINATIONS[name][1], help=text)
        for name, text in offered.items()
    ]
    if "markdown" in offered:
        options.append(
            click.option(
                "--step-summary",
                is_flag=True,
                help="Add the Markdown to the page of a GitHub job, which $GITHUB_STEP_SUMMARY names.",
            )
        )
    options.append(
        click.option("--json", "json", is_flag=True, help="Print JSON instead of a table.")
    )

    @group("outputs", *options)
    def outputs(json: bool, step_summary: bool = False, **given: str | None) -> Outputs:
        paths = {name: path and report.destination(path) for name, path in given.items()}
        if list(paths.values()).count(STDOUT) + json > 1:
            raise _conflict(tuple(offered))
        named = [path for path in paths.values() if path and not report.csv.is_stream(path)]
        places = [os.path.realpath(path) for path in named]
        twice = next(
            (path for path, at in zip(named, places, strict=True) if places.count(at) > 1), None
        )
        if twice is not None:
            raise UsageError(f"{twice} is named for two documents: name a file for each")
        return Outputs(**paths, json=json, step_summary=step_summary)

    return outputs


def _conflict(offered: tuple[str, ...]) -> UsageError:
    """Two things would go to stdout: what a command offers, and what to do instead."""
    options = [f"{_DESTINATIONS[name][0][0]} -" for name in offered]
    instead = _DESTINATIONS[offered[0]][2] if len(offered) == 1 else "files for the rest"
    return UsageError(f"stdout takes one of {', '.join(options)} and --json: name {instead}")


def check_documents(outputs: Outputs, read: Iterable[str | None] = ()) -> None:
    """Refuse, before any work is done, paths that can't take a document.

    Args:
        outputs: of the command.
        read: paths of the files that the documents are made of, which none of them may replace.

    Raises:
        UsageError, OutputFailed: as `report.csv.check_destination` and `report.csv.keep_files`.
    """
    written = [
        path
        for path in (outputs.csv, outputs.markdown, outputs.junit, outputs.html)
        if path is not None
    ]
    report.csv.keep_files(read, written)
    for path in written:
        report.csv.check_destination(path)


def write_document(text: str) -> None:
    """Write a whole document to stdout: in UTF-8, whatever the terminal has."""
    click.echo(text, nl=False)


def write_documents(outputs: Outputs, **documents: Callable[[], str]) -> None:
    """Write each document that is asked for; `csv=lambda: text` makes the text of that one.

    Raises:
        OutputFailed: a file can't be written.
    """
    for name, text in documents.items():
        path = getattr(outputs, name)
        if path == STDOUT:
            write_document(text())
        elif path is not None:
            writing.write_atomic(Path(path), text(), "report")
        if name == "markdown" and outputs.step_summary:
            _add_to_step_summary(text())


def _add_to_step_summary(text: str) -> None:
    """Add to the page of a GitHub job; outside of one there is none, which is said.

    Raises:
        OutputFailed: the file can't be written.
    """
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        write_line(
            "note: $GITHUB_STEP_SUMMARY is not set, so --step-summary adds to nothing", err=True
        )
        return
    with (
        writing.output_errors("step summary"),
        open(path, "a", encoding="utf-8", opener=writing.open_stream) as file,
    ):
        file.write(f"{text}\n")


def csv_report(outputs: Outputs, names: Sequence[str] | None = None) -> report.csv.CsvReport | None:
    """The CSV that grows row by row, in the columns of a row or those named; None where none is asked for.

    Raises:
        UsageError, OutputFailed: its path, or that of another document, can't take it.
    """
    check_documents(outputs)
    if outputs.csv is None:
        return None
    return report.csv.CsvReport(outputs.csv, names or columns.NAMES)


def write_page(
    outputs: Outputs,
    rows: Sequence[Row],
    title: str,
    store: artifacts.Store,
    remarks: Sequence[str] = (),
    candidates: page.candidates_picture.Candidates | None = None,
) -> None:
    """Write the page of rows that were measured now, where one is asked for.

    Args:
        outputs: of the command.
        rows: of a profile.
        title: of the page.
        store: has the ceilings of this machine.
        remarks: what a reader should know first.
        candidates: what a tuning tried.

    Raises:
        UsageError: a row is of a simulated device.
        OutputFailed: the file can't be written.
    """
    if outputs.html is None:
        return
    folder = Path(outputs.csv).parent if outputs.csv not in (None, STDOUT) else Path()
    contents = page.reading.of_rows(
        rows,
        title,
        folder,
        workflow.machine.records(store),
        remarks=remarks,
        candidates=candidates,
    )
    write_documents(outputs, html=lambda: page.render(contents))
