"""Small trainings on Fashion-MNIST, for networks whose accuracy int8 is judged by and that none ships trained.

EfficientNet-B0 (swish everywhere, gates of sigmoids), and a residual network with squeeze-and-excitation whose
activations are ReLUs. Each is trained once, on some images for a few epochs, into a cache; the same code and seed
give the same weights. They are no good classifiers, and need not be: what counts is what int8
changes.

    python -m benchmarks.fashion_networks       # train what the cache lacks
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from deploykit.data import open_dataset
from deploykit.spec import ModelSpec
from deploykit.training import train
from deploykit.training.recipes import Recipe

DATA = "fashion-mnist"
#: One: where cores are shared, two wait for each other.
THREADS = 1


class _Excited(nn.Module):
    """A residual block, its branch gated channel by channel: (N, C, H, W) to (N, outputs, H', W')."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm_1 = nn.BatchNorm2d(outputs)
        self.conv_2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm_2 = nn.BatchNorm2d(outputs)
        self.squeeze = nn.Conv2d(outputs, outputs // 8, 1)
        self.excite = nn.Conv2d(outputs // 8, outputs, 1)
        self.shortcut = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm_2(self.conv_2(torch.relu(self.norm_1(self.conv_1(x)))))
        gate = torch.relu(self.squeeze(y.mean((2, 3), keepdim=True)))
        return torch.relu(y * torch.sigmoid(self.excite(gate)) + self.shortcut(x))


class _SeNetwork(nn.Module):
    input_shape = (3, 32, 32)

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
            _Excited(16, 32, 2), _Excited(32, 32, 1), _Excited(32, 64, 2), _Excited(64, 64, 1),
        )  # fmt: skip
        self.head = nn.Linear(64, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(x).mean((2, 3)))


def se_network(num_classes: int = 10) -> nn.Module:
    """A residual network of four blocks with squeeze-and-excitation, for images of 32 x 32 pixels."""
    return _SeNetwork(num_classes)


#: What is trained: the network, images of the train part, and the recipe.
TRAININGS: dict[str, tuple[ModelSpec, int, Recipe]] = {
    "se-network": (
        ModelSpec("benchmarks.fashion_networks:se_network", num_classes=10),
        10_000,
        Recipe(epochs=2, batch_size=64, peak_learning_rate=8e-3, flip=True, threads=THREADS),
    ),
    "efficientnet_b0": (
        ModelSpec("efficientnet_b0", num_classes=10, resolution_px=32),
        6_000,
        Recipe(epochs=3, batch_size=32, peak_learning_rate=4e-3, flip=True, threads=THREADS),
    ),
}


def cache_folder() -> Path:
    """Where weights are kept from run to run, outside of the repository."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "deploykit" / "fashion-networks"


def trained(name: str) -> ModelSpec:
    """The network of that name with its weights, which are trained where the cache lacks them."""
    spec, images, recipe = TRAININGS[name]
    path = cache_folder() / f"{name}.safetensors"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        data = open_dataset(DATA)
        few = replace(data, train=data.train.first(images))
        made = train(spec, few, out=path, recipe=recipe, resume=True)
        print(f"{name}: {made.top1:.4f} after {made.train_s:.0f} s", file=sys.stderr, flush=True)
    return replace(spec, weights=str(path))


if __name__ == "__main__":
    for wanted in sys.argv[1:] or TRAININGS:
        trained(wanted)
