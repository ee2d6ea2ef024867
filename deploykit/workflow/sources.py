"""What an artifact made by this package depends on beside its inputs: the code that makes it.

Store keys take in a digest of that code, so that a changed architecture or recipe is never answered with
what an older one made.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import deploykit

_ROOT = Path(deploykit.__file__).parent


@cache
def code_digest(*places: str) -> str:
    """SHA-256 over the Python and TOML files of the package's subfolders or files `places`.

    Raises:
        FileNotFoundError: one of them is not there, or holds no code: it was moved or misspelt.
    """
    digest = hashlib.sha256()
    for place in places:
        root = _ROOT / place
        files = [root] if root.is_file() else sorted([*root.rglob("*.py"), *root.rglob("*.toml")])
        if not files:
            raise FileNotFoundError(f"no code to digest at {root}: it was moved or misspelt")
        for file in files:
            digest.update(file.relative_to(_ROOT).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
