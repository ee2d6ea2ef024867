"""The two customary scalings of ImageNet's pixels, and the way from one to the other."""

from __future__ import annotations

import torch
from torch import Tensor

#: Means and deviations that torchvision's networks expect images to be normalised with, 0..1 RGB.
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


def to_half_range(x: Tensor) -> Tensor:
    """Images (N, 3, H, W) normalised by mean and deviation, rescaled to what -1..1 pixels are.

    torchvision's GoogLeNet and Inception v3 hold weights that were trained on -1..1, and do this inside.
    """
    scale = torch.tensor([s / 0.5 for s in _STD], dtype=x.dtype, device=x.device)
    shift = torch.tensor([(m - 0.5) / 0.5 for m in _MEAN], dtype=x.dtype, device=x.device)
    return x * scale.reshape(1, 3, 1, 1) + shift.reshape(1, 3, 1, 1)
