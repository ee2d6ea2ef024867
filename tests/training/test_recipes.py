from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from deploykit.training.recipes import Recipe, augment, recipe_for


@pytest.mark.parametrize("family", ["lenet", "mobilenet", "vgg"])
def test_digits_are_never_mirrored(family: str) -> None:
    assert not recipe_for(family, "digits").flip
    assert recipe_for(family, "fashion-mnist").flip


def test_the_number_of_epochs_can_be_chosen() -> None:
    assert recipe_for("lenet", "digits", 3).epochs == 3
    assert "epochs=3 " in str(recipe_for("lenet", "digits", 3))


def test_the_learning_rate_rises_to_its_peak_and_falls_to_zero() -> None:
    recipe = Recipe(10, 8, peak_learning_rate=1.0, warmup=0.2)
    rates = [recipe.learning_rate(done / 100) for done in range(101)]
    assert rates[0] == pytest.approx(1 / 25)
    assert rates[20] == max(rates) == pytest.approx(1.0)
    assert rates[100] == pytest.approx(0.0)
    assert rates[:21] == sorted(rates[:21])
    assert rates[20:] == sorted(rates[20:], reverse=True)


def test_no_warm_up_begins_at_the_peak() -> None:
    assert Recipe(10, 8, peak_learning_rate=1.0, warmup=0.0).learning_rate(0.0) == 1.0


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
