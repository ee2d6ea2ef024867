"""The numbers that options take: ranges with their ends, lists of multipliers, and what refuses the rest.

Light enough for commands that have no use for a network.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from numbers import Real
from typing import Any

from deploykit.errors import UsageError, one_line
from deploykit.text import MOST_CLASSES, split_list

#: What stands for a number of an option in messages is cut at so many characters: a slip of the hand has thousands.
SHOWN_CHARACTERS = 40
#: A number of more characters, or more digits of an exponent, is none that an option takes; to compute one, such as
#: 1e9999999, could take for ever.
_MAX_CHARACTERS, _MAX_EXPONENT_DIGITS = 32, 2
_FRACTION = re.compile(
    rf"[+-]?(?:\d+/\d+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{{1,{_MAX_EXPONENT_DIGITS}}})?)", re.ASCII
)


@dataclass(frozen=True)
class Range:
    """The numbers that an option takes; what is beyond could hang, exhaust the machine or mean nothing.

    Attributes:
        least, most: the ends, which are in it.
        whole: whether fractions are out of it.
    """

    least: float
    most: float
    whole: bool = True

    def __str__(self) -> str:
        return f"{self.least:,} to {self.most:,}"

    def read(self, text: str, option: str) -> float:
        """The number that is meant.

        Raises:
            UsageError: it is none, or out of range; the message names the range.
        """
        return self._required(self.parse(text), text, option)

    def check(self, value: Any, option: str) -> float:
        """The number that a caller of the Python API gave, a text as the command line has it included.

        Raises:
            UsageError: it is none, or out of range; the message names the range.
        """
        if isinstance(value, str):
            return self.read(value, option)
        return self._required(self._number(value), str(value), option)

    def check_list(self, values: Any, option: str) -> tuple[int, ...]:
        """The whole numbers that a caller of the Python API gave: one, several, or a text as `read_list` takes.

        Raises:
            UsageError: there are none, or something else is among them.
        """
        if isinstance(values, str):
            return self.read_list(values, option)
        listed = list(values) if isinstance(values, Iterable) else [values]
        read = [self.parse(v) if isinstance(v, str) else self._number(v) for v in listed]
        return self._required_list(list(map(str, listed)), read, option)

    def _required_list(
        self, texts: Sequence[str], values: Sequence[float | None], option: str
    ) -> tuple[int, ...]:
        wrong = [text for text, value in zip(texts, values, strict=True) if value is None]
        if wrong:
            raise UsageError(f"{option} takes whole numbers from {self}, not {shown(wrong[0])}")
        if not values:
            raise UsageError(f"{option} needs at least one value")
        return tuple(int(value) for value in values if value is not None)

    def _number(self, value: Any) -> float | None:
        """A number of Python's or NumPy's as one of the range; None where it is none."""
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        if not is_number or not self.least <= value <= self.most:
            return None
        if not self.whole:
            return float(value)
        return int(value) if value == int(value) else None

    def _required(self, value: float | None, text: str, option: str) -> float:
        if value is None:
            kind = "a whole number" if self.whole else "a number"
            raise UsageError(f"{option} takes {kind} from {self}, not {shown(text)}")
        return value

    def read_list(self, text: str, option: str) -> tuple[int, ...]:
        """The whole numbers of a comma-separated list.

        Raises:
            UsageError: it is empty, or something else stands in it.
        """
        parts = split_list(text)
        return self._required_list(parts, [self.parse(part) for part in parts], option)

    def parse(self, text: str) -> float | None:
        """The number that a text means; None where it means none of the range."""
        text = text.strip()
        form = r"[+-]?\d+" if self.whole else r"[-+.0-9eE]+"
        if len(text) > _MAX_CHARACTERS or not re.fullmatch(form, text, re.ASCII):
            return None
        try:
            value = int(text) if self.whole else float(text)
        except ValueError:
            return None
        return value if self.least <= value <= self.most else None


def shown(text: str) -> str:
    """What was given for an option, in quotes, as far as a message has room for it."""
    return repr(one_line(text, SHOWN_CHARACTERS))


BATCH = Range(1, 65_536)
THREADS = Range(1, 1024)
STREAMS = Range(1, 256)
SIZE = Range(1, 1_000_000_000)
RESOLUTION, CLASSES = Range(1, 16_384), Range(1, MOST_CLASSES)
#: What the generators of PyTorch and NumPy both take.
SEED = Range(0, 2**64 - 1)
CALIBRATION_IMAGES = Range(1, 1_000_000)
KEPT_LAYERS = Range(1, 10_000)
#: How long and how often to measure; seconds where it is a time.
SECONDS = Range(0.1, 86_400, whole=False)
PERCENTILE = Range(50, 99.9, whole=False)
REPEATS = Range(1, 1000)
TIMEOUT_S = Range(1, 604_800, whole=False)
ITERATIONS = Range(2, 10_000_000)
WARMUP_ITERATIONS = Range(1, 1_000_000)
#: What may be lost of a metric of the user's own, in its unit, and the ratio that outputs must keep, in dB.
METRIC_DROP = Range(0, 1e12, whole=False)
SNR_DB = Range(-200, 400, whole=False)
#: How long a builder searches, up to `spec.MOST_OPTIMIZATION`, and MiB that layers may take while they compute.
OPTIMIZATION_LEVEL, WORKSPACE_MIB = Range(0, 5), Range(1, 1_048_576)
#: Seconds that reading, converting or building one network may take.
BUILD_TIMEOUT_S = Range(0.001, 604_800, whole=False)
EPOCHS = Range(1, 100_000)


def numbers(text: str, option: str) -> tuple[float, ...]:
    """A comma-separated list of multipliers as floats; fractions such as 6/7 are numbers too.

    Raises:
        UsageError: something in it is not a number above 0 and up to 1.
    """
    return tuple(float(value) for value in fractions(text, option))


def fractions(text: str, option: str) -> tuple[Fraction, ...]:
    """A comma-separated list of exact multipliers: 1, 0.5, 6/7.

    Raises:
        UsageError: something in it is not a number above 0 and up to 1.
    """
    values = []
    for part in split_list(text):
        value = None
        if len(part) <= _MAX_CHARACTERS and _FRACTION.fullmatch(part):
            with contextlib.suppress(ZeroDivisionError):
                value = Fraction(part)
        if value is None or not 0 < value <= 1:
            raise UsageError(
                f"{option} takes numbers above 0 and up to 1, such as 1,0.5 or 6/7, not {shown(part)}"
            )
        values.append(value)
    return tuple(values)


def share(text: str, option: str) -> float:
    """What "0.90" and "90%" mean, 0.9: a number is a share, and with its sign it is of percent.

    Raises:
        UsageError: it is no share between 0 and 1.
    """
    number, is_percent = text.strip().removesuffix("%"), text.strip().endswith("%")
    try:
        value = float(number) / (100 if is_percent else 1)
    except ValueError:
        value = math.nan
    if not 0 < value < 1:
        raise UsageError(f"{option} takes a share such as 0.90 or 90%, not {text!r}")
    return value


def percent(text: str, option: str) -> float:
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
