from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from deploykit import zoo
from deploykit.cuda import DeviceMemoryExhausted
from deploykit.data import Dataset
from deploykit.errors import DeploykitError, OutputFailed, UsageError
from deploykit.spec import ModelSpec
from deploykit.training import Progress, Recipe, recipe_for, train
from deploykit.training.epochs import Epochs, count_correct
from deploykit.zoo.weights import metadata

LENET = ModelSpec("lenet5")


class Stop(Exception):
    """What a user's interruption is to the training."""


def stop_in_epoch(number: int) -> object:
    def watch(progress: Progress) -> None:
        if progress.epoch == number:
            raise Stop

    return watch


def test_training_makes_a_network_that_recognises_digits(
    tmp_path: Path, few_digits: Dataset
) -> None:
    result = train(LENET, few_digits, out=tmp_path / "a.safetensors", epochs=12)
    assert result.top1 > 0.6  # a guess is right in 0.1
    assert result.test_images == 50
    assert result.epochs == 12


def test_the_stored_accuracy_is_that_of_the_stored_weights(
    tmp_path: Path, few_digits: Dataset
) -> None:
    out = tmp_path / "a.safetensors"
    result = train(LENET, few_digits, out=out, epochs=2)
    spec = replace(LENET, weights=str(out))
    correct, total = count_correct(zoo.create(spec), few_digits.test, zoo.input_shape(spec))
    assert (correct / total, total) == (result.top1, 50)
    assert float(metadata(out)["test_top1"]) == result.top1


def test_same_seed_same_bytes_other_seed_other_weights(tmp_path: Path, few_digits: Dataset) -> None:
    hashes = [
        train(LENET, few_digits, out=tmp_path / f"{n}.safetensors", epochs=1, seed=seed).sha256
        for n, seed in enumerate([5, 5, 6])
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_test_part_has_no_influence_on_the_weights(tmp_path: Path, few_digits: Dataset) -> None:
    other = replace(few_digits, test=few_digits.calibration)
    for name, dataset in (("a", few_digits), ("b", other)):
        train(LENET, dataset, out=tmp_path / f"{name}.safetensors", epochs=2)
    first, second = (load_file(tmp_path / f"{name}.safetensors") for name in "ab")
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_an_interrupted_training_goes_on_as_if_unbroken(
    tmp_path: Path, few_digits: Dataset
) -> None:
    unbroken = train(LENET, few_digits, out=tmp_path / "unbroken.safetensors", epochs=3)
    out = tmp_path / "broken.safetensors"
    with pytest.raises(Stop):
        train(LENET, few_digits, out=out, epochs=3, progress=stop_in_epoch(3))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "broken.safetensors.resume",
        "unbroken.safetensors",
    ]
    seen: list[int] = []
    resumed = train(
        LENET, few_digits, out=out, epochs=3, resume=True, progress=lambda p: seen.append(p.epoch)
    )
    assert set(seen) == {3}
    assert resumed.sha256 == unbroken.sha256
    assert not out.with_name("broken.safetensors.resume").exists()


@pytest.mark.parametrize(
    "spec",
    [
        ModelSpec("mobilenet", alpha=0.25, resolution_px=16),
        ModelSpec("squeezenet1_1", resolution_px=17),
    ],
    ids=["normalisation", "dropout"],
)
def test_what_networks_remember_or_draw_is_resumed_too(
    tmp_path: Path, few_digits: Dataset, spec: ModelSpec
) -> None:
    unbroken = train(spec, few_digits, out=tmp_path / "unbroken.safetensors", epochs=2)
    out = tmp_path / "broken.safetensors"
    with pytest.raises(Stop):
        train(spec, few_digits, out=out, epochs=2, progress=stop_in_epoch(2))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(123)  # another process has another random state
        resumed = train(spec, few_digits, out=out, epochs=2, resume=True)
    assert resumed.sha256 == unbroken.sha256


def test_an_interruption_leaves_the_old_checkpoint_as_it_was(
    tmp_path: Path, few_digits: Dataset
) -> None:
    out = tmp_path / "a.safetensors"
    before = train(LENET, few_digits, out=out, epochs=1).sha256
    content = out.read_bytes()
    with pytest.raises(Stop):
        train(LENET, few_digits, out=out, epochs=2, seed=1, progress=stop_in_epoch(2))
    assert out.read_bytes() == content
    assert before


def test_without_resume_an_old_state_is_not_used(tmp_path: Path, few_digits: Dataset) -> None:
    out = tmp_path / "a.safetensors"
    with pytest.raises(Stop):
        train(LENET, few_digits, out=out, epochs=2, progress=stop_in_epoch(2))
    seen: list[int] = []
    train(LENET, few_digits, out=out, epochs=2, progress=lambda p: seen.append(p.epoch))
    assert set(seen) == {1, 2}


