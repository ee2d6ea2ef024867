"""Tables for Markdown readers: GitHub's pages, `$GITHUB_STEP_SUMMARY`, README."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence

from deploykit.columns import COLUMNS, SCHEMA_VERSION
from deploykit.report import refuse_simulated_text
from deploykit.text import shown

#: What may begin a tag of HTML.
_TAG = re.compile(r"<(?=[A-Za-z/!?])")


def table(header: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> str:
    """A GitHub Markdown table; `right` are the indices of right-aligned columns.

    Raises:
        UsageError: a cell names a simulated device.
    """
    aligned = set(right)
    lines = [list(header), ["--:" if i in aligned else "---" for i in range(len(header))]]
    rows = list(rows)
    for cell in (cell for row in rows for cell in row):
        refuse_simulated_text(cell, "a row of the table")
    lines += [[as_text(shown(cell)).replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def as_text(text: str) -> str:
    """The text as readers of Markdown show it: names of networks and layers are no HTML, images or links."""
    return _TAG.sub(r"\\<", text).replace("](", "]\\(")


def columns_page() -> str:
    """The page on the profile's columns, as it stands in docs/columns.md."""
    kinds = {"identity": "names the configuration", "soft": "names it, where known"}
    rows = []
    for column in COLUMNS:
        role = kinds.get(column.role, column.role)
        blank = f" (blank: {column.blank})" if column.blank else ""
        rows.append(
            (
                f"`{column.name}`",
                column.kind,
                column.unit,
                role,
                ", ".join(column.checked),
                "" if column.added == 0 else str(column.added),
                column.meaning + blank,
            )
        )
    header = ("column", "type", "unit", "role", "judged by", "added in", "meaning")
    return (
        "# The columns of a profile\n\n"
        "One row is one process that measured one configuration. A value that was not measured is blank, never 0.\n"
        f"The `schema` is {SCHEMA_VERSION}; columns are only ever added, at the end: *added in* is the revision, "
        "blank for the first.\n"
        "*Judged by* names the commands that read a column back: `compare`, `check`, `claims`.\n\n"
        "This page is made from `deploykit/columns.py`: "
        "`python -m deploykit.report.markdown > docs/columns.md`.\n\n" + table(header, rows)
    )


if __name__ == "__main__":
    sys.stdout.write(columns_page())
