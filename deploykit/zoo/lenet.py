"""The networks for digits: multilayer perceptrons and LeNet-5.

Perceptrons: Rumelhart, Hinton, Williams, "Learning representations by back-propagating errors", 1986. `mlp_xor` is
the smallest net that solves exclusive-or, 2-2-1 with the logistic units of the time. `mlp` is the textbook network
on 28 px digits, 784-256-10 with ReLU.

LeNet-5: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", 1998. Fig. 2 and
section II.B give the geometry: 32 px, two 5x5 convolutions with 2x2 averaging between, 120 and 84 units.
`lenet5` is what the name stands for since: every map of C3 sees all six of S2, averaging has no
coefficients, and a linear layer replaces the RBF units, 61,706 parameters (28 px padded by 2 is the same
network). Units are tanh, as in 1998, without the 1.7159 scaling.

`lenet5_1998` is the paper's, 60,000 trainable parameters: C3 is connected by table I, sub-sampling has a
trainable coefficient and bias per map, units are 1.7159 tanh(2x/3), and outputs are distances to fixed
codes. The paper draws its codes as 7x12 pictures of characters; here they are random, which section II.B
says they may be. As logits serve the negated distances, so that the largest wins.
"""

from __future__ import annotations

import torch
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


#: Table I: which maps of S2 each map of C3 sees, in the order of C3's maps, grouped by how many.
_CONNECTIONS = (
    ((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (4, 5, 0), (5, 0, 1)),
    ((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (3, 4, 5, 0), (4, 5, 0, 1), (5, 0, 1, 2)),
    ((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
    ((0, 1, 2, 3, 4, 5),),
)


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


class Squash(nn.Module):
    """1.7159 tanh(2x/3), which is 1 at 1 and -1 at -1 (appendix A)."""

    def forward(self, x: Tensor) -> Tensor:
        """The squashed values of `x`, in the same shape."""
        return 1.7159 * torch.tanh(x * (2 / 3))


class Subsample(nn.Module):
    """The sum over 2x2 values, times a coefficient and plus a bias per map."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.coefficient = nn.Parameter(torch.full((maps, 1, 1), 0.25))
        self.bias = nn.Parameter(torch.zeros(maps, 1, 1))
        self.average = nn.AvgPool2d(2)

    def reset_values(self, generator: torch.Generator) -> None:
        """Set the values so that the layer starts as plain averaging."""
        self.coefficient.fill_(0.25)
        self.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """(N, maps, H, W) to (N, maps, H/2, W/2)."""
        return self.average(x) * (4 * self.coefficient) + self.bias


class PartialConv(nn.Module):
    """C3: 5x5 convolutions that each see the maps of `_CONNECTIONS` and no others."""

    def __init__(self) -> None:
        super().__init__()
        self.groups = nn.ModuleList(
            nn.Conv2d(len(maps) * len(maps[0]), len(maps), 5, groups=len(maps))
            for maps in _CONNECTIONS
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, 6, 14, 14) to (N, 16, 10, 10)."""
        parts = []
        for conv, maps in zip(self.groups, _CONNECTIONS, strict=True):
            seen = torch.tensor([m for group in maps for m in group], device=x.device)
            parts.append(conv(torch.index_select(x, 1, seen)))
        return torch.cat(parts, 1)


class NearestCode(nn.Module):
    """Radial basis functions: squared distances to one fixed code of +1 and -1 per class, negated."""

    codes: Tensor

    def __init__(self, inputs: int, num_classes: int) -> None:
        super().__init__()
        # Booleans, true for +1: they are no parameters, and no graph should take them for some.
        self.register_buffer("codes", torch.ones(num_classes, inputs, dtype=torch.bool))

    def reset_values(self, generator: torch.Generator) -> None:
        """Draw a random code for each class."""
        self.codes.copy_(torch.randint(0, 2, self.codes.shape, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs) to (N, num_classes)."""
        x = x.unsqueeze(1)
        return -torch.where(self.codes, (x - 1) ** 2, (x + 1) ** 2).sum(2)


def lenet5(*, num_classes: int = 10) -> nn.Module:
    """LeNet-5 with full connections and a linear output layer."""
    return LeNet5(num_classes)


def lenet5_1998(*, num_classes: int = 10) -> nn.Module:
    """LeNet-5 as printed: table I's connections, trainable sub-sampling, RBF outputs."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5),
        Squash(),
        Subsample(6),
        Squash(),
        PartialConv(),
        Squash(),
        Subsample(16),
        Squash(),
        nn.Conv2d(16, 120, 5),
        Squash(),
        nn.Flatten(),
        nn.Linear(120, 84),
        Squash(),
        NearestCode(84, num_classes),
    )
