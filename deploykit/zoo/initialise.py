"""Random weights whose activations keep the scale of a trained network's.

Networks are measured with random weights too, in FP16 as well, where activations that grow with depth would
overflow and ones that vanish would hide errors. So: He-normal weights for the rectifiers that follow
(He et al. 2015, eq. 10), zero biases, and BatchNorm's running statistics taken from one batch of noise that is
sent through, as training would have left them.

That alone leaves deep networks chaotic: a small change of the input grew 500 times in ResNet-152, 800 times in
Inception-v4 and 4,000 times in EfficientNet-B7, so that no comparison of precisions meant anything. Trained
networks are not so. Two constants keep the growth below 40 throughout the catalogue: residual branches end
with a smaller scale, and BatchNorm shifts by half a standard deviation, so that rectifiers cut off less.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from .blocks import Resettable
from .catalogue import Architecture

#: Images and their size for BatchNorm's statistics: small, yet with enough positions per channel
#: in the deepest layers that the variance is no accident (4 x 7 x 7 after a stride of 32).
_BATCH = 4
_RESOLUTION_PX = 224

#: Scale of the normalisation that ends a residual branch, which blocks name as their `branch_norm`.
_BRANCH_SCALE = 0.25
#: BatchNorm's shift, in the standard deviations of what it normalises.
_NORM_SHIFT = 0.5


def initialise(module: nn.Module, *, seed: int, architecture: Architecture) -> None:
    """Fill `module` in place, from `seed` alone; the caller's random state is untouched.

    Args:
        module: on the CPU, values not yet set; in eval mode, and left so.
        seed: equal seeds give equal weights.
        architecture: tells the input for BatchNorm's statistics.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for part in module.modules():
            _fill(part, generator)
        for part in module.modules():
            norm = getattr(part, "branch_norm", None)
            if isinstance(norm, nn.BatchNorm2d):
                norm.weight.fill_(_BRANCH_SCALE)
        norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
        if norms:
            resolution_px = architecture.resolution_px
            if architecture.has_rho:
                wanted_px = max(_RESOLUTION_PX, architecture.min_resolution_px)
                resolution_px = min(wanted_px, resolution_px)
            shape = (_BATCH, architecture.channels, resolution_px, resolution_px)
            _estimate_statistics(module, norms, torch.randn(shape, generator=generator))


def _fill(part: nn.Module, generator: torch.Generator) -> None:
    if isinstance(part, nn.Conv2d | nn.Linear):
        fan_in = math.prod(part.weight.shape[1:])
        part.weight.normal_(0.0, math.sqrt(2.0 / fan_in), generator=generator)
        if part.bias is not None:
            part.bias.zero_()
    elif isinstance(part, nn.BatchNorm2d):
        part.reset_parameters()
        part.bias.fill_(_NORM_SHIFT)
    elif isinstance(part, Resettable):
        part.reset_values(generator)
    elif [*part.parameters(recurse=False), *part.buffers(recurse=False)]:
        raise TypeError(f"{type(part).__name__} has values and no reset_values to start them with")


def _estimate_statistics(
    module: nn.Module, norms: list[nn.BatchNorm2d], images: torch.Tensor
) -> None:
    """Set the running statistics to those of `images`, each layer seeing its normalised predecessors."""
    momenta = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.momentum = 1.0
            norm.train()
        module(images)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()
            if norm.num_batches_tracked is not None:
                norm.num_batches_tracked.zero_()
