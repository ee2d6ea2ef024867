"""Which of many runs count where parts of a run are told apart: the undisturbed ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Of the runs in the order of their length: the undisturbed ones, but not the very fastest.
LOW, HIGH = 0.05, 0.35
#: Runs that come first and are not counted.
WARM_UP_RUNS = 5


def undisturbed(totals: NDArray[np.float64]) -> NDArray[np.intp]:
    """The places of those of `totals`, one per run, that lie between `LOW` and `HIGH`; at least one."""
    import numpy as np

    ranked = np.argsort(totals, kind="stable")
    first = int(LOW * len(ranked))
    return ranked[first : max(first + 1, int(HIGH * len(ranked)))]


def undisturbed_mean(totals: NDArray[np.float64]) -> float:
    """The mean of the undisturbed."""
    return float(totals[undisturbed(totals)].mean())
