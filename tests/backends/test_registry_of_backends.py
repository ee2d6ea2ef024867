from __future__ import annotations

import importlib.metadata
from importlib.metadata import EntryPoint

import pytest

from deploykit import backends
from deploykit.backends import ENTRY_POINT_GROUP, TARGETS
from deploykit.backends.offers import check_offered, offered
from deploykit.errors import UnknownName, UsageError


class Board:
    """A third party's backend, as small as the registry lets it be."""

    name, target, filename, emulated = "board", "board-cpu", "engine.bin", {}


def broken() -> None:
    raise RuntimeError("no licence\nfound")


@pytest.fixture
def install(monkeypatch):
    """Make entry points visible as if their package were installed."""

    def add(**points: str) -> None:
        found = [EntryPoint(name, value, ENTRY_POINT_GROUP) for name, value in points.items()]
        monkeypatch.setattr(
            importlib.metadata,
            "entry_points",
            lambda group: found if group == ENTRY_POINT_GROUP else [],
        )

    return add


def test_every_built_in_backend_is_what_it_is_called_and_fits_its_target():
    assert set(TARGETS.values()) <= set(backends.names())
    for name in TARGETS.values():
        assert backends.get(name).name == name
    for target in TARGETS:
        assert backends.for_target(target).target == target


def test_an_unknown_backend_names_the_nearest():
    with pytest.raises(UnknownName, match="did you mean onnxruntime"):
        backends.get("onnxrt")


def test_an_unknown_target_names_those_there_are():
    with pytest.raises(UnknownName, match="unknown target 'tpu'"):
        backends.for_target("tpu")


def test_an_installed_package_adds_a_backend_by_its_entry_point(install):
    install(board=f"{__name__}:Board")
    assert "board" in backends.names()
    assert isinstance(backends.get("board"), Board)
    assert isinstance(backends.for_target("board-cpu"), Board)


def test_a_broken_package_is_one_line_and_harms_nobody_else(install):
    install(broken=f"{__name__}:broken")
    with pytest.raises(UsageError, match=r"'broken' .* does not load: no licence") as error:
        backends.get("broken")
    assert "reinstall or remove" in str(error.value)
    assert backends.get("onnxruntime").name == "onnxruntime"


def test_a_package_cannot_take_the_name_of_a_built_in_backend(install):
    install(onnxruntime=f"{__name__}:Board")
    assert backends.get("onnxruntime").target == "cpu"
    assert backends.names().count("onnxruntime") == 1


def test_a_backend_offers_its_targets_precisions_or_fewer():
    assert offered(backends.get("openvino")) == offered(backends.get("onnxruntime"))
    assert "int8" in offered(backends.get("onnxruntime"))
    assert offered(backends.get("torch")) == ["fp32"]


def test_a_precision_that_no_backend_has_is_refused_with_what_they_have():
    torch, runtime = backends.get("torch"), backends.get("onnxruntime")
    check_offered([torch, runtime], ["fp32", "int8"])
    with pytest.raises(UsageError, match=r"no int8 on this backend: torch has fp32$"):
        check_offered([torch], ["fp32", "int8"])
