"""Lists as people write them in options."""

from __future__ import annotations


def words(text: str) -> list[str]:
    """The parts of a comma-separated list, blanks and doubles dropped, order kept."""
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
