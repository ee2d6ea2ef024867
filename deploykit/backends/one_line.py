"""Long messages of native libraries, cut to the one line that a user can act on."""

from __future__ import annotations

import re


def one_line(error: object, limit: int = 300) -> str:
    """The message of `error` without line breaks, source locations and doubled spaces, cut at `limit`."""
    text = re.sub(r"/\S+/(\S+?\.(?:cc|cpp|h|py):\d+)", r"\1", str(error))
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"
