from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import factory_models
import pytest
import torch
from safetensors.torch import save_file

from deploykit import zoo
from deploykit.errors import InvalidModel, UsageError
from deploykit.spec import ModelSpec
from deploykit.workflow.network import count_source


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks are found from the current folder, as `python -m` finds modules."""
    monkeypatch.chdir(Path(__file__).parent)


def test_a_factory_of_the_users_makes_the_network_with_its_own_input() -> None:
    spec = ModelSpec("factory_models:Declared", num_classes=4)
    assert zoo.input_shape(spec) == (2, 6, 4)
    module = zoo.create(spec)
    assert not module.training
    assert module(torch.zeros(1, 2, 6, 4)).shape == (1, 4)


@pytest.mark.parametrize(("name", "kind"), [("in_half", "float16"), ("in_double", "float64")])
def test_a_module_of_another_type_is_refused_with_what_to_do(name: str, kind: str) -> None:
    with pytest.raises(UsageError, match=rf"in {kind}: return it in float32.*--precision"):
        zoo.create(ModelSpec(f"factory_models:{name}", resolution_px=None))


def test_a_module_without_values_is_counted_and_not_made() -> None:
    """It ended in an error that nobody foresaw."""
    spec = ModelSpec("factory_models:on_meta")
    assert count_source(spec).counts.parameters == 147
    with pytest.raises(UsageError, match=r"layer\.weight has no values.*make it on the CPU"):
        zoo.create(spec)


def test_what_a_factory_sets_for_the_whole_process_is_put_back() -> None:
    """A file that was named beside it was written to the root of the file system."""

    def settings() -> tuple[object, ...]:
        device = torch.get_default_device()
        return Path.cwd(), torch.get_default_dtype(), device, torch.is_grad_enabled()

    before = settings()
    zoo.create(ModelSpec("factory_models:unsettling"))
    assert settings() == before


def test_a_module_that_mixes_types_is_left_as_it_is() -> None:
    module = zoo.create(ModelSpec("factory_models:HalfInside"))
    assert {p.dtype for p in module.parameters()} == {torch.float32, torch.float16}


def test_the_current_folder_is_searched_and_the_search_path_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "import torch\ndef make():\n    return torch.nn.Flatten()\n"
    (tmp_path / "found_nowhere_else.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    zoo.create(ModelSpec("found_nowhere_else:make"))
    assert sys.path == before


def test_a_resolution_stands_in_for_an_input_that_is_not_declared() -> None:
    spec = ModelSpec("factory_models:plain", resolution_px=8, rho=Fraction(1, 2))
    assert zoo.input_shape(spec) == (3, 4, 4)


def test_equal_seeds_make_equal_weights() -> None:
    before = torch.get_rng_state()
    first, second = (zoo.create(ModelSpec("factory_models:plain", seed=3)) for _ in range(2))
    assert torch.equal(first[0].weight, second[0].weight)  # type: ignore[index]
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_of_a_file_are_loaded(tmp_path: Path) -> None:
    spec = ModelSpec("factory_models:plain")
    saved = zoo.create(ModelSpec("factory_models:plain", seed=9)).state_dict()
    torch.save(saved, tmp_path / "w.pt")
    loaded = zoo.create(ModelSpec(spec.name, weights=str(tmp_path / "w.pt"))).state_dict()
    assert all(torch.equal(saved[key], loaded[key]) for key in saved)


def test_a_checkpoint_of_ones_own_training_tells_the_number_of_classes(tmp_path: Path) -> None:
    """It was loaded only where --num-classes was repeated."""
    name, path = "factory_models:Declared", tmp_path / "w.safetensors"
    saved = zoo.create(ModelSpec(name, num_classes=5)).state_dict()
    save_file(saved, path, {"deploykit": "0", "model": name, "num_classes": "5"})
    module = zoo.create(ModelSpec(name, weights=str(path)))
    assert torch.equal(module.state_dict()["layer.weight"], saved["layer.weight"])
    save_file(saved, path, {"num_classes": "five"})  # of another program, which may mean anything
    with pytest.raises(InvalidModel, match="give --num-classes 5"):
        zoo.create(ModelSpec(name, weights=str(path)))
    plain = zoo.create(ModelSpec("factory_models:plain")).state_dict()
    save_file(plain, path, {"deploykit": "0", "num_classes": "4"})
    zoo.create(ModelSpec("factory_models:plain", weights=str(path)))  # it has no such parameter


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("factory_models:raising", "raised ValueError: no luck"),
        ("factory_models:leaving", "raised SystemExit: 3"),
        ("factory_models:beyond_exceptions", "raised OfItsOwn: no luck"),
        ("factory_models:nothing", "returned None: it must return a torch.nn.Module"),
        ("factory_models:number", "an object of class int"),
        ("factory_models:missing", "has no 'missing'"),
        ("code:make", r"/code\.py\) has no 'make'"),
        ("factory_models.py:plain", r"imports modules: give factory_models:plain$"),
        ("no_such_module_anywhere:net", "no module 'no_such_module_anywhere'"),
    ],
)
def test_a_bad_factory_is_one_line(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        zoo.create(ModelSpec(name))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Unbounded", r"input_shape of .* is \(3, inf, 16\): make it \(channels, height, width\)"),
        (
            "troubled",
            "input_shape of .* raised RuntimeError: no size yet: mend it, or give --resolution",
        ),
    ],
)
def test_an_input_that_can_not_be_told_is_one_line(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        zoo.input_shape(ModelSpec(f"factory_models:{name}"))


def test_a_network_that_leaves_python_when_it_is_run_is_one_line() -> None:
    module = zoo.create(ModelSpec("factory_models:LeavingForward"))
    with pytest.raises(
        UsageError, match=r" calls sys.exit\(3\) when it is run, and nothing is counted"
    ):
        zoo.count_module(module, (2, 6, 4))


def test_an_input_that_is_not_known_is_asked_for() -> None:
    with pytest.raises(UsageError, match="give --resolution"):
        zoo.input_shape(ModelSpec("factory_models:plain"))


def test_weights_by_keyword_belong_to_the_catalogue_alone() -> None:
    with pytest.raises(UsageError, match="no trained weights"):
        zoo.create(ModelSpec("factory_models:plain", weights="trained"))


def test_settings_without_a_parameter_are_refused() -> None:
    with pytest.raises(UsageError, match="no parameter 'num_classes'"):
        zoo.create(ModelSpec("factory_models:plain", num_classes=5))


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    torch.save({"other": torch.zeros(2)}, tmp_path / "w.pt")
    with pytest.raises(InvalidModel, match="belongs to another network"):
        zoo.create(ModelSpec("factory_models:plain", weights=str(tmp_path / "w.pt")))


@pytest.mark.parametrize("name", ["talking", "Looking", "compiled", "made"])
def test_a_network_is_counted_whatever_its_factory_returns(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    counted = count_source(ModelSpec(f"factory_models:{name}"))
    assert (counted.counts.parameters, counted.counts.macs) == (147, 144)
    assert [spec.shape for spec in counted.inputs] == [("batch", 2, 6, 4)]
    printed = capsys.readouterr()
    assert printed.out == "", "standard output is for data"
    assert ("a network runs" in printed.err) == (name == "talking")


def test_a_network_that_was_made_already_is_copied_and_has_no_settings(tmp_path: Path) -> None:
    zeros = {
        key: torch.zeros_like(value) for key, value in factory_models.made.state_dict().items()
    }
    torch.save(zeros, tmp_path / "w.pt")
    zoo.create(ModelSpec("factory_models:made", weights=str(tmp_path / "w.pt")))
    assert factory_models.made.layer.weight.any()
    with pytest.raises(UsageError, match="no parameter 'num_classes'"):
        zoo.create(ModelSpec("factory_models:made", num_classes=5))
