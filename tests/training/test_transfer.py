from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from deploykit import zoo
from deploykit.data import Dataset
from deploykit.errors import InvalidModel, UsageError
from deploykit.spec import ModelSpec
from deploykit.training import train
from deploykit.training.checkpoint import freeze, take_over
from deploykit.training.epochs import train_mode

LENET = ModelSpec("lenet5")


@pytest.fixture
def start(tmp_path: Path, few_digits: Dataset) -> Path:
    """A checkpoint to start from."""
    out = tmp_path / "start.safetensors"
    train(LENET, few_digits, out=out, epochs=1, seed=4)
    return out


def test_training_starts_from_the_weights_given(
    tmp_path: Path, few_digits: Dataset, start: Path
) -> None:
    out = tmp_path / "a.safetensors"
    result = train(
        LENET, few_digits, out=out, epochs=1, from_checkpoint=start, freeze=["features.*"]
    )
    before, after = load_file(start), load_file(out)
    assert result.initialised == ()
    assert result.frozen == (
        "features.0.weight",
        "features.0.bias",
        "features.3.weight",
        "features.3.bias",
    )
    for name in before:
        assert torch.equal(before[name], after[name]) == name.startswith("features.")
    assert "from_sha256" in result.metadata
    assert result.metadata["freeze"] == "features.*"


def test_a_head_of_another_size_starts_anew(
    tmp_path: Path, few_digits: Dataset, start: Path
) -> None:
    spec = ModelSpec("lenet5", num_classes=12)
    out = tmp_path / "a.safetensors"
    result = train(spec, few_digits, out=out, epochs=1, from_checkpoint=start)
    assert result.initialised == ("classifier.5.weight", "classifier.5.bias")


@pytest.mark.parametrize("spec", [ModelSpec("mobilenet", alpha=0.25, resolution_px=16)])
def test_weights_of_another_network_are_refused(
    tmp_path: Path, few_digits: Dataset, start: Path, spec: ModelSpec
) -> None:
    with pytest.raises(InvalidModel, match="give a checkpoint of the same architecture"):
        train(spec, few_digits, out=tmp_path / "a.safetensors", epochs=1, from_checkpoint=start)


def test_missing_and_damaged_checkpoints_are_refused(
    tmp_path: Path, few_digits: Dataset, start: Path
) -> None:
    out = tmp_path / "a.safetensors"
    with pytest.raises(UsageError, match="does not exist"):
        train(LENET, few_digits, out=out, from_checkpoint=tmp_path / "none.safetensors")
    start.write_bytes(start.read_bytes()[:5000])
    with pytest.raises(InvalidModel, match="cut short"):
        train(LENET, few_digits, out=out, from_checkpoint=start)


@pytest.mark.parametrize("prefix", ["model.", "_orig_mod.", "module.net."])
def test_training_starts_from_weights_under_a_wrappers_prefix(start: Path, prefix: str) -> None:
    held = load_file(start)
    module = zoo.create(LENET)
    left = take_over(module, {prefix + name: value for name, value in held.items()}, "start")
    assert left == ()
    assert all(torch.equal(value, module.state_dict()[name]) for name, value in held.items())


def test_training_does_not_start_from_weights_that_are_not_finite(start: Path) -> None:
    """It was said to diverge, and the images to be looked at."""
    held = load_file(start)
    held["classifier.1.bias"][3] = float("nan")
    with pytest.raises(InvalidModel, match=r"values in classifier\.1\.bias that are not finite"):
        take_over(zoo.create(LENET), held, "start")


def test_a_pattern_that_fits_nothing_is_answered_with_one_that_does() -> None:
    with pytest.raises(UsageError, match=r"features\.\* would fit"):
        freeze(zoo.create(LENET), ["backbone.*"])


def test_freezing_everything_is_refused() -> None:
    with pytest.raises(UsageError, match="leaves nothing to train"):
        freeze(zoo.create(LENET), ["features.*", "classifier.*"])


def test_frozen_normalisation_keeps_its_statistics(tmp_path: Path, few_digits: Dataset) -> None:
    spec = ModelSpec("mobilenet", alpha=0.25, resolution_px=16)
    module = zoo.create(replace(spec, num_classes=10))
    norms = [n for n, m in module.named_modules() if isinstance(m, torch.nn.BatchNorm2d)]
    freeze(module, [f"{norms[0]}.*"])
    train_mode(module)
    modes = {name: module.get_submodule(name).training for name in norms}
    assert modes.pop(norms[0]) is False
    assert all(modes.values())
