from __future__ import annotations

import pytest

from deploykit.training.recipes import Recipe, recipe_for


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
