from __future__ import annotations

import ast
import importlib.metadata
import re
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from deploykit import backends
from deploykit.backends import ENTRY_POINT_GROUP
from deploykit.backends.base import BackendBase, check_offered
from deploykit.errors import UnknownName, UsageError
from deploykit.graph.precision import find_recipe


class Board(BackendBase):
    """A third party's backend, as small as the registry lets it be."""

    name, target, filename = "board", "board-cpu", "engine.bin"

    def available(self):
        return None

    def device(self):
        return "a board"

    def version(self):
        return "1"

    def build(self, model, options, path):
        raise NotImplementedError

    def open(self, engine, threads, run_pass):
        raise NotImplementedError


#: The backend that builds what each target's recipes make.
OWN = {
    "cpu": "onnxruntime",
    "tensorrt-rtx": "tensorrt-rtx",
    "tensorrt": "tensorrt",
    "cuda": "onnxruntime-cuda",
    "onnxruntime-tensorrt": "onnxruntime-tensorrt",
    "onnxruntime-rtx": "onnxruntime-rtx",
}


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
    for name in backends.names():
        assert backends.get(name).name == name
    for target, own in OWN.items():
        assert backends.for_target(target).target == target
        assert backends.for_target(target).name == own
    assert {backend.target for backend in backends.builtin()} == set(OWN)


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
    assert backends.for_target("cpu").name == "onnxruntime"
    with pytest.raises(UnknownName, match="unknown target 'tpu'"):
        backends.for_target("tpu")


def test_a_backend_of_our_own_with_a_recipe_takes_its_module_and_one_line(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent / "plugin")
    monkeypatch.setitem(backends._BUILTIN, "board", "deploykit_board:Board")
    board = backends.for_target("board-npu")
    assert board.name == "board"
    assert board.offered() == ["fp32", "eighths"]
    recipe = find_recipe("eighths", "board-npu")
    assert (recipe.targets, recipe.origin) == (("board-npu",), "")
    check_offered([board], ["eighths"])
    with pytest.raises(UsageError, match="no eighths for target cpu"):
        find_recipe("eighths", "cpu")


def test_what_is_no_backend_is_refused(install):
    install(odd="builtins:dict")
    with pytest.raises(UsageError, match=r"'odd' .* gives a dict, not a BackendBase"):
        backends.get("odd")


def test_a_package_cannot_take_the_name_of_a_built_in_backend(install):
    install(onnxruntime=f"{__name__}:Board")
    assert backends.get("onnxruntime").target == "cpu"
    assert backends.names().count("onnxruntime") == 1


def test_a_backend_offers_its_targets_precisions_or_fewer():
    assert set(backends.get("openvino").offered()) == {
        *backends.get("onnxruntime").offered(),
        "bf16",
    }
    assert "int8" in backends.get("onnxruntime").offered()
    assert backends.get("torch").offered() == ["fp32", "bf16"]


def test_a_precision_that_no_backend_has_is_refused_with_what_they_have():
    torch, runtime = backends.get("torch"), backends.get("onnxruntime")
    check_offered([torch, runtime], ["fp32", "int8"])
    with pytest.raises(UsageError, match=r"no int8 on this backend: torch has fp32, bf16$"):
        check_offered([torch], ["fp32", "int8"])


@pytest.mark.parametrize("package", ["bench", "workflow", "report", "claims", "cli", "training"])
def test_no_code_outside_asks_for_a_backends_or_targets_name(package):
    names = {*backends.names(), *OWN} - {"cpu"}  # which is also a word of /proc and of PyTorch
    asked = []
    for path in sorted((Path(backends.__file__).parents[1] / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare):
                values = [node.left, *node.comparators]
            elif isinstance(node, ast.Call) and _called(node) in ("get", "for_target"):
                values = node.args
            else:
                continue
            constants = {
                c.value for v in values for c in ast.walk(v) if isinstance(c, ast.Constant)
            }
            asked += [f"{path.name}:{node.lineno}"] if names & constants else []
    assert asked == [], "a property of BackendBase says what differs"


def _called(call: ast.Call) -> str:
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def test_the_docs_say_of_every_backend_and_recorded_interface_what_it_is_proven_on():
    root = Path(__file__).parents[2]
    text = (root / "docs" / "gpu.md").read_text(encoding="utf-8")
    _, _, after = text.partition("What each path is proven on:\n")
    rows = [line for line in after.partition("\n\n###")[0].splitlines() if line.startswith("| ")]
    paths = {name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])}
    assert {one.name for one in backends.builtin()} <= paths
    for row in rows[1:]:
        never, on = (
            "never on a device" in row,
            re.search(r"\bon (AMD|a machine|an? H100|the H[12]00)", row),
        )
        assert never is not bool(on), row
    for surface in (root / "tests" / "surfaces").glob("*.json"):
        version = surface.stem.rpartition("-")[2]
        assert any(version in row for row in rows), surface.name


def test_a_recipe_that_several_backends_of_a_target_bring_is_listed_once():
    found = [(recipe.name, target) for recipe in backends.precisions() for target in recipe.targets]
    assert ("bf16", "cuda") in found
    assert len(found) == len(set(found))
