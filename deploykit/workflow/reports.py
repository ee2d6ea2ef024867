"""Reading reports back."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from deploykit.errors import UsageError

#: Where a run leaves its profile, and where claims look for one.
DEFAULT_PROFILE = Path("reports/profile.csv")


def read_rows(path: str | None) -> list[dict[str, Any]] | None:
    """The rows of a profile, cells as text; blanks are left out. None where there is no default report.

    Raises:
        UsageError: the file that was named is missing or is no profile.
    """
    place = Path(path) if path else DEFAULT_PROFILE
    if path is None and not place.is_file():
        return None
    try:
        with place.open(newline="") as file:
            rows = [{k: v for k, v in row.items() if v} for row in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(
            f"can't read {place}: {error}; name a CSV of `deploykit profile`"
        ) from error
    if rows and "latency_p50_ms" not in rows[0] and "status" not in rows[0]:
        raise UsageError(f"{place} is no profile: name a CSV of `deploykit profile`")
    return rows
