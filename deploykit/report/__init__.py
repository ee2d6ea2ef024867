"""Reports: the columns of a row, and rows as CSV, Markdown, JUnit and views for people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploykit.errors import UsageError, one_line
from deploykit.lazy import callable_package

callable_package(__name__, "write_report")

#: Standard output, where a path of a report to write is asked for; standard input, where one is read.
STDOUT = "-"
#: Other names of standard output. They go by descriptor 1, where a command that keeps its output for data has none.
_STDOUT_NAMES = ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
#: What a device that only plays one has in its name.
SIMULATED = "(simulated"


def destination(path: str) -> str:
    """The path of something to write: `STDOUT` for standard output, by whichever of its names it is given."""
    return STDOUT if path in _STDOUT_NAMES else path


def page_beside(path: str) -> str:
    """Where the page of the report at `path` goes where nobody says it: beside it, under its name with .html.

    A path without a name, such as "." or "", is no report; its reader says so.
    """
    place = Path("report" if path == STDOUT else path)
    return str(place.with_suffix(".html") if place.name else place / "report.html")


def refuse_simulated(cells: Mapping[str, Any], place: str = "a row") -> None:
    """Refuse a row of a simulated device, whose numbers are no measurements: nothing writes or reads one.

    Raises:
        UsageError: it is one.
    """
    refuse_simulated_text(cells.get("device"), place)


def refuse_simulated_text(text: Any, place: str) -> None:
    """Refuse a text that names a simulated device.

    Raises:
        UsageError: it does.
    """
    if text and SIMULATED in str(text):
        raise UsageError(
            f"{place} is of the simulated device {one_line(text, 80)!r}, whose numbers are no measurements: no "
            "report takes it"
        )
