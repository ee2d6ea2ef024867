"""Options that several commands share, and what they become."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeVar

import click

from deploykit.errors import UsageError
from deploykit.workflow.plan import Variants, fractions, numbers, words

if TYPE_CHECKING:
    from deploykit.workflow.calibration import CalibrationChoice

F = TypeVar("F", bound=Callable[..., Any])


def stack(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """Several decorators as one; the first is listed first in --help."""

    def apply(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


#: Which networks, and in which variants.
variant_options = stack(
    click.option("--alpha", default="1", metavar="LIST", help="Width multipliers, such as 1,0.5."),
    click.option(
        "--rho", default="1", metavar="LIST", help="Resolution multipliers, such as 1,6/7."
    ),
    click.option(
        "--weights",
        metavar="SOURCE",
        help="random (seeded; the default), trained (shipped, for --data where that is given; or "
        "trained:DATASET), torchvision, timm, or a checkpoint file.",
    ),
    click.option("--num-classes", type=int, metavar="N", help="Classes of the head."),
    click.option(
        "--resolution", type=int, metavar="PX", help="Base input size, which --rho multiplies."
    ),
    click.option("--seed", type=int, default=0, metavar="N", help="Of random weights."),
)

#: What networks are converted with.
calibration_options = stack(
    click.option(
        "--data",
        metavar="DATASET",
        help="Calibrate and judge on: digits, fashion-mnist, imagefolder:PATH, npz:PATH.",
    ),
    click.option(
        "--calibration-method",
        default="minmax",
        metavar="METHOD",
        help="minmax, percentile, entropy or mse.",
    ),
    click.option(
        "--calibration-images", type=click.IntRange(1), metavar="N", help="How many images."
    ),
    click.option(
        "--synthetic-calibration",
        is_flag=True,
        help="Allow made-up images: an engine to time, not to trust. The row says so.",
    ),
)

#: What is left out of a conversion.
keep_options = stack(
    click.option(
        "--keep",
        "keep",
        multiple=True,
        metavar="NODE",
        help="Leave a node in fp32, by name or pattern; can be repeated.",
    ),
    click.option(
        "--keep-op",
        "keep_op",
        multiple=True,
        metavar="TYPE",
        help="Leave all nodes of a type in fp32, such as Gemm; can be repeated.",
    ),
    click.option(
        "--keep-drift",
        "keep_drift",
        type=click.IntRange(1),
        metavar="N",
        help="Leave the N layers in fp32 whose conversion costs the outputs most.",
    ),
)

store_option = click.option(
    "--store", metavar="DIR", help="Artifact store; $DEPLOYKIT_STORE, else engines/."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")


def variants(
    alpha: str,
    rho: str,
    weights: str | None,
    num_classes: int | None,
    resolution: int | None,
    seed: int,
) -> Variants:
    """The options of `variant_options` as a value.

    Raises:
        UsageError: a list that is empty or holds something else than numbers.
    """
    rhos: tuple[Fraction, ...] = fractions(rho, "--rho")
    alphas = numbers(alpha, "--alpha")
    if not alphas or not rhos:
        raise UsageError("--alpha and --rho need at least one number, such as --alpha 1,0.5")
    return Variants(alphas, rhos, weights, num_classes, resolution, seed)


def calibration_choice(
    data: str | None, options: dict[str, Any], precisions: Sequence[str]
) -> CalibrationChoice:
    """The options of `calibration_options` and `keep_options`, taken out of `options`, as a value.

    Raises:
        UnknownName, UsageError, MissingDependency: there is no such method or data set, or layers are to be
            kept in fp32 where nothing else is asked for.
    """
    from deploykit.workflow.calibration import CalibrationChoice, KeepChoice

    taken = {name: options.pop(name) for name in _CALIBRATION}
    keep = KeepChoice(taken["keep"], taken["keep_op"], taken["keep_drift"] or 0)
    keep.check(precisions)
    choice = CalibrationChoice(
        data,
        taken["calibration_method"],
        taken["calibration_images"],
        taken["synthetic_calibration"],
        keep=keep,
    )
    choice.check()
    return choice


_CALIBRATION = (
    "calibration_method", "calibration_images", "synthetic_calibration",
    "keep", "keep_op", "keep_drift",
)  # fmt: skip


def listed(text: str, option: str) -> list[str]:
    """A comma-separated list that must not be empty.

    Raises:
        UsageError: it is.
    """
    found = words(text)
    if not found:
        raise UsageError(f"{option} needs at least one value")
    return found


def whole_numbers(text: str, option: str) -> tuple[int, ...]:
    """A comma-separated list of whole numbers from 1.

    Raises:
        UsageError: something else stands in it.
    """
    found = []
    for part in listed(text, option):
        if not part.isdigit() or int(part) < 1:
            raise UsageError(f"{option} takes whole numbers from 1, not {part!r}")
        found.append(int(part))
    return tuple(found)
