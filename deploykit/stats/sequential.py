"""Whether an accuracy dropped by more than is allowed, asked image by image and answered as soon as it can be.

Stopping a fixed test early and looking often makes its error many times what it says. This one may be looked at
after every image: it bets against each of the two answers, and an answer is given when the bets against its
opposite have won so much that chance would rarely allow it (Ville's inequality; betting on the mean of a bounded
variable after Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting", section 4).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

#: Stakes that the wealth is shared over, as parts of the largest: small ones win where the two networks often
#: disagree, large ones where they hardly do.
_STAKES = tuple(0.99 * 0.6**step for step in range(14))
#: A test that takes more images than any data set has is one that takes none.
_MOST_IMAGES = 10**9
ACCEPTED, REJECTED, OPEN = "accepted", "rejected", "open"


@dataclass(frozen=True)
class DropTest:
    """Two networks on the same images, and what that says of the drop in accuracy from one to the other.

    The images must come in an order that has nothing to do with their labels: of images sorted by class, the first
    thousand tell nothing of the rest.

    Attributes:
        allowed_drop: share of all images by which the accuracy may drop, above 0 and below 1.
        error: the chance, at most, of accepting a network that drops by more, and of rejecting one that
            drops by less, however often the test is looked at.
        images: how many were judged.
        only_reference: images that the reference has right and the other wrong.
        only_this: images that the other has right and the reference wrong.

    Raises:
        ValueError: a number is out of its range.
    """

    allowed_drop: float
    error: float = 0.01
    images: int = 0
    only_reference: int = 0
    only_this: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.allowed_drop < 1 or not 0 < self.error < 1:
            raise ValueError(
                f"a drop of {self.allowed_drop} and an error of {self.error}: both lie between 0 and 1"
            )
        if min(self.only_reference, self.only_this) < 0 or (
            self.only_reference + self.only_this > self.images
        ):
            raise ValueError(
                f"{self.only_reference} and {self.only_this} of {self.images} images is no count"
            )

    def plus(self, images: int, only_reference: int, only_this: int) -> DropTest:
        """The test after further images: how many, and on how many of them only one of the two was right."""
        return DropTest(
            self.allowed_drop,
            self.error,
            self.images + images,
            self.only_reference + only_reference,
            self.only_this + only_this,
        )

    @property
    def verdict(self) -> str:
        """What is known: "accepted" (it drops by less than is allowed), "rejected" (by more), "open" (not yet)."""
        needed = -math.log(self.error)
        if self._log_wealth(1) >= needed:
            return ACCEPTED
        return REJECTED if self._log_wealth(-1) >= needed else OPEN

    @property
    def drop(self) -> float:
        """The drop on the images so far; below 0 where the other is more often right."""
        return (self.only_reference - self.only_this) / self.images if self.images else 0.0

    def images_needed(self) -> int | None:
        """How many images would accept a network that goes on as this one did; None where no number of them would.

        Before any image it is the least that can decide at all, that of a network which never disagrees.
        """
        low, high = max(1, self.images), 2 * max(1, self.images)
        while not self._accepts(high):
            low, high = high, 2 * high
            if high > _MOST_IMAGES:
                return None
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self._accepts(middle) else (middle + 1, high)
        return low

    def _accepts(self, images: int) -> bool:
        """Whether as many images accept, of which each network alone has the share right that it had so far."""
        scale = images / self.images if self.images else 0.0
        gained, lost = scale * self.only_this, scale * self.only_reference
        wealth = _log_wealth(self.allowed_drop, 1, gained, images - gained - lost, lost)
        return wealth >= -math.log(self.error)

    def _log_wealth(self, side: int) -> float:
        same = self.images - self.only_reference - self.only_this
        return _log_wealth(self.allowed_drop, side, self.only_this, same, self.only_reference)


def _log_wealth(drop: float, side: int, gained: float, same: float, lost: float) -> float:
    """The logarithm of what is left of 1 after bets that the drop is below (side 1) or above (side -1) `drop`.

    An image changes the accuracy by -1, 0 or 1, so that a bet wins `side * (drop - change)` times its stake; the
    largest stake is the one that the worst image takes whole. The order of the images does not matter.
    """
    largest = 1 / (1 - drop) if side > 0 else 1 / (1 + drop)
    logs = []
    for part in _STAKES:
        stake = side * part * largest
        logs.append(
            gained * math.log1p(stake * (drop + 1))
            + same * math.log1p(stake * drop)
            + lost * math.log1p(stake * (drop - 1))
        )
    top = max(logs)
    return top + math.log(sum(math.exp(log - top) for log in logs) / len(logs))
