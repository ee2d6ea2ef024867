"""What store keys take in of the code: all that makes an artifact, found by its imports, and nothing else."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from deploykit import code_digest as module
from deploykit.code_digest import code_digest, code_files, others_digest

ROOT = Path(module.__file__).parent

#: What makes each kind of artifact, as the workflow asks for it.
GRAPH = ("deploykit.workflow.network", "deploykit.zoo")
CONVERTED = ("deploykit.graph.precision", "deploykit.graph.calibrate.synthetic")

FILES = {
    "made/__init__.py": "",
    "made/first.py": """
        from typing import TYPE_CHECKING
        import deploykit.beside
        from deploykit import other
        from .second import something
        if TYPE_CHECKING:
            from deploykit.typed import Kind
        else:
            from deploykit.untyped import Kind
        def later():
            try:
                from ..apart import inner
            except ImportError:
                import numpy
        NAMED = {"recipe": "deploykit.named:convert"}
    """,
    "made/second.py": "something = 1",
    "made/unused.py": "",
    "beside.py": "from deploykit.far import (\n    deep,\n    name,\n)",
    "far/__init__.py": "from deploykit.around import name",
    "far/deep.py": "",
    "around.py": "name = 1",
    "other.py": "import deploykit.beside  # in a circle",
    "untyped.py": "",
    "apart/__init__.py": "",
    "apart/inner.py": "",
    "named.py": "",
}
NOT_REACHED = {"made/unused.py"}
ELSEWHERE = {"__init__.py": "from deploykit import cli", "cli.py": "", "typed.py": "Kind = int"}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of a few files in place of deploykit's own."""
    for name, text in (FILES | ELSEWHERE | {"made/facts.toml": ""}).items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(line.removeprefix(" " * 8) for line in text.splitlines()))
    monkeypatch.setattr(module, "_ROOT", tmp_path)
    return tmp_path


def digest_of(*names: str) -> str:
    module._imports.cache_clear()
    return code_digest.__wrapped__(*names)


@pytest.mark.parametrize("changed", sorted(FILES.keys() - NOT_REACHED))
def test_a_change_to_anything_that_is_imported_is_another_digest(package, changed):
    before = digest_of("deploykit.made.first")
    with (package / changed).open("a") as file:
        file.write("\n# changed")
    assert digest_of("deploykit.made.first") != before


@pytest.mark.parametrize("changed", sorted({*NOT_REACHED, *ELSEWHERE, "made/facts.toml"}))
def test_a_change_elsewhere_is_the_same_digest(package, changed):
    before = digest_of("deploykit.made.first")
    with (package / changed).open("a") as file:
        file.write("\n# changed")
    assert digest_of("deploykit.made.first") == before


@pytest.mark.parametrize("changed", ["made/unused.py", "made/facts.toml", "far/deep.py"])
def test_a_package_stands_for_all_that_lies_in_it(package, changed):
    before = digest_of("deploykit.made")
    (package / changed).write_text("changed = 1")
    assert digest_of("deploykit.made") != before


def test_a_module_that_moved_is_another_digest(package):
    before = digest_of("deploykit.made")
    (package / "made/unused.py").rename(package / "made/renamed.py")
    assert digest_of("deploykit.made") != before


@pytest.mark.parametrize("name", ["deploykit.graph.exprot", "deploykit.zooo", "numpy", "deploykit"])
def test_code_that_is_not_there_has_no_digest(name):
    with pytest.raises(ModuleNotFoundError, match=name):
        code_digest("deploykit.zoo", name)


def names_of(*names: str) -> set[str]:
    return {path.relative_to(ROOT).as_posix() for path in code_files(*names)}


#: What a fresh interpreter does: it exports, then converts what it has exported, and prints after each step which
#: files of the package it has imported by then.
STEPS = """
import sys, tempfile
from pathlib import Path
import deploykit
from deploykit.spec import ModelSpec
from deploykit.store import Store
from deploykit.workflow.network import obtain_network

def tell(step):
    root = Path(deploykit.__file__).parent
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "deploykit":
            print("ran", step, Path(module.__file__).relative_to(root).as_posix())

with tempfile.TemporaryDirectory() as folder:
    network = obtain_network(ModelSpec("lenet5", weights="trained"), Store(Path(folder)))
    tell("export")
    from deploykit.graph.precision import convert
    from deploykit.workflow.calibration import calibration_of
    from deploykit.workflow.choices import CalibrationChoice
    images = calibration_of(network, CalibrationChoice(images=2))
    for precision in ("fp16", "int8"):
        convert(network.model, precision, "cpu", Path(folder) / "other.onnx", images)
        tell(precision)
"""


