"""Opening the artifact store that a command was pointed to."""

from __future__ import annotations

from pathlib import Path

from deploykit.errors import UsageError
from deploykit.store import Store, default_root


def open_store(folder: str | None) -> Store:
    """The store in `folder`, or the default one.

    Raises:
        UsageError: a file stands where the folder should be.
    """
    root = Path(folder) if folder else default_root()
    if root.exists() and not root.is_dir():
        raise UsageError(f"the store {root} is a file: name a folder with --store")
    return Store(root)
