"""Multilayer perceptrons: Rumelhart, Hinton, Williams, "Learning representations by back-propagating errors", 1986.

`mlp_xor` is the smallest net that solves exclusive-or, 2-2-1 with the logistic units of the time. `mlp` is the
textbook network on 28 px digits, 784-256-10 with ReLU.
"""

from __future__ import annotations

from torch import Tensor, nn


class MLP(nn.Module):
    """One hidden layer: (N, C, H, W) with C*H*W = `inputs`, flattened, to logits (N, num_classes)."""

    def __init__(self, inputs: int, hidden: int, num_classes: int, activation: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(inputs, hidden),
            activation,
            nn.Linear(hidden, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the images `x`."""
        return self.layers(x)


def mlp(*, num_classes: int = 10) -> nn.Module:
    """784-256-10 with ReLU."""
    return MLP(784, 256, num_classes, nn.ReLU(inplace=True))


def mlp_xor(*, num_classes: int = 1) -> nn.Module:
    """2-2-1 with logistic hidden units; the output is a logit, above 0 for true."""
    return MLP(2, 2, num_classes, nn.Sigmoid())
