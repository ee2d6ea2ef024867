"""Checkpoints as programs of training leave them: wrapped, under other names, with entries of their own."""

from __future__ import annotations

import argparse
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file, save_model
from torch import Tensor, nn

from deploykit import zoo
from deploykit.errors import InvalidModel
from deploykit.spec import ModelSpec
from deploykit.zoo import weights


def network(classes: int = 5) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, classes))


class Holding(nn.Module):
    """A network whose own keys begin with a word that wrappers use."""

    def __init__(self) -> None:
        super().__init__()
        self.model = network()


def filled(module: nn.Module, held: object, folder: Path) -> dict[str, Tensor]:
    torch.save(held, folder / "w.pt")
    weights.fill(module, weights.read_state(folder / "w.pt"), "w.pt")
    return module.state_dict()


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module._orig_mod.", "model.", "net.backbone."])
def test_a_prefix_that_all_keys_have_is_the_wrappers(tmp_path: Path, prefix: str) -> None:
    state = network().state_dict()
    found = filled(network(), {prefix + key: value for key, value in state.items()}, tmp_path)
    assert all(torch.equal(state[key], found[key]) for key in state)


def test_a_prefix_that_the_network_has_itself_stays(tmp_path: Path) -> None:
    state = Holding().state_dict()
    assert all(key.startswith("model.") for key in state)
    found = filled(Holding(), {f"module.{key}": value for key, value in state.items()}, tmp_path)
    assert all(torch.equal(state[key], found[key]) for key in state)


@pytest.mark.parametrize(
    "path", [("ema", "state_dict"), ("model_state_dict",), ("params",), ("net",)]
)
def test_weights_are_found_where_programs_of_training_put_them(
    tmp_path: Path, path: tuple[str, ...]
) -> None:
    state = network().state_dict()
    held: object = state
    for word in reversed(path):
        held = {word: held, "epoch": 3, "optimizer": {"lr": 0.1}}
    found = filled(network(), held, tmp_path)
    assert all(torch.equal(state[key], found[key]) for key in state)


def test_what_counting_left_in_a_checkpoint_is_no_weight(tmp_path: Path) -> None:
    left = {
        f"{layer}.{name}": torch.zeros(1)
        for layer in (0, 3)
        for name in ("total_ops", "total_params")
    }
    state = network().state_dict()
    filled(network(), {**state, **left, "total_ops": torch.zeros(1)}, tmp_path)


def test_a_head_of_another_number_of_classes_is_told_how_to_be_had(tmp_path: Path) -> None:
    state = zoo.create(ModelSpec("lenet5", num_classes=7)).state_dict()
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(InvalidModel, match=r"if these are its classes, give --num-classes 7$"):
        zoo.create(ModelSpec("lenet5", weights=str(tmp_path / "w.pt")))
    zoo.create(ModelSpec("lenet5", num_classes=7, weights=str(tmp_path / "w.pt")))


@pytest.mark.filterwarnings("ignore")
def test_a_script_given_as_weights_is_named(tmp_path: Path) -> None:
    torch.jit.script(network()).save(str(tmp_path / "w.pt"))
    with pytest.raises(InvalidModel, match="is a TorchScript archive: save module"):
        weights.read_state(tmp_path / "w.pt")