@pytest.mark.parametrize("changes", [{"seed": 9}, {"epochs": 4}])
def test_a_state_of_other_settings_is_refused(
    tmp_path: Path, few_digits: Dataset, changes: dict[str, int]
) -> None:
    out = tmp_path / "a.safetensors"
    with pytest.raises(Stop):
        train(LENET, few_digits, out=out, epochs=2, progress=stop_in_epoch(2))
    with pytest.raises(UsageError, match="belongs to a training with other settings"):
        train(LENET, few_digits, out=out, resume=True, **({"epochs": 2} | changes))


def test_a_damaged_state_is_refused(tmp_path: Path, few_digits: Dataset) -> None:
    (tmp_path / "a.safetensors.resume").write_bytes(b"torn")
    with pytest.raises(UsageError, match="remove it to start anew"):
        train(LENET, few_digits, out=tmp_path / "a.safetensors", epochs=1, resume=True)


def test_metadata_tells_what_was_trained_on_what_and_how(
    tmp_path: Path, few_digits: Dataset
) -> None:
    spec = ModelSpec("mobilenet", alpha=0.25, rho=Fraction(6, 7), resolution_px=21)
    out = tmp_path / "a.safetensors"
    result = train(spec, few_digits, out=out, epochs=1, seed=3)
    stored = metadata(out)
    assert stored == result.metadata
    assert stored["model"] == "mobilenet"
    assert (stored["alpha"], stored["rho"], stored["resolution_px"]) == ("0.25", "6/7", "21")
    assert (stored["num_classes"], stored["dataset"], stored["seed"]) == ("10", "digits", "3")
    assert stored["train_sha256"] == few_digits.train.sha256
    assert stored["test_sha256"] == few_digits.test.sha256
    assert stored["torch"] == torch.__version__
    assert "peak_learning_rate=" in stored["recipe"]


def test_an_alias_is_stored_under_the_catalogue_s_name(tmp_path: Path, few_digits: Dataset) -> None:
    result = train(ModelSpec("lenet"), few_digits, out=tmp_path / "a.safetensors", epochs=1)
    assert result.metadata["model"] == "lenet5"


def test_progress_counts_every_image(tmp_path: Path, few_digits: Dataset) -> None:
    seen: list[Progress] = []
    train(LENET, few_digits, out=tmp_path / "a.safetensors", epochs=2, progress=seen.append)
    assert [p.image for p in seen] == [32, 64, 96] * 2
    assert seen[-1].fraction == 1
    assert all(p.images == 96 for p in seen)


def test_one_image_that_is_left_over_is_trained_on_in_another_epoch(
    tmp_path: Path, few_digits: Dataset
) -> None:
    """Of one image there is no spread, which a normalisation of maps of one pixel refuses."""
    module = torch.nn.Sequential(
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Conv2d(1, 4, 1),
        torch.nn.BatchNorm2d(4),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 10),
    )
    seen: list[int] = []
    part, recipe = few_digits.train.first(9), Recipe(epochs=2, batch_size=4)
    epochs = Epochs(module, part, (1, 32, 32), recipe, 0, "cpu", lambda now: seen.append(now.image))
    assert math.isfinite(epochs.run(tmp_path / "state", "settings"))
    assert seen == [4, 8] * 2


def test_the_caller_s_random_state_is_left_alone(tmp_path: Path, few_digits: Dataset) -> None:
    before = torch.get_rng_state()
    train(LENET, few_digits, out=tmp_path / "a.safetensors", epochs=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_place_that_can_not_be_written_is_found_before_training(
    tmp_path: Path, few_digits: Dataset
) -> None:
    def never(_: Progress) -> None:
        pytest.fail("training has begun")

    for out, message in (
        (tmp_path / "none" / "a.safetensors", "its folder does not exist"),
        (tmp_path, "it is a folder"),
    ):
        with pytest.raises(OutputFailed, match=message):
            train(LENET, few_digits, out=out, epochs=1, progress=never)


@pytest.mark.parametrize("name", ["a.pt", "a.pth", "a"])
def test_a_checkpoint_that_no_command_would_read_is_refused(
    tmp_path: Path, few_digits: Dataset, name: str
) -> None:
    with pytest.raises(UsageError, match=r"nothing reads it as such: name it a\.safetensors$"):
        train(LENET, few_digits, out=tmp_path / name, epochs=1)


NETWORKS = """
import torch
from torch import nn


class Net(nn.Sequential):
    input_shape = (1, 8, 8)


def ten():
    return Net(nn.Flatten(), nn.Linear(64, 10))


def told(num_classes):
    return Net(nn.Flatten(), nn.Linear(64, num_classes))


def two():
    return Net(nn.Flatten(), nn.Linear(64, 2))


def pixels():
    return Net(nn.Conv2d(1, 10, 1))


def wide():
    return Net(nn.Flatten(), nn.Linear(65, 10))


class Named(Net):
    def forward(self, x):
        return {"out": super().forward(x)}


def named():
    return Named(nn.Flatten(), nn.Linear(64, 10))


class Large(Net):
    def forward(self, x):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


def large():
    return Large(nn.Flatten(), nn.Linear(64, 10))
"""


@pytest.fixture
def own_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "trained_networks.py").write_text(NETWORKS)
    monkeypatch.chdir(tmp_path)
    yield "trained_networks"
    sys.modules.pop("trained_networks", None)


