"""A name for what was computed on a data set, under which it is kept and found again."""

from __future__ import annotations

from pathlib import Path

from deploykit.errors import UsageError
from deploykit.store import key_of


def data_key(dataset: str) -> str:
    """A name for what was computed on a data set: its own, and where it lies in files, what they are.

    Raises:
        UsageError: the path is not there.
    """
    name, _, path = dataset.partition(":")
    if not path:
        return name
    root = Path(path)
    files = sorted(p for p in root.rglob("*") if p.is_file()) if root.is_dir() else [root]
    try:
        facts = [(str(p), (s := p.stat()).st_size, s.st_mtime_ns) for p in files]
    except OSError as error:
        raise UsageError(f"can't read the data at {error.filename}: {error.strerror}") from error
    return f"{name}-{key_of({'files': facts})[:12]}"
