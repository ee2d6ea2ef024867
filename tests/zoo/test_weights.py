from __future__ import annotations

import pickle
import re
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from deploykit import zoo
from deploykit.errors import InvalidModel, MissingDependency, UsageError
from deploykit.spec import ModelSpec
from deploykit.zoo import weights

NET = "lenet5"


@pytest.fixture
def state() -> dict[str, Tensor]:
    return zoo.create(ModelSpec(NET, seed=5)).state_dict()


def load(path: Path | str, name: str = NET, **keywords: object) -> torch.nn.Module:
    return zoo.create(ModelSpec(name, weights=str(path), **keywords))  # type: ignore[arg-type]


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_pytorch_checkpoints_are_loaded_however_they_are_wrapped(
    tmp_path: Path, state: dict[str, Tensor], wrapper: str | None, prefix: str
) -> None:
    given = {prefix + key: value for key, value in state.items()}
    torch.save({wrapper: given, "epoch": 3} if wrapper else given, tmp_path / "w.pth")
    loaded = load(tmp_path / "w.pth").state_dict()
    assert all(torch.equal(state[key], loaded[key]) for key in state)


def test_half_precision_weights_are_loaded_as_float32(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    save_file({key: value.half() for key, value in state.items()}, tmp_path / "w.safetensors")
    loaded = load(tmp_path / "w.safetensors")
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    with torch.no_grad():
        assert loaded(torch.zeros(1, 1, 32, 32)).shape == (1, 10)


def test_a_checkpoint_tells_its_classes_and_input(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    five = zoo.create(ModelSpec("mobilenet", alpha=0.25, num_classes=5)).state_dict()
    save_file(five, path, metadata={"num_classes": "5", "resolution_px": "64"})
    spec = ModelSpec("mobilenet", alpha=0.25, weights=str(path))
    assert zoo.input_shape(spec) == (3, 64, 64)
    assert zoo.create(spec).classifier.out_features == 5  # type: ignore[union-attr]
    with pytest.raises(UsageError, match="has 5 classes, not 6"):
        load(path, "mobilenet", alpha=0.25, num_classes=6)


def test_metadata_is_read_without_torch(tmp_path: Path, state: dict[str, Tensor]) -> None:
    save_file(state, tmp_path / "w.safetensors", metadata={"dataset": "digits"})
    assert weights.metadata(tmp_path / "w.safetensors") == {"dataset": "digits"}


def test_faults_are_listed_five_at_most_with_their_count(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    wrong = {f"x{number}": torch.zeros(1) for number in range(7)}
    wrong["features.0.weight"] = torch.zeros(6, 1, 3, 3)
    save_file(wrong, tmp_path / "w.safetensors")
    with pytest.raises(InvalidModel) as caught:
        load(tmp_path / "w.safetensors")
    message = str(caught.value)
    missing = len(state) - 1
    assert f"{missing + 7 + 1} of its entries differ" in message
    assert message.count(" is missing") + message.count(" is unknown") == 5
    assert "\n" not in message


def test_a_wrong_shape_is_named_with_both_shapes(tmp_path: Path, state: dict[str, Tensor]) -> None:
    state["features.0.weight"] = torch.zeros(6, 1, 3, 3)
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(InvalidModel, match=r"features.0.weight is \[6, 1, 3, 3\], not \[6, 1, 5"):
        load(tmp_path / "w.safetensors")


def test_a_checkpoint_with_auxiliary_heads_loads_into_a_network_without(tmp_path: Path) -> None:
    from deploykit.zoo.googlenet import googlenet_bn

    full = googlenet_bn(num_classes=2, aux_logits=True)
    save_file(full.state_dict(), tmp_path / "w.safetensors")
    loaded = load(tmp_path / "w.safetensors", "googlenet_bn", num_classes=2)
    assert torch.equal(loaded.fc.weight, full.fc.weight)  # type: ignore[union-attr, arg-type]


def test_missing_batch_counters_are_forgiven(tmp_path: Path) -> None:
    full = zoo.create(ModelSpec("mobilenet", alpha=0.25)).state_dict()
    old = {key: value for key, value in full.items() if not key.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "w.pt")
    loaded = load(tmp_path / "w.pt", "mobilenet", alpha=0.25).state_dict()
    assert list(loaded) == list(full)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("kept", [0, 5, 0.5, -1])
def test_a_truncated_file_is_one_line(
    tmp_path: Path, state: dict[str, Tensor], suffix: str, kept: float
) -> None:
    path = tmp_path / f"w{suffix}"
    if suffix == ".pt":
        torch.save(state, path)
    else:
        save_file(state, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept) if isinstance(kept, float) else kept])
    with pytest.raises(InvalidModel) as caught:
        load(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


class Harmful:
    """Runs code when unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("unpickled"),))


def test_nothing_in_a_checkpoint_is_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("old.pth").write_bytes(pickle.dumps(Harmful()))
    torch.save({"features.0.weight": Harmful()}, "new.pth")
    for name in ("old.pth", "new.pth"):
        with pytest.raises(InvalidModel, match=name):
            load(name)
    assert not Path("unpickled").exists()


@pytest.mark.parametrize("held", [3, [1, 2], {"a": 1}])
def test_a_file_that_holds_no_state_is_refused(tmp_path: Path, held: object) -> None:
    torch.save(held, tmp_path / "w.pt")
    with pytest.raises(InvalidModel, match="holds no state_dict"):
        load(tmp_path / "w.pt")


def test_weights_that_are_not_finite_are_refused(tmp_path: Path, state: dict[str, Tensor]) -> None:
    state["classifier.1.bias"][3] = float("nan")
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(InvalidModel, match=r"classifier.1.bias that are not finite"):
        load(tmp_path / "w.safetensors")


def test_a_missing_file_says_what_may_be_given() -> None:
    with pytest.raises(InvalidModel, match=r"no weights at nowhere.pt: give random, trained"):
        load("nowhere.pt")


def test_shipped_weights_are_found_by_network_multipliers_and_data_set() -> None:
    for path in weights.shipped().values():
        stored = weights.metadata(path)
        name = stored.get("model", path.stem.partition("-")[0])
        spec = ModelSpec(
            name,
            alpha=float(stored.get("alpha", "1")),
            rho=Fraction(stored.get("rho", "1")),
            weights=f"trained:{stored['dataset']}",
        )
        assert weights.checkpoint_path(spec) == path
        zoo.create(spec)


def test_without_a_data_set_the_weights_that_can_be_judged_anywhere_are_taken() -> None:
    stored = weights.metadata(weights.trained(ModelSpec("lenet5", weights="trained")))
    assert stored["dataset"] == "digits"


def test_a_multiplier_that_is_not_shipped_is_answered_with_those_that_are() -> None:
    spec = ModelSpec("mobilenet", alpha=0.25, rho=Fraction(9, 10), weights="trained")
    with pytest.raises(
        UsageError, match=r"for mobilenet alpha 0.25 at rho 9/10: .* at rho 1, 6/7, 5/7, 4/7;"
    ):
        weights.trained(spec)


def test_the_alpha_and_the_data_set_choose_among_shipped_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = {}
    for alpha, dataset in (("0.5", "digits"), ("0.25", "digits"), ("0.25", "fashion-mnist")):
        path = tmp_path / f"mobilenet-a{alpha}-{dataset}.safetensors"
        told = {"model": "mobilenet", "alpha": alpha, "dataset": dataset}
        save_file({"x": torch.zeros(1)}, path, metadata=told)
        folder[path.stem] = path
    monkeypatch.setattr(weights, "shipped", lambda: folder)

    def chosen(alpha: float, asked: str) -> str:
        path = weights.checkpoint_path(ModelSpec("mobilenet_v1", alpha=alpha, weights=asked))
        return path.stem if path else ""

    assert chosen(0.5, "trained") == "mobilenet-a0.5-digits"
    assert chosen(0.25, "trained") == "mobilenet-a0.25-digits"
    assert chosen(0.25, "trained:fashion-mnist") == "mobilenet-a0.25-fashion-mnist"
    with pytest.raises(UsageError, match=r"for mobilenet alpha 0.75: there are mobilenet alpha"):
        chosen(0.75, "trained")


def test_metadata_of_a_truncated_file_is_refused(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = tmp_path / "w.safetensors"
    save_file(state, path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InvalidModel, match="it is cut short or damaged"):
        weights.metadata(path)


def test_trained_weights_that_are_not_shipped_are_answered_with_those_that_are() -> None:
    with pytest.raises(UsageError, match=r"for vgg16: there are .*lenet5"):
        load("trained", "vgg16")


def test_a_network_that_a_package_does_not_have_is_refused() -> None:
    with pytest.raises(
        UsageError, match="torchvision has no weights for mobilenet; --weights timm"
    ):
        load("torchvision", "mobilenet")
    with pytest.raises(UsageError, match="timm has no weights for zfnet"):
        load("timm", "zfnet")


@pytest.mark.parametrize(
    ("name", "package"), [("alexnet_owt", "torchvision"), ("mobilenet", "timm")]
)
def test_a_missing_package_is_an_instruction(
    monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    monkeypatch.setitem(sys.modules, f"{package}.models", None)
    with pytest.raises(MissingDependency, match=f"pip install {package}"):
        load(package, name)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda value: value.to("meta"), "without its values"),
        (lambda value: value.to_sparse(), "in a sparse or nested layout"),
        (lambda value: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8), "in quantised form"),
        (lambda value: value.int(), "is int32, not floating point"),
        (lambda value: value.to(torch.complex64), "is complex64, not floating point"),
        (lambda value: torch.zeros(1).expand(10**6, 10**6), "is [1000000, 1000000], not"),
    ],
    ids=["meta", "sparse", "quantised", "integers", "complex", "as large as it says"],
)
@pytest.mark.filterwarnings("ignore")  # of PyTorch, on how it stores quantised tensors
def test_weights_that_are_no_plain_numbers_are_refused(
    tmp_path: Path, change: Callable[[torch.Tensor], torch.Tensor], why: str
) -> None:
    layer = torch.nn.Linear(3, 2)
    torch.save(layer.state_dict() | {"weight": change(layer.weight.detach())}, tmp_path / "w.pt")
    with pytest.raises(InvalidModel, match=rf"w.pt .*weight {re.escape(why)}"):
        weights.fill(layer, weights.read_state(tmp_path / "w.pt"), "w.pt")
