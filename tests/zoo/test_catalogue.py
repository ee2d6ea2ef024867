from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from importlib import metadata

import pytest

from deploykit import zoo
from deploykit.errors import UnknownName
from deploykit.zoo import catalogue


def test_aliases_lead_to_their_architecture() -> None:
    assert zoo.lookup("squeezenet").name == "squeezenet1_0"
    assert zoo.lookup("inception_v1").name == "googlenet"


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean mobilenet") as caught:
        zoo.lookup("mobilnet")
    assert "\n" not in str(caught.value)


def test_names_and_aliases_are_unique() -> None:
    names = [n for a in zoo.architectures() for n in (a.name, *a.aliases)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("vgg1?", ["vgg11", "vgg13", "vgg16", "vgg19"]),
        ("squeezenet", ["squeezenet1_0", "squeezenet1_1"]),
        ("inception_v1", ["googlenet"]),
        ("nothing*", []),
    ],
)
def test_a_pattern_selects_by_name_or_alias(pattern: str, expected: list[str]) -> None:
    assert [a.name for a in zoo.architectures(pattern)] == expected


def test_facts_need_no_heavy_module() -> None:
    code = (
        "import sys; from deploykit import zoo; zoo.architectures(); zoo.lookup('vgg16');"
        "from deploykit.spec import ModelSpec; zoo.input_shape(ModelSpec('mobilenet'));"
        "heavy = {'torch', 'numpy', 'onnx', 'pandas', 'safetensors'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


class Entry:
    """An entry point of an installed package, as importlib.metadata gives it."""

    def __init__(self, name: str, value: object) -> None:
        self.name, self.value = name, value

    def load(self) -> object:
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch):
    """Put entry points in place of the environment's own, and forget the catalogue around them."""

    def install(*entries: Entry) -> None:
        monkeypatch.setattr(metadata, "entry_points", lambda group: list(entries))
        catalogue._catalogue.cache_clear()

    yield install
    monkeypatch.undo()
    catalogue._catalogue.cache_clear()


def test_an_installed_package_adds_to_the_catalogue(installed) -> None:
    tiny = replace(zoo.lookup("lenet5"), name="tiny", aliases=("wee",))
    installed(Entry("tiny", tiny))
    assert zoo.lookup("wee") is tiny
    assert zoo.architectures()[-1] is tiny


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (ImportError("no such thing"), "no such thing"),
        (object(), "not a deploykit.zoo.Architecture"),
        (replace(zoo.lookup("lenet5"), aliases=()), "the name is taken"),
    ],
)
def test_a_broken_package_is_warned_about_and_left_out(installed, value, message: str) -> None:
    installed(Entry("other", value))
    with pytest.warns(UserWarning, match=message):
        found = zoo.architectures()
    assert "other" not in [a.name for a in found]
    assert zoo.lookup("lenet5").channels == 1
