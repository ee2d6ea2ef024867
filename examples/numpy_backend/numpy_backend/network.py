"""The network itself; imported when it is made."""

from __future__ import annotations

from torch import nn


def two_convolutions(num_classes: int = 10) -> nn.Module:
    """Float32 (N, 1, H, W) to logits (N, num_classes)."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, num_classes),
    )