@pytest.mark.parametrize("function", ["ten", "told"])
def test_a_network_of_ones_own_is_trained_whether_it_takes_a_number_of_classes_or_not(
    tmp_path: Path, few_digits: Dataset, own_networks: str, function: str
) -> None:
    spec = ModelSpec(f"{own_networks}:{function}")
    result = train(spec, few_digits, out=tmp_path / "a.safetensors", epochs=1)
    assert result.metadata["num_classes"] == "10"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("two", "has 10 classes but the network has 2 outputs"),
        ("pixels", r"makes \[1, 10, 8, 8\] of one image of 1 x 8 x 8: training takes a module"),
        ("named", "makes dict of one image of 1 x 8 x 8: training takes a module"),
        ("wide", "raised RuntimeError on an image of 1 x 8 x 8: .*; give --resolution, or set"),
    ],
)
def test_a_network_of_ones_own_that_is_no_classifier_of_the_data_is_refused(
    tmp_path: Path, few_digits: Dataset, own_networks: str, function: str, message: str
) -> None:
    spec = ModelSpec(f"{own_networks}:{function}")
    with pytest.raises(UsageError, match=message):
        train(spec, few_digits, out=tmp_path / "a.safetensors", epochs=1)


def test_a_device_without_room_for_one_image_is_no_fault_of_the_image_s_size(
    tmp_path: Path, few_digits: Dataset, own_networks: str
) -> None:
    """It was told to give --resolution or to set input_shape, which change nothing there."""
    spec = ModelSpec(f"{own_networks}:large")
    with pytest.raises(DeviceMemoryExhausted, match=r"^cpu is out of memory \(CUDA out of memory"):
        train(spec, few_digits, out=tmp_path / "a.safetensors", epochs=1)


def test_a_state_of_a_network_that_was_changed_meanwhile_is_refused(
    tmp_path: Path, few_digits: Dataset, own_networks: str
) -> None:
    out, spec = tmp_path / "a.safetensors", ModelSpec(f"{own_networks}:ten")
    with pytest.raises(Stop):
        train(spec, few_digits, out=out, epochs=2, progress=stop_in_epoch(2))
    module = sys.modules[own_networks]
    module.ten = lambda: module.Net(nn.Flatten(), nn.Linear(64, 32), nn.Linear(32, 10))
    with pytest.raises(UsageError, match="is of another network by this name: remove it"):
        train(spec, few_digits, out=out, epochs=2, resume=True)


def test_a_network_with_too_few_outputs_is_refused(tmp_path: Path, few_digits: Dataset) -> None:
    with pytest.raises(UsageError, match="10 classes but the network has 4 outputs"):
        train(ModelSpec("lenet5", num_classes=4), few_digits, out=tmp_path / "a.safetensors")


def test_no_epochs_and_no_images_are_refused(tmp_path: Path, few_digits: Dataset) -> None:
    out = tmp_path / "a.safetensors"
    with pytest.raises(UsageError, match="0 epochs are not possible"):
        train(LENET, few_digits, out=out, epochs=0)
    for part in ("train", "test"):
        without = replace(few_digits, **{part: few_digits.parts[part].subset([])})
        with pytest.raises(UsageError, match=f"digits/{part} has no images"):
            train(LENET, without, out=out)


def test_divergence_is_said(tmp_path: Path, few_digits: Dataset) -> None:
    recipe = replace(
        recipe_for("lenet", "digits", 3), peak_learning_rate=1e30, warmup=0.5, clip_norm=1e30
    )
    with pytest.raises(DeploykitError, match="training diverged"):
        train(LENET, few_digits, out=tmp_path / "a.safetensors", recipe=recipe)
    assert not (tmp_path / "a.safetensors").exists()


def test_importing_the_package_imports_no_torch() -> None:
    code = "import sys, deploykit.training; print('torch' in sys.modules, 'numpy' in sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.split() == ["False", "False"]


def test_the_number_of_threads_is_the_recipe_s_only_while_training(
    tmp_path: Path, few_digits: Dataset
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        seen: set[int] = set()
        train(
            LENET,
            few_digits,
            out=tmp_path / "a.safetensors",
            epochs=1,
            progress=lambda _: seen.add(torch.get_num_threads()),
        )
        assert seen == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
