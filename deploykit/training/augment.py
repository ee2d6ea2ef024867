"""Random turning, scaling, shifting and mirroring of image batches."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from deploykit.training.recipes import Recipe


def augment(images: torch.Tensor, recipe: Recipe, generator: torch.Generator) -> torch.Tensor:
    """Each image transformed by its own random affine map, sampled bilinearly, edges extended.

    Args:
        images: (N, C, H, W), on any device.
        recipe: how far to go.
        generator: on the CPU; the same state gives the same transformations on every device.
    """
    import torch
    from torch.nn import functional

    if not (recipe.rotate_deg or recipe.scale or recipe.shift or recipe.flip):
        return images
    count = len(images)
    angle, factor, across, down, side = torch.rand(5, count, generator=generator)
    angle = (2 * angle - 1) * math.radians(recipe.rotate_deg)
    factor = 1 + (2 * factor - 1) * recipe.scale
    mirror = torch.ones(count)
    if recipe.flip:
        mirror[side < 0.5] = -1
    # affine_grid's coordinates span -1..1 over the side, so a share of the side counts twice.
    maps = torch.stack(
        [
            torch.stack([factor * angle.cos() * mirror, -factor * angle.sin()], dim=1),
            torch.stack([factor * angle.sin() * mirror, factor * angle.cos()], dim=1),
        ],
        dim=1,
    )
    shifts = torch.stack([2 * across - 1, 2 * down - 1], dim=1) * (2 * recipe.shift)
    theta = torch.cat([maps, shifts[:, :, None]], dim=2).to(images.device, images.dtype)
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
