"""What a command ends with, given the rows that it made."""

from __future__ import annotations

from collections.abc import Sequence

from deploykit.errors import BuildFailed, MissingDependency
from deploykit.report.schema import Row

#: Key under which a failed row carries its exit code; not a column.
EXIT_CODE = "exit_code"


def exit_code(rows: Sequence[Row]) -> int:
    """What a command that made `rows` ends with: 0, the worst failure's code, or 3 if nothing could run."""
    failed = [
        int(row.get(EXIT_CODE, BuildFailed.exit_code)) for row in rows if row["status"] == "failed"
    ]
    if failed:
        return max(failed)
    if rows and all(row["status"] == "skipped" for row in rows):
        return MissingDependency.exit_code
    return 0
