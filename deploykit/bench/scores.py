"""Which output of a network holds class scores, where one does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from deploykit.errors import UsageError
from deploykit.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deploykit.spec import TensorSpec


def is_scores(values: NDArray[Any]) -> bool:
    """Whether an output is one row of class scores per image: (images, classes), two or more classes."""
    return values.ndim == 2 and values.shape[1] >= 2 and values.dtype.kind == "f"


def may_be_scores(spec: TensorSpec) -> bool:
    """Whether an output is declared as one row of scores per image, or so that it may turn out to be one."""
    if np.dtype(spec.dtype).kind != "f" or len(spec.shape) not in (0, 2):
        return False
    classes = spec.shape[1] if spec.shape else None
    return not isinstance(classes, int) or classes >= 2


def may_have_scores(outputs: Sequence[TensorSpec]) -> bool:
    """Whether any output may hold class scores."""
    return any(may_be_scores(spec) for spec in outputs)


def find_scores(
    outputs: Sequence[TensorSpec], classes: int, named: str | None = None
) -> str | None:
    """The name of the output that holds class scores; None where none does.

    Args:
        outputs: of the network.
        classes: how many the data has: an output with fewer columns can't be meant where another can.
        named: the user's choice.

    Raises:
        UsageError: there is no output of that name.
    """
    names = [spec.name for spec in outputs]
    if named is not None:
        if named not in names:
            raise UsageError(f"--scores {named}: there is no such output, but {', '.join(names)}")
        return named
    candidates = [spec for spec in outputs if may_be_scores(spec)]
    for spec in candidates:
        width = spec.shape[1] if spec.shape else None
        if not isinstance(width, int) or width >= classes:
            return spec.name
    return candidates[0].name if candidates else None
