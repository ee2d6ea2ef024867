"""`deploykit train`: progress on stderr, interruptions that lose nothing, starting from other weights."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import cuda_double
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from deploykit.cli.progress import TrainingDisplay
from deploykit.spec import ModelSpec
from deploykit.training import Progress
from deploykit.zoo import weights

DIGITS = ("train", "lenet5", "--data", "digits", "--epochs", "2")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def interrupt_in_epoch(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Ctrl-C comes at the first batch of that epoch."""

    def press(_: TrainingDisplay, now: Progress) -> None:
        if now.epoch == number:
            raise KeyboardInterrupt

    monkeypatch.setattr(TrainingDisplay, "show", press)


def test_elsewhere_than_on_a_terminal_each_epoch_is_a_line(run) -> None:
    ended = run(*DIGITS, "-o", "a.safetensors")
    assert ended.code == 0
    first, second = ended.err.splitlines()
    assert first.startswith("epoch 1/2: 1097 images, loss ")
    assert second.startswith("epoch 2/2: ")
    assert ended.out.startswith("a.safetensors: ")
    assert run(*DIGITS, "-o", "a.safetensors", "-q").err == ""


def test_a_terminal_sees_epoch_image_loss_and_the_time_left(monkeypatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with TrainingDisplay() as display:
        display.show(Progress(2, 3, 300, 1200, 0.5))
        assert display._bar.tasks[0].percentage == pytest.approx(100 * 1500 / 3600)
    shown = terminal.getvalue()
    assert all(text in shown for text in ("epoch 2/3", "image 300/1,200", "loss 0.500", "left"))


def test_no_colour_is_shown_where_none_is_wanted(monkeypatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    with TrainingDisplay() as display:
        display.show(Progress(1, 1, 1, 2, 0.5))
    assert "\x1b[3" not in terminal.getvalue()


def test_what_ctrl_c_leaves_goes_on_to_the_same_weights(run, monkeypatch, tmp_path: Path) -> None:
    assert run(*DIGITS, "-q", "-o", "unbroken.safetensors").code == 0
    with monkeypatch.context() as patched:
        interrupt_in_epoch(patched, 2)
        ended = run(*DIGITS, "-o", "broken.safetensors")
    assert ended.code == 130
    assert ended.err == (
        "deploykit: interrupted: the same command with --resume goes on from broken.safetensors.resume\n"
    )
    resumed = run(*DIGITS, "-o", "broken.safetensors", "--resume")
    assert [line.partition(":")[0] for line in resumed.err.splitlines()] == ["epoch 2/2"]
    broken, unbroken = (tmp_path / f"{n}.safetensors" for n in ("broken", "unbroken"))
    assert broken.read_bytes() == unbroken.read_bytes()


def test_ctrl_c_in_the_first_epoch_says_that_nothing_is_left(run, monkeypatch, tmp_path) -> None:
    interrupt_in_epoch(monkeypatch, 1)
    ended = run(*DIGITS, "-o", "a.safetensors")
    assert ended.code == 130
    assert "no epoch was finished, so there is nothing to go on from" in ended.err
    assert list(tmp_path.glob("a.safetensors*")) == []


def test_shipped_weights_are_fine_tuned_at_their_own_resolution(run, tmp_path: Path) -> None:
    ended = run(
        *("train", "mobilenet", "--alpha", "0.25", "--rho", "4/7", "--data", "digits", "-q"),
        *("--epochs", "1", "--from", "trained", "--freeze", "blocks.*", "-o", "a.safetensors"),
    )
    assert ended.code == 0, ended.err
    told = weights.metadata(tmp_path / "a.safetensors")
    assert (told["resolution_px"], told["rho"], told["freeze"]) == ("64", "4/7", "blocks.*")
    spec = ModelSpec("mobilenet", alpha=0.25, rho=weights.Fraction(4, 7), weights="trained")
    start, tuned = load_file(weights.trained(spec)), load_file(tmp_path / "a.safetensors")
    same = {key for key in start if start[key].equal(tuned[key])}
    assert {key for key in start if key.startswith("blocks.")} <= same
    assert "classifier.weight" not in same


def test_weights_that_are_not_shipped_can_not_be_started_from(run) -> None:
    ended = run("train", "vgg11", "--data", "digits", "--from", "trained")
    assert ended.code == 2
    assert "no trained weights come with deploykit for vgg11" in ended.err


def test_weights_of_other_data_are_not_replaced_unasked(run, tmp_path: Path) -> None:
    """Of a user's own data the kind alone is in the name, so that the weights of two have the same."""
    images, labels = np.zeros((40, 8, 8), np.uint8), np.arange(40) % 10
    for name in ("one.npz", "two.npz"):
        np.savez(tmp_path / name, images=images, labels=labels)
    train = ("train", "lenet5", "--epochs", "1", "-q", "--data")
    kept = tmp_path / "lenet5-npz.safetensors"
    assert run(*train, "npz:one.npz").code == 0
    before = kept.read_bytes()
    for more in ((), ("--dry-run",)):
        ended = run(*train, "npz:two.npz", *more)
        assert ended.code == 2
        assert "trained on npz:one.npz, not on npz:two.npz: give these another name" in ended.err
    assert kept.read_bytes() == before
    assert run(*train, "npz:one.npz").code == 0
    kept.write_bytes(b"no checkpoint")
    assert run(*train, "npz:two.npz").code == 0


def test_a_name_that_no_command_reads_is_refused_before_anything_is_done(run) -> None:
    for more in ((), ("--dry-run",)):
        ended = run(*DIGITS, "-o", "lenet.pt", *more)
        assert ended.code == 2
        assert ended.err.endswith("name it lenet.safetensors\n")
    assert not list(Path().glob("lenet*"))


def test_a_device_that_is_not_there_ends_training_before_the_data_is_looked_at(run, cuda) -> None:
    cuda.show(cuda_double.Settings([]))
    ended = run("train", "lenet5", "--data", "gone", "--device", "cuda")
    assert ended.code == 3
    assert "CUDA_VISIBLE_DEVICES" in ended.err
    cuda.show(cuda_double.no_driver())
    ended = run(*DIGITS, "--device", "0")
    assert (ended.code, ended.err) == (
        3,
        "deploykit: --device 0: no NVIDIA GPU here; run the engine on a machine with one and its driver\n",
    )
    ended = run(*DIGITS, "--device", "gpu")
    assert ended.code == 2
    assert "--device takes cpu, cuda or the number of a GPU, not 'gpu'" in ended.err


@pytest.mark.parametrize("number", ["7", "2"])
def test_a_device_of_another_number_is_told_which_there_are(run, cuda, number) -> None:
    cuda.show(cuda_double.Settings([cuda_double.DeviceFacts(), cuda_double.DeviceFacts("B")]))
    ended = run(*DIGITS, "--device", number)
    assert ended.code == 2
    assert f"--device {number}: no GPU of that number is visible to CUDA (0 is" in ended.err
    assert not list(Path().glob("*.safetensors*"))


def test_a_pytorch_that_has_no_cuda_says_so(run, cuda, monkeypatch) -> None:
    monkeypatch.setattr("deploykit.env.package_version", lambda name: "2.13.0+cpu")
    ended = run(*DIGITS, "--device", "cuda")
    assert ended.code == 3
    assert "PyTorch 2.13.0+cpu is built without CUDA; pip uninstall -y torch" in ended.err


@pytest.mark.parametrize(("text", "chosen"), [("cpu", None), ("cuda", None), ("1", "1")])
def test_what_is_asked_for_trains(run, cuda, monkeypatch, text, chosen) -> None:
    cuda.show(cuda_double.Settings([cuda_double.DeviceFacts(), cuda_double.DeviceFacts("B")]))
    monkeypatch.setattr("deploykit.backends.pytorch.require_gpu", lambda: "B")
    given = []
    monkeypatch.setattr(
        "deploykit.training.train", lambda *_, device, **__: given.append(device) or _stop()
    )
    assert run(*DIGITS, "--device", text).code == 130
    assert given == ["cpu" if text == "cpu" else "cuda:0"]
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == chosen


def _stop() -> None:
    raise KeyboardInterrupt


def test_a_device_without_room_is_one_line(run, monkeypatch) -> None:
    def step(*_: object) -> float:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.\nmore")

    monkeypatch.setattr("deploykit.training.epochs.Epochs._step", step)
    ended = run(*DIGITS, "-q")
    assert ended.code == 4
    assert "cpu is out of memory (CUDA out of memory. Tried to allocate 20.00 MiB." in ended.err
    assert len(ended.err.splitlines()) == 1
