"""Limits on the command line: percentages, and points of a percentage."""

from __future__ import annotations

import math

from deploykit.errors import UsageError


def fraction(text: str, option: str) -> float:
    """What "5%", "5" and "5.0 %" mean, 0.05: a number is of percent, with its sign or without.

    Raises:
        UsageError: it is no number, or not above 0 and below 100.
    """
    try:
        value = float(text.strip().removesuffix("%"))
    except ValueError:
        value = math.nan
    if not 0 < value < 100:
        raise UsageError(f"{option} {text!r} is no percentage above 0 and below 100, such as 0.5%")
    return value / 100
