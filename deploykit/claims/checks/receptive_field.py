"""What one output of stacked convolutions sees, by arithmetic and by trying."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from deploykit.claims.claim import Claim
from deploykit.claims.measured import MeasuredRow
from deploykit.claims.registry import check
from deploykit.claims.verdict import Finding, Value
from deploykit.claims.wording import percent
from deploykit.errors import MissingDependency

if TYPE_CHECKING:
    import torch


def receptive_field_px(kernels: Sequence[int], strides: Sequence[int] | None = None) -> int:
    """Inputs along one axis that reach one output: 1 + sum of (kernel - 1) * product of earlier strides.

    >>> receptive_field_px([3, 3]), receptive_field_px([3, 3, 3], [2, 1, 1])
    (5, 11)
    """
    field, jump = 1, 1
    for kernel, stride in zip(kernels, strides or [1] * len(kernels), strict=True):
        field += (kernel - 1) * jump
        jump *= stride
    return field


@check
def stack_sees_as_one(
    claim: Claim, rows: Iterable[MeasuredRow], /, *, kernel: int, times: int, single: int
) -> Finding:
    """Whether `times` convolutions of `kernel` at stride 1 see as much as one of `single`.

    Decided twice: by the arithmetic of receptive fields, and by the gradient of one output with respect to
    the input of small networks with a ReLU after each convolution.
    """
    stack = [kernel] * times
    by_arithmetic = receptive_field_px(stack)
    seen, centre = _seen_px(stack)
    seen_single, centre_single = _seen_px([single])
    share = times * kernel**2 / single**2
    evidence: dict[str, Value] = {
        "receptive_field_px(stack, arithmetic)": by_arithmetic,
        "receptive_field_px(stack, gradient)": seen,
        "receptive_field_px(single, gradient)": seen_single,
        "weights(stack)/weights(single)": round(share, 4),
        "centre_influence(stack)": round(centre, 4),
        "centre_influence(single)": round(centre_single, 4),
    }
    holds: dict[str, bool | None] = {
        "arithmetic": by_arithmetic == claim.stated == single,
        "gradient": seen == seen_single == claim.stated,
    }
    explanation = (
        f"{times} convolutions of {kernel}x{kernel} see {by_arithmetic}x{by_arithmetic} inputs by arithmetic and "
        f"{seen}x{seen} by gradient, one {single}x{single} sees {seen_single}x{seen_single}. The same window, but "
        f"not the same weighting: with equal weights the centre has {percent(centre)} of the influence in the "
        f"stack and {percent(centre_single)} in the single one. With C channels in and out the stack has "
        f"{times * kernel**2}C^2 weights against {single**2}C^2."
    )
    return Finding(holds, seen, explanation, evidence)


def _seen_px(kernels: Sequence[int]) -> tuple[int, float]:
    """Side of the square of inputs that one output depends on, and the centre's share of the gradient.

    Inputs and weights are positive, so that no ReLU blocks a path and no two paths cancel.
    """
    try:
        import torch
        from torch import nn
    except ModuleNotFoundError as error:
        raise MissingDependency(
            'torch is not installed: pip install "deploykit[export]"'
        ) from error

    layers: list[nn.Module] = []
    for kernel in kernels:
        convolution = nn.Conv2d(1, 1, kernel, bias=False, dtype=torch.float64)
        nn.init.constant_(convolution.weight, 1 / kernel**2)
        layers += [convolution, nn.ReLU()]
    # Wider than the field, so that an input beyond it could show.
    size = 2 * sum(kernels) + 1
    image = torch.ones(1, 1, size, size, dtype=torch.float64, requires_grad=True)
    output = nn.Sequential(*layers)(image)
    middle = output.shape[-1] // 2
    (gradient,) = torch.autograd.grad(output[0, 0, middle, middle], image)
    return _extent(gradient[0, 0])


def _extent(gradient: torch.Tensor) -> tuple[int, float]:
    reached = gradient.nonzero()
    rows, columns = (sorted(set(reached[:, axis].tolist())) for axis in (0, 1))
    height, width = len(rows), len(columns)
    if height != width or len(reached) != height * width:
        raise AssertionError("the inputs seen are no full square")
    centre = gradient[rows[height // 2], columns[width // 2]] / gradient.sum()
    return height, float(centre)
