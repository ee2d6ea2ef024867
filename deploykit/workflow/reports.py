"""Finding the profile that claims are evaluated on."""

from __future__ import annotations

from pathlib import Path

from deploykit.columns import checked_by
from deploykit.report.csv import read_rows
from deploykit.row import Row

#: Where a run leaves its profile, and where claims look for one.
DEFAULT_PROFILE = Path("reports/profile.csv")


def profile_rows(path: str | None) -> list[Row] | None:
    """The rows of the profile at `path`, else of the default one; None where there is neither.

    Raises:
        UsageError: the file that was named can't be read or is no profile.
    """
    if path is None and not DEFAULT_PROFILE.is_file():
        return None
    return read_rows(path or str(DEFAULT_PROFILE), checked_by("claims"))
