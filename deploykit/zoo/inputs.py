"""Which input a request leads to, and whether the network can process it."""

from __future__ import annotations

from fractions import Fraction

from deploykit.errors import UsageError
from deploykit.spec import ModelSpec

from .architecture import Architecture
from .registry import is_factory, lookup


def input_shape(spec: ModelSpec) -> tuple[int, int, int]:
    """Channels, height and width of the input that `spec` asks for: round(resolution * rho) squared.

    Raises:
        UsageError: alpha, rho, the resolution or num_classes can't be.
        UnknownName: there is no such architecture.
    """
    check_multipliers(spec)
    if is_factory(spec.name):
        from .factories import input_shape_of_factory

        return input_shape_of_factory(spec)
    architecture = lookup(spec.name)
    check_support(spec, architecture)
    base_px = base_resolution_px(spec, architecture)
    resolution_px = round(base_px * spec.rho)
    if resolution_px != architecture.resolution_px and not architecture.has_rho:
        raise UsageError(
            f"{architecture.name} takes {architecture.resolution_px} px and no other size: "
            "leave out --resolution"
        )
    smallest_px = architecture.min_resolution_px
    if resolution_px < smallest_px:
        rho = Fraction(smallest_px, base_px)
        raise UsageError(
            f"an input of {resolution_px} px is too small for {architecture.name}: the smallest that "
            f"works is {smallest_px} px" + (f", rho {rho} of {base_px} px" if rho <= 1 else "")
        )
    return (architecture.channels, resolution_px, resolution_px)


def base_resolution_px(spec: ModelSpec, architecture: Architecture) -> int:
    """The size that rho acts on: as asked for, else of the trained checkpoint, else canonical."""
    if spec.resolution_px is not None:
        return spec.resolution_px
    if spec.weights != "random":
        from .weights import facts

        stored = facts(spec)
        if "resolution_px" in stored:
            return int(stored["resolution_px"])
    return architecture.resolution_px


def check_multipliers(spec: ModelSpec) -> None:
    """Refuse values that no network could take.

    Raises:
        UsageError: alpha or rho outside (0, 1], a resolution or num_classes below 1.
    """
    if not 0 < spec.alpha <= 1:
        raise UsageError(f"alpha {spec.alpha:g} is out of range: give a number above 0, at most 1")
    if not 0 < spec.rho <= 1:
        raise UsageError(f"rho {spec.rho} is out of range: give a number above 0, at most 1")
    if spec.num_classes is not None and spec.num_classes < 1:
        raise UsageError(f"num_classes {spec.num_classes} is out of range: give at least 1")
    if spec.resolution_px is not None and spec.resolution_px < 1:
        raise UsageError(f"resolution {spec.resolution_px} px is out of range: give at least 1")


def check_support(spec: ModelSpec, architecture: Architecture) -> None:
    """Refuse a multiplier on an architecture that has none.

    Raises:
        UsageError: alpha or rho other than 1 where the architecture doesn't define it.
    """
    if spec.alpha != 1 and not architecture.has_alpha:
        raise UsageError(
            f"{architecture.name} has no width multiplier: leave out --alpha (mobilenet has one)"
        )
    if spec.rho != 1 and not architecture.has_rho:
        raise UsageError(
            f"{architecture.name} takes {architecture.resolution_px} px and no other size: "
            "leave out --rho"
        )
