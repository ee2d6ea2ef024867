from __future__ import annotations

from dataclasses import replace

import torch

from deploykit.training.augment import augment
from deploykit.training.recipes import Recipe

STILL = Recipe(1, 8, 1e-3)
IMAGES = torch.randn(16, 3, 12, 12, generator=torch.Generator().manual_seed(0))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_recipe_without_augmentation_leaves_images_alone() -> None:
    assert augment(IMAGES, STILL, seeded(1)) is IMAGES


def test_mirroring_mirrors_about_half_and_changes_nothing_else() -> None:
    out = augment(IMAGES, replace(STILL, flip=True), seeded(1))
    same = torch.isclose(out, IMAGES, atol=1e-4).flatten(1).all(1)
    mirrored = torch.isclose(out, IMAGES.flip(3), atol=1e-4).flatten(1).all(1)
    assert bool((same ^ mirrored).all())
    assert 3 <= int(mirrored.sum()) <= 13


def test_shifts_stay_within_their_share_of_the_side() -> None:
    ramp = torch.arange(40.0).expand(64, 1, 40, 40).contiguous()
    out = augment(ramp, replace(STILL, shift=0.1), seeded(2))
    moved = out[:, 0, 20, 20] - 20
    assert float(moved.abs().max()) <= 4.001
    assert float(moved.max()) > 1.5
    assert float(moved.min()) < -1.5


def test_the_generator_alone_decides() -> None:
    recipe = replace(STILL, rotate_deg=20, scale=0.2, shift=0.1, flip=True)
    first, again, other = (augment(IMAGES, recipe, seeded(n)) for n in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == IMAGES.shape
