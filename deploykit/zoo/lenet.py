"""LeNet-5: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", 1998.

Fig. 2 and section II.B give the geometry: 32 px, two 5x5 convolutions with 2x2 averaging between, 120 and
84 units. `lenet5` is what the name stands for since: every map of C3 sees all six of S2, averaging has no
coefficients, and a linear layer replaces the RBF units, 61,706 parameters (28 px padded by 2 is the same
network). Units are tanh, as in 1998, without the 1.7159 scaling.
"""

from __future__ import annotations

from torch import Tensor, nn


class LeNet5(nn.Module):
    """(N, 1, 32, 32) to logits (N, num_classes)."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, 5),
            nn.Tanh(),
            nn.AvgPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.Tanh(),
            nn.AvgPool2d(2),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(16 * 5 * 5, 120),
            nn.Tanh(),
            nn.Linear(120, 84),
            nn.Tanh(),
            nn.Linear(84, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the images `x`."""
        return self.classifier(self.features(x))


def lenet5(*, num_classes: int = 10) -> nn.Module:
    """LeNet-5 with full connections and a linear output layer."""
    return LeNet5(num_classes)