@pytest.fixture(scope="module")
def ran() -> dict[str, set[str]]:
    """The package's files that a fresh interpreter has imported, by the step after which it has."""
    done = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    files: dict[str, set[str]] = {}
    for line in done.stdout.splitlines():
        if line.startswith("ran "):
            _, step, name = line.split()
            files.setdefault(step, set()).add(name)
    return files


def test_an_exported_graph_rests_on_all_that_makes_it_and_counts_it(ran):
    """What an export really runs, as the interpreter has it, is what its key takes in."""
    followed = names_of(*GRAPH)
    assert ran["export"] - followed <= {"__init__.py", "code_digest.py"}
    for what in ("export", "tidy", "check", "read_write", "count", "operators", "view"):
        assert f"graph/{what}.py" in ran["export"]


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_converted_graph_rests_on_all_of_graph_that_makes_it(ran, precision):
    followed = names_of(*GRAPH) | names_of(*CONVERTED)
    assert {name for name in ran[precision] if name.startswith("graph/")} <= followed
    assert any(name.startswith("graph/precision/") for name in ran[precision])


@pytest.mark.parametrize("names", [GRAPH, CONVERTED], ids=["graph", "converted"])
def test_commands_and_reports_make_no_graph(names):
    followed = names_of(*names)
    outside = ("cli/", "report/", "claims/", "bench/", "training/", "backends/", "data/")
    # A file is read and converted in a process of its own, through these.
    carriers = {"bench/__init__.py", "bench/contain.py", "bench/channel.py"}
    assert not [name for name in followed - carriers if name.startswith(outside)]


def imported(nodes: list[ast.stmt], package: list[str]) -> set[str]:
    """What statements and those in them import, as Python's parser has it, without what is for type checkers."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            around = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*around, *([node.module] if node.module else [])])
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            found |= imported(node.orelse, package)
        else:
            for part in ("body", "orelse", "finalbody", "handlers", "cases"):
                inner = getattr(node, part, [])
                found |= imported(inner if isinstance(inner, list) else [], package)
    return {name for name in found if name.startswith("deploykit.")}


def test_imports_are_found_as_the_parser_finds_them() -> None:
    """By their first words alone: of every file of the package nothing is missed, and nothing is added."""
    files = sorted(ROOT.rglob("*.py"))
    assert len(files) > 200
    for file in files:
        text = file.read_text(encoding="utf-8")
        package = ["deploykit", *file.parent.relative_to(ROOT).parts]
        wanted = imported(ast.parse(text).body, package) | set(module._NAMED.findall(text))
        assert module._imports(file) == wanted, file


def test_the_code_of_another_package_is_told_apart(tmp_path, monkeypatch):
    """A graph in the store answered for a network that an installed package had changed."""
    package = tmp_path / "made_elsewhere"
    (package / "inner").mkdir(parents=True)
    for file in (package / "__init__.py", package / "inner" / "nets.py"):
        file.write_text("one = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    name = "made_elsewhere.inner.nets:tiny"
    before = others_digest(name)
    assert before is not None
    assert others_digest(name) == before
    (package / "inner" / "nets.py").write_text("one = 2\n")
    assert others_digest(name) != before
    assert others_digest("deploykit.zoo.lenet:lenet5") is None
    assert others_digest("no_such_package_anywhere:net") is None


def test_the_code_of_another_module_is_told_apart(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "made_in_one_file.py").write_text("one = 1\n")
    before = others_digest("made_in_one_file:net")
    (tmp_path / "made_in_one_file.py").write_text("one = 2\n")
    assert None not in (before, others_digest("made_in_one_file:net"))
    assert others_digest("made_in_one_file:net") != before
