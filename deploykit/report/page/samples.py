"""The latencies of a row, one by one, from the file that lies beside its report."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from deploykit.lazy import np
from deploykit.reading import open_file
from deploykit.report.page.entry import Entry


def samples_ms(entry: Entry, folder: Path) -> Any | None:
    """Every latency in ms in the order in which they were measured; None where there is no such file.

    A file that can't be read is as good as none: the page says of which rows it has no samples.
    """
    name = entry.text("samples")
    if not name:
        return None
    try:
        # numpy leaves a file open that it can't make sense of.
        with open_file(folder / name) as file, np.load(file, allow_pickle=False) as stored:
            values = np.asarray(stored["samples_ns"], dtype=np.float64).ravel() / 1e6
    except (OSError, ValueError, TypeError, LookupError, EOFError, zipfile.BadZipFile):
        return None
    values = values[np.isfinite(values) & (values > 0)]
    return values if values.size else None
