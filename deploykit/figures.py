"""How numbers read: with digits enough to tell them apart, and no more. Standard library only."""

from __future__ import annotations

import math
import re
from typing import Any

#: What stands where nothing was measured.
BLANK = "–"
#: By how many digits an interval may have more than its value's usual ones, so that its ends differ.
_MORE_DIGITS = 2
#: Below this, a number in decimals is all zeros.
_LEAST_IN_DECIMALS = 1e-6
_LEAST_P = 1e-4
_EXPONENTIAL = re.compile(r"(?<![\w.])\d+(?:\.\d+)?e[+-]\d+(?![\w.])")
#: Below this, zeros alone would fill a line.
_LEAST_IN_FULL = 1e-12


def decimals_of(number: float, digits: int = 3) -> int:
    """How many decimals a number needs to show so many significant digits; 0 for large ones."""
    if number == 0 or not math.isfinite(number):
        return 0
    # Of the number as it is rounded: 9.996 to three digits is 10.0.
    exponent = int(f"{number:.{digits - 1}e}".partition("e")[2])
    return max(0, digits - 1 - exponent)


def significant(value: Any, digits: int = 3) -> str:
    """A number with that many significant digits, in decimals; whole from 100 on; "–" if blank."""
    if value is None or value == "":
        return BLANK
    number = float(value)
    if number == 0:
        return "0"
    if abs(number) < _LEAST_IN_DECIMALS:
        mantissa, _, exponent = f"{number:.{digits - 1}e}".partition("e")
        return f"{mantissa}×10^{int(exponent)}"
    return f"{number:,.{decimals_of(number, digits)}f}"


def with_interval(
    value: float, low: float, high: float, digits: int = 3
) -> tuple[str, str, str] | None:
    """A value and the ends of its interval, all with the same decimals: enough for the ends to differ.

    Returns:
        The three texts; None where the interval is narrower than a value's digits can show.
    """
    least = decimals_of(value, digits)
    found = None
    for decimals in range(least, least + _MORE_DIGITS + 1):
        middle, lower, upper = (f"{number:,.{decimals}f}" for number in (value, low, high))
        if lower != upper:
            found = middle, lower, upper
            # Ends that read as the value itself tell less than one more digit does.
            if middle not in (lower, upper) or value in (low, high):
                break
    return found


def with_ends(value: float, low: float, high: float, digits: int = 3) -> tuple[str, str, str]:
    """As `with_interval`, for a sentence, which tells the ends of an interval that is too narrow to differ, too."""
    decimals = decimals_of(value, digits) + _MORE_DIGITS
    return with_interval(value, low, high, digits) or (
        f"{value:,.{decimals}f}",
        f"{low:,.{decimals}f}",
        f"{high:,.{decimals}f}",
    )


def p_value(p: float) -> str:
    """A p-value in a sentence: "p 0.03", or "p < 0.0001"."""
    return f"p < {_LEAST_P:g}".replace("1e-04", "0.0001") if p < _LEAST_P else f"p {p:.1g}"


def general(number: float, digits: int = 3) -> str:
    """A number in a sentence, with up to so many significant digits, without an exponent where decimals do."""
    text = f"{number:.{digits}g}"
    if "e" not in text:
        return text
    text = significant(number, digits)
    return text.rstrip("0").rstrip(".") if "." in text and "^" not in text else text


def plainly(text: str) -> str:
    """A text with the numbers in it that a program wrote with exponents, such as 6e-06, in decimals."""

    def decimals(found: re.Match[str]) -> str:
        number = float(found[0])
        return in_full(number) if number >= _LEAST_IN_FULL else significant(number)

    return _EXPONENTIAL.sub(decimals, text)


def in_full(number: float) -> str:
    """A number as somebody wrote it, for a program to read again: all its digits, and no exponent."""
    text, _, exponent = repr(float(number)).partition("e")
    if not exponent:
        return text.removesuffix(".0")
    # Python writes one digit before the point: the point is moved, and no digit is computed anew.
    sign, places = "-" * text.startswith("-"), int(exponent)
    digits = text.lstrip("-").replace(".", "")
    if places < 0:
        return f"{sign}0.{'0' * (-places - 1)}{digits}"
    return sign + digits.ljust(places + 1, "0")
