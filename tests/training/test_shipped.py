"""Checkpoints that come with the package have the accuracy that they state, and stay small."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import pytest

from deploykit import zoo
from deploykit.data import by_name, open_dataset
from deploykit.spec import ModelSpec
from deploykit.training import recipe_for
from deploykit.training.epochs import count_correct
from deploykit.zoo.weights import metadata, shipped
from studies.fashion_mnist.cases import EPOCHS

LIMIT_BYTES = 5_000_000
ON_CLOTHES = [stem for stem in shipped() if metadata(shipped()[stem])["dataset"] != "digits"]

installed = pytest.mark.skipif(
    not by_name.DEBIAN_FOLDER.is_dir(), reason="Fashion-MNIST is not installed here"
)


def spec_of(path: Path) -> ModelSpec:
    stored = metadata(path)
    return ModelSpec(
        stored["model"],
        alpha=float(stored["alpha"]),
        rho=Fraction(stored["rho"]),
        weights=f"trained:{stored['dataset']}",
    )


def test_shipped_weights_are_small_and_of_the_networks_promised() -> None:
    assert sum(path.stat().st_size for path in shipped().values()) < LIMIT_BYTES
    assert set(shipped()) == {
        "lenet5-digits",
        "lenet5-fashion-mnist",
        *(f"mobilenet-a0.25{rho}-fashion-mnist" for rho in ("", "-r6_7", "-r5_7", "-r4_7")),
    }


def test_shipped_lenet5_has_the_accuracy_that_it_states() -> None:
    stored = metadata(shipped()["lenet5-digits"])
    digits = open_dataset("digits")
    assert stored["train_sha256"] == digits.train.sha256
    assert stored["test_sha256"] == digits.test.sha256
    spec = ModelSpec("lenet5", weights="trained")
    assert stored["recipe"] == str(recipe_for("lenet", "digits"))
    correct, total = count_correct(zoo.create(spec), digits.test, zoo.input_shape(spec))
    assert total == 500
    # One image on the edge may fall otherwise with another version or processor.
    assert abs(correct - float(stored["test_top1"]) * total) <= 1
    assert correct / total >= 0.985


@installed
@pytest.mark.parametrize("stem", ON_CLOTHES)
def test_shipped_weights_of_the_study_have_the_accuracy_that_they_state(stem: str) -> None:
    path = shipped()[stem]
    spec, stored = spec_of(path), metadata(path)
    clothes = open_dataset("fashion-mnist")
    assert stored["train_sha256"] == clothes.train.sha256
    assert stored["test_sha256"] == clothes.test.sha256
    correct, total = count_correct(zoo.create(spec), clothes.test, zoo.input_shape(spec))
    assert total == int(stored["test_images"]) == 10_000
    assert abs(correct - float(stored["test_top1"]) * total) <= 5
    assert correct / total > 0.85


@pytest.mark.parametrize("stem", ON_CLOTHES)
def test_shipped_weights_of_the_study_were_trained_as_the_study_trains(stem: str) -> None:
    stored = metadata(shipped()[stem])
    family = zoo.lookup(stored["model"]).family
    # How many threads computed is not the recipe's matter on Fashion-MNIST.
    assert stored["recipe"] == str(recipe_for(family, "fashion-mnist", EPOCHS))
    assert (stored["seed"], stored["epochs"]) == ("0", str(EPOCHS))
    assert re.fullmatch(r"[0-9.]+(\+\w+)?", stored["torch"])