def test_a_lazy_network_takes_the_shapes_of_its_weights(tmp_path: Path) -> None:
    module = nn.Sequential(nn.LazyConv2d(4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(5))
    found = filled(module, network().state_dict(), tmp_path)
    assert found["3.weight"].shape == (5, 4)


def test_a_dictionary_that_holds_itself_ends(tmp_path: Path) -> None:
    held: dict[str, object] = {"epoch": 3}
    held["model"] = held
    torch.save(held, tmp_path / "a.pt")
    with pytest.raises(InvalidModel, match="holds no state_dict"):
        weights.read_state(tmp_path / "a.pt")


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_moving_average_is_the_weights_of_its_module(tmp_path: Path, prefix: str) -> None:
    averaged = torch.optim.swa_utils.AveragedModel(network())
    state = averaged.module.state_dict()
    held = {
        name if name == "n_averaged" else prefix + name: value
        for name, value in averaged.state_dict().items()
    }
    found = filled(network(), held, tmp_path)
    assert all(torch.equal(state[key], found[key]) for key in state)


def test_the_arguments_of_a_program_may_stand_beside_its_weights(tmp_path: Path) -> None:
    state = network().state_dict()
    arguments = argparse.Namespace(lr=0.1, data="photos", betas=(0.9, 0.99), resume=None)
    found = filled(network(), {"model": state, "epoch": 3, "args": arguments}, tmp_path)
    assert all(torch.equal(state[key], found[key]) for key in state)


@pytest.mark.parametrize(
    "beside",
    [np.float64(0.25), np.float32(3), np.int64(7), np.bool_(1), Path("runs/3")],
    ids=lambda value: type(value).__name__,
)
def test_numbers_of_numpy_and_paths_may_stand_beside_weights(
    tmp_path: Path, beside: object
) -> None:
    state = network().state_dict()
    found = filled(network(), {"state_dict": state, "best": beside}, tmp_path)
    assert all(torch.equal(state[key], found[key]) for key in state)


@pytest.mark.parametrize(
    "name", ["pathlib PosixPath", "pathlib._local PosixPath", "pathlib WindowsPath"]
)
def test_a_path_may_be_one_of_another_python_or_of_windows(tmp_path: Path, name: str) -> None:
    """Python 3.13 saves paths under another module's name than those before and after it."""
    state = network().state_dict()
    torch.save({"state_dict": state, "place": Path("runs/3")}, tmp_path / "here.pt")
    here = f"c{Path('runs').__class__.__module__}\nPosixPath\n".encode()
    there = f"c{name}\n".replace(" ", "\n").encode()
    with (
        zipfile.ZipFile(tmp_path / "here.pt") as source,
        zipfile.ZipFile(tmp_path / "there.pt", "w") as target,
    ):
        for entry in source.namelist():
            target.writestr(entry, source.read(entry).replace(here, there))
        assert here in source.read("here/data.pkl")
    assert weights.read_state(tmp_path / "there.pt").keys() == state.keys()


def test_an_array_of_objects_beside_weights_is_not_unpickled(tmp_path: Path) -> None:
    held = {"state_dict": network().state_dict(), "log": np.array([print], dtype=object)}
    with pytest.raises(InvalidModel, match="no checkpoint of plain tensors"):
        filled(network(), held, tmp_path)


@pytest.mark.parametrize(
    ("model", "alpha", "asked", "message"),
    [
        ("resnet50_v1", "1", ModelSpec("resnet50"), "of resnet50_v1 at alpha 1, not of resnet50"),
        ("mobilenet", "0.5", ModelSpec("mobilenet", alpha=0.25), "not of mobilenet at alpha 0.25"),
    ],
)
def test_a_checkpoint_that_says_of_which_network_it_is_is_held_to_it(
    tmp_path: Path, model: str, alpha: str, asked: ModelSpec, message: str
) -> None:
    """The two ResNet-50 have the same keys and shapes, and compute other things."""
    path = tmp_path / "w.safetensors"
    told = {"model": model, "alpha": alpha, "deploykit": "1.0"}
    save_file({"x": torch.zeros(1)}, path, metadata=told)
    with pytest.raises(InvalidModel, match=message):
        weights.facts(ModelSpec(asked.name, alpha=asked.alpha, weights=str(path)))
    same = ModelSpec(model, alpha=float(alpha), weights=str(path))
    assert weights.facts(same) == told


def test_what_was_saved_beside_the_network_under_other_words_is_left_out(tmp_path: Path) -> None:
    state = network().state_dict()
    held = {f"model.{key}": value for key, value in state.items()}
    beside = {"criterion.weight": torch.ones(5), "metric.total": torch.zeros(1)}
    found = filled(network(), {"state_dict": held | beside, "epoch": 3}, tmp_path)
    assert all(torch.equal(state[key], found[key]) for key in state)


def test_of_several_networks_that_fit_none_is_chosen(tmp_path: Path) -> None:
    held = {
        f"{word}.{key}": value
        for word in ("student", "teacher")
        for key, value in network().state_dict().items()
    }
    with pytest.raises(InvalidModel, match=r"holds 2 networks .*student\. and teacher\.: save the"):
        filled(network(), held, tmp_path)


def test_a_part_of_the_network_is_not_taken_for_the_whole(tmp_path: Path) -> None:
    held = {f"model.{key}": value for key, value in network().state_dict().items()}
    del held["model.3.bias"]
    with pytest.raises(InvalidModel, match=r"0\.weight is missing"):
        filled(network(), held | {"criterion.weight": torch.ones(5)}, tmp_path)


class Dense(nn.Module):
    """One layer by the names that networks have in which `norm` and `conv` are lists."""

    def __init__(self, *, listed: bool) -> None:
        super().__init__()
        layer = nn.Module()
        if listed:
            layer.norm = nn.ModuleList([nn.Identity(), nn.BatchNorm2d(3), nn.BatchNorm2d(3)])
        else:
            layer.norm1, layer.norm2 = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        self.denselayer1 = layer


@pytest.mark.parametrize("listed", [False, True])
def test_layers_by_the_names_that_torchvision_once_had_are_taken(
    tmp_path: Path, listed: bool
) -> None:
    held = Dense(listed=True).state_dict()
    held["denselayer1.norm.2.running_mean"] += 7
    assert "denselayer1.norm.1.weight" in held
    found = filled(Dense(listed=listed), held, tmp_path)
    assert [float(value[0]) for key, value in found.items() if "running_mean" in key] == [0, 7]


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight


@pytest.mark.parametrize("stored_once", [False, True])
def test_a_weight_that_two_layers_share_stays_one(tmp_path: Path, stored_once: bool) -> None:
    """Each layer got one of its own: a network counted and was exported with parameters that it has not."""
    saved, module = Tied(), Tied()
    path = tmp_path / "w.safetensors"
    if stored_once:
        save_model(saved, str(path))
    else:
        save_file({key: value.clone() for key, value in saved.state_dict().items()}, path)
    weights.fill(module, weights.read_state(path), "w")
    assert torch.equal(module.second.weight, saved.first.weight)
    assert module.second.weight is module.first.weight
    assert isinstance(module.first.weight, nn.Parameter)


def test_two_weights_are_not_taken_for_one_that_layers_share(tmp_path: Path) -> None:
    state = Tied().state_dict()
    held = {**state, "second.weight": state["first.weight"] + 1}
    with pytest.raises(InvalidModel, match=r"second\.weight is not first\.weight, and one weight"):
        filled(Tied(), held, tmp_path)


def test_a_shared_weight_that_is_no_number_is_told_as_such(tmp_path: Path) -> None:
    """It was refused as two weights: what is no number equals nothing, itself neither."""
    state = Tied().state_dict()
    state["first.weight"][0, 0] = float("nan")
    with pytest.raises(InvalidModel, match=r"values in first\.weight that are not finite"):
        filled(Tied(), state, tmp_path)


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("compiled_here", [False, True])
def test_a_part_that_was_compiled_has_its_own_keys(
    tmp_path: Path, prefix: str, compiled_here: bool
) -> None:
    plain, compiled = network(), network()
    compiled[0] = torch.compile(compiled[0])  # type: ignore[index]
    assert "0._orig_mod.weight" in compiled.state_dict()
    saved, module = (plain, compiled) if compiled_here else (compiled, plain)
    held = {prefix + key: value for key, value in saved.state_dict().items()}
    found = filled(module, held, tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(held.values(), found.values(), strict=True))


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_what_lies_in_the_place_of_weights_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:a\n")
    with pytest.raises(InvalidModel, match=r"but a pointer of Git LFS; get the file with"):
        weights.read_state(tmp_path / name)


def test_safetensors_under_another_name_are_told_theirs(tmp_path: Path) -> None:
    save_file(network().state_dict(), tmp_path / "w.pt")
    with pytest.raises(InvalidModel, match=r"name it w\.safetensors$"):
        weights.read_state(tmp_path / "w.pt")
