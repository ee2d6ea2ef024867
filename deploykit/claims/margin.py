"""How far a value found may be from the one that a statement gives: one rule for all claims.

A number that stands without a hedge agrees within half a unit of its last stated digit: 3.08 from 3.075 to 3.085,
140 million from 135 to 145. The trailing zeros of a whole number are not taken for stated digits, those after a
decimal point are: 50 is from 45 to 55, 50.0 from 49.95 to 50.05. As such zeros can make a digit coarse, it is never
more than a tenth of the figure: 100 is from 90 to 110. A word of the statement that hedges the number has
one margin, the same in every claim, and it is this table and not the claim that says which.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple, Self

from deploykit.errors import UnknownName, UsageError


class Stated(float):
    """A number as it was stated: it knows how far off it `allows` others to be that agree with it.

    >>> Stated("3.08").allows, Stated(140_000_000).allows, Stated(100).allows, Stated(0).allows
    (0.005, 5000000.0, 10.0, 0.5)

    Attributes:
        allows: how far off others may be.
        decimals: how many digits after the point it was stated with.

    Raises:
        ValueError: it is no finite number, or one that no float can hold.
    """

    allows: float
    decimals: int

    def __new__(cls, value: Any) -> Self:
        """Take a number as TOML has it: whole, decimal, or the text of one."""
        if isinstance(value, Stated):
            return super().__new__(cls, value)._with(value.allows, value.decimals)
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
            raise ValueError(f"expected a number, got {value!r}")
        try:
            written = Decimal(repr(value) if isinstance(value, float) else value)
        except InvalidOperation:
            raise ValueError(
                f"expected a number, got {value!r}: write it as 4_200_000, 4.2e6 or 0.81, without a unit, and a "
                "word such as about as the claim's hedge"
            ) from None
        if not written.is_finite():
            raise ValueError(f"expected a finite number, got {written}")
        size = abs(float(written))
        if math.isinf(size) or (written and not size):
            raise ValueError(
                f"expected a number from 1e-300 to 1e300 in size, got {f'{written:.6g}':.40}"
            )
        places = int(written.as_tuple().exponent)
        if isinstance(value, int) and value:
            places = len(str(value)) - len(str(value).rstrip("0"))
        allows = Decimal(5).scaleb(places - 1)
        if written:
            allows = min(allows, abs(written) / 10)
        return super().__new__(cls, written)._with(float(allows), max(0, -places))

    def _with(self, allows: float, decimals: int) -> Self:
        self.allows, self.decimals = allows, decimals
        return self


class Hedge(NamedTuple):
    """What one word of statements allows, as shares of the stated value.

    Attributes:
        below, above: how far under and over it a value may be; infinity where there is no limit.
        inclusive: whether a value on the limit itself agrees.
        meaning: the same in words.
    """

    below: float
    above: float
    inclusive: bool
    meaning: str


#: The words by which statements loosen a figure, and the margin of each.
HEDGES: dict[str, Hedge] = {
    "about": Hedge(0.15, 0.15, True, "within 15% of it"),
    "nearly": Hedge(0.10, 0.0, True, "it, or up to 10% less"),
    "slightly less": Hedge(0.10, 0.0, False, "less, by under 10%"),
    "slightly more": Hedge(0.0, 0.10, False, "more, by under 10%"),
    "hardly more": Hedge(math.inf, 0.10, True, "at most 10% more than it"),
    "much less": Hedge(math.inf, -0.5, True, "at most half of it"),
    "much more": Hedge(-1.0, math.inf, True, "at least twice it"),
    "over": Hedge(0.0, math.inf, False, "more than it"),
    "under": Hedge(math.inf, 0.0, False, "less than it"),
    "at least": Hedge(0.0, math.inf, True, "it or more"),
    "at most": Hedge(math.inf, 0.0, True, "it or less"),
}

#: Other words that statements have, and the hedge that means the same.
_SYNONYMS = {
    **dict.fromkeys(("approximately", "approx.", "around", "close to", "roughly", "~"), "about"),
    "almost": "nearly",
    **dict.fromkeys(("more than", "greater than", "larger than", "above", ">"), "over"),
    **dict.fromkeys(("less than", "fewer than", "smaller than", "below", "<"), "under"),
    **dict.fromkeys(("no less than", "no fewer than", "minimum", ">="), "at least"),
    **dict.fromkeys(("no more than", "up to", "maximum", "<="), "at most"),
}

#: What is said of a number without a hedge.
PLAIN = "half a unit of the last stated digit, and at most a tenth of it"

#: Binary fractions miss decimal ones by less than this share where they were computed with, and by less than the
#: second where whole numbers are held against limits: a count is exact.
_ROUNDING, _ROUNDING_OF_LIMITS = 1e-9, 1e-14


@dataclass(frozen=True)
class Margin:
    """How far values found may be from the stated ones of one claim: by its hedge, or by their last digits.

    Raises:
        UsageError: there is no such hedge.
    """

    hedge: str = ""

    def __post_init__(self) -> None:
        if self.hedge and self.hedge not in HEDGES:
            meant = _SYNONYMS.get(self.hedge.lower())
            if meant is not None:
                raise UsageError(
                    f"unknown hedge {self.hedge!r}: write {meant}, which is {HEDGES[meant].meaning}"
                )
            raise UnknownName("hedge", self.hedge, HEDGES)

    @property
    def meaning(self) -> str:
        """What agrees, in words."""
        return HEDGES[self.hedge].meaning if self.hedge else PLAIN

    @property
    def is_bound(self) -> bool:
        """Whether it is open on one side, so that no deviation is worth telling."""
        return bool(self.hedge) and math.inf in HEDGES[self.hedge][:2]

    def before(self, figure: str) -> str:
        """The figure as the statement has it, with its hedge: "about 5", "much less than 1".

        >>> Margin("much less").before("1"), Margin().before("1")
        ('much less than 1', '1')
        """
        than = " than" if self.hedge.endswith(("less", "more")) else ""
        return f"{self.hedge}{than} {figure}".lstrip()

    def limits(self, stated: Stated) -> tuple[float, float]:
        """Lowest and highest value that agrees; infinite where there is no limit."""
        if not self.hedge:
            return stated - stated.allows, stated + stated.allows
        hedge = HEDGES[self.hedge]
        below, above = (_reach(share, stated) for share in hedge[:2])
        return stated - below, stated + above

    def agrees(self, found: float, stated: float) -> bool:
        """Whether `found` is what the statement says; `stated` knows its last digit, or is taken as written.

        What is no finite number agrees with nothing.
        """
        if not math.isfinite(found):
            return False
        figure = stated if isinstance(stated, Stated) else Stated(stated)
        low, high = self.limits(figure)
        rounding = _ROUNDING_OF_LIMITS if isinstance(found, int) else _ROUNDING
        slack = rounding * max(abs(figure), abs(found))
        if not self.hedge or HEDGES[self.hedge].inclusive:
            return low - slack <= found <= high + slack
        return low + slack < found < high - slack

    def side(self, found: float, stated: float) -> int:
        """0 where `found` agrees, else -1 below what does and 1 above it."""
        if self.agrees(found, stated):
            return 0
        low, high = self.limits(stated if isinstance(stated, Stated) else Stated(stated))
        return -1 if found <= low or math.isinf(high) else 1


def _reach(share: float, stated: float) -> float:
    return share if math.isinf(share) else share * abs(stated)
