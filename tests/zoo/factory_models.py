"""Networks that a user might hand in by `module:factory`."""

from __future__ import annotations

import os

import torch
from torch import nn


class Declared(nn.Module):
    """Tells its own input."""

    input_shape = (2, 6, 4)

    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        self.layer = nn.Linear(48, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(torch.flatten(x, 1))


def in_half() -> nn.Module:
    return Declared().half()


def in_double() -> nn.Module:
    return Declared().double()


class HalfInside(Declared):
    """Computes one layer in half precision by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(48, 48).half()


def on_meta() -> nn.Module:
    with torch.device("meta"):
        return Declared()


def unsettling() -> nn.Module:
    """Leaves the process in other settings than it found."""
    os.chdir("/")
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    torch.set_grad_enabled(False)
    return Declared().to_empty(device="cpu").float()


def plain() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def raising() -> nn.Module:
    raise ValueError("no luck\ntoday")


def leaving() -> nn.Module:
    raise SystemExit(3)


class OfItsOwn(BaseException):
    """What no `except Exception` catches."""


def beyond_exceptions() -> nn.Module:
    raise OfItsOwn("no luck")


class LeavingForward(Declared):
    """Leaves Python when it is run."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise SystemExit(3)


class Unbounded(Declared):
    """Has an input without an end."""

    input_shape = (3, float("inf"), 16)  # type: ignore[assignment]


class Troubled(Declared):
    """Fails where its input is asked for."""

    @property
    def input_shape(self) -> tuple[int, int, int]:  # type: ignore[override]
        raise RuntimeError("no size yet")


def troubled() -> nn.Module:
    return Troubled()


def nothing() -> None:
    return None


number = 3


def talking() -> nn.Module:
    print("a network is made")

    class Talking(Declared):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            print("a network runs")
            return super().forward(x)

    return Talking()


class Looking(Declared):
    """Branches on a value."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x if x.sum() > 0 else -x)


def compiled() -> nn.Module:
    return torch.compile(Declared())  # type: ignore[return-value]


made = Declared()
