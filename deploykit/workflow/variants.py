"""The options that make several networks out of one name, and the lists that they are read from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from deploykit.errors import UsageError
from deploykit.spec import InputChoice
from deploykit.workflow.words import words


@dataclass(frozen=True)
class Variants:
    """The options that make several networks out of one name, and `inputs`, which is said of those of files.

    `None` weights are random ones.
    """

    alphas: tuple[float, ...] = (1.0,)
    rhos: tuple[Fraction, ...] = (Fraction(1),)
    weights: str | None = None
    num_classes: int | None = None
    resolution_px: int | None = None
    seed: int = 0
    inputs: InputChoice = field(default_factory=InputChoice)


def input_shapes(texts: Sequence[str]) -> tuple[tuple[str, tuple[int | None, ...]], ...]:
    """What `--shape NAME=1x3x320x320` means, also without a name for the only input; "?" leaves a size open.

    Raises:
        UsageError: it is no shape.
    """
    return tuple(_shape(text) for text in texts)


def _shape(text: str) -> tuple[str, tuple[int | None, ...]]:
    name, _, sizes = text.rpartition("=")
    parts = re.split(r"[x,]", sizes.strip()) if sizes.strip() != "scalar" else []
    if not all(part in ("?", "N", "n", "-1") or (part.isdigit() and int(part)) for part in parts):
        raise UsageError(
            f"--shape takes NAME=1x3x320x320, sizes from 1 or ? for one that stays open, not {text!r}"
        )
    return name.strip(), tuple(int(part) if part.isdigit() else None for part in parts)


def input_dims(texts: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """What `--dim height=320` means.

    Raises:
        UsageError: it is no name with a size.
    """
    pairs = [text.rpartition("=") for text in texts]
    for name, _, size in pairs:
        if not name or not size.strip().isdigit() or not int(size):
            raise UsageError(f"--dim takes NAME=SIZE such as height=320, not {name or size!r}")
    return tuple((name.strip(), int(size)) for name, _, size in pairs)


def input_values(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """What `--input NAME=range(0,255)` means; the values themselves are read where the network is.

    Raises:
        UsageError: there is no name or no values.
    """
    pairs = [text.rpartition("=") for text in texts]
    for name, _, values in pairs:
        if not name or not values:
            raise UsageError(
                "--input takes NAME=FILE.npy, NAME=range(0,255), NAME=constant(16000) or "
                f"NAME=tokens(0,30000), not {name or values!r}"
            )
    return tuple((name.strip(), values.strip()) for name, _, values in pairs)


def numbers(text: str, option: str) -> tuple[float, ...]:
    """A comma-separated list of numbers; fractions such as 6/7 are numbers too.

    Raises:
        UsageError: something in it is not a number.
    """
    try:
        return tuple(float(value) for value in fractions(text, option))
    except OverflowError:
        raise UsageError(f"{option} takes numbers such as 1,0.5 or 6/7, not {text!r}") from None


def fractions(text: str, option: str) -> tuple[Fraction, ...]:
    """A comma-separated list of exact fractions: 1, 0.5, 6/7.

    Raises:
        UsageError: something in it is not a number.
    """
    values = []
    for part in words(text):
        try:
            values.append(Fraction(part))
        except (ValueError, ZeroDivisionError):
            raise UsageError(f"{option} takes numbers such as 1,0.5 or 6/7, not {part!r}") from None
    return tuple(values)
