"""ARCHITECTURE.md is true: every name in it is looked up in the source, every signature compared with the code."""

from __future__ import annotations

import ast
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest
import source_tree as source
from source_tree import PACKAGE, ROOT

TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
BLOCKS = FENCED.findall(TEXT)
PROSE = FENCED.sub("", TEXT)
SPANS = sorted(set(re.findall(r"`([^`\n]+)`", PROSE)))
#: Names of the world outside, by what they belong to.
OUTSIDE = {"import-linter", "torch.nn.Module", "state_dict"}
#: What the section at the end has to tell, and how many places each may take.
TO_ADD = {"an architecture", "a backend", "a claim", "a column", "a report format", "a command"}
MOST_PLACES = 3


@cache
def names() -> frozenset[str]:
    """Modules by every end of their dotted name, with what they define, import, hold as fields or take."""
    known: set[str] = set()
    for module, tree in source.modules().items():
        parts = module.split(".")
        ends = [".".join(parts[at:]) for at in range(len(parts))]
        known.update(ends)
        for name, node in definitions(tree):
            known.add(name)
            known.update(f"{end}.{name}" for end in ends)
            if isinstance(node, ast.ClassDef):
                members = set(members_of(node))
                known.update(members)
                known.update(f"{name}.{member}" for member in members)
    return frozenset(known)


def definitions(tree: ast.Module) -> list[tuple[str, ast.AST]]:
    """What a module defines or imports at its top level, also under `if TYPE_CHECKING`."""
    found: list[tuple[str, ast.AST]] = []
    for node in [
        *tree.body,
        *(n for part in tree.body if isinstance(part, ast.If) for n in part.body),
    ]:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.append((node.name, node))
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found += [(target.id, node) for target in targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.ImportFrom):
            found += [(alias.asname or alias.name, node) for alias in node.names]
    return found


def members_of(node: ast.ClassDef) -> list[str]:
    members = [part.name for part in node.body if isinstance(part, ast.FunctionDef)]
    fields = [part.target for part in node.body if isinstance(part, ast.AnnAssign)]
    return members + [field.id for field in fields if isinstance(field, ast.Name)]


@cache
def constants() -> frozenset[str]:
    """Every string of the source that is no docstring: columns, precisions, keys of metadata, states."""
    return frozenset(
        text
        for tree in source.modules().values()
        for text in source.strings(tree)
        if "\n" not in text
    )


@cache
def options() -> dict[str, set[str]]:
    """The options of each command."""
    import click

    from deploykit.cli import COMMANDS, cli

    context = click.Context(cli)
    commands = {name: cli.get_command(context, name) for name in COMMANDS}
    return {
        name: {
            text
            for parameter in command.params
            for text in parameter.opts + parameter.secondary_opts
        }
        for name, command in commands.items()
        if command is not None
    }


def paths_of(text: str) -> list[Path]:
    """The files and folders that a path with placeholders (`<key>`, NAME) can mean."""
    pattern = re.sub(r"<\w+>|NAME", "*", text).rstrip("/")
    return [path for root in (ROOT, PACKAGE) for path in root.glob(pattern)]


def is_known(span: str) -> bool:
    words = span.split()
    if words[0] == "deploykit" and len(words) > 1:
        return words[1] in options() and all(
            word.partition("=")[0] in options()[words[1]]
            for word in words[2:]
            if word.startswith("--")
        )
    if words[0] == "make":
        return re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.M) is not None
    if words[:2] == ["python", "-m"]:
        return words[2] in source.modules()
    if span.startswith("--"):
        return any(words[0] in of_command for of_command in options().values())
    if words[0] == "pip":
        return True
    if "::" in span:
        file, _, test = span.partition("::")
        return test in declared(source.parsed(ROOT / file).body)
    if re.fullmatch(r"\w+(\+\w+)+", span):  # types of an engine that mixes them
        return set(span.split("+")) <= constants()
    if "/" in span or re.search(r"\.(py|toml|json|md|csv)$", span):
        return bool(paths_of(span)) or Path(span).name in constants()
    called = re.fullmatch(r"([\w.]+)\(.*\)", span)
    name = called.group(1) if called else span
    if name.startswith("deploykit.") and name in source.modules():
        return True
    return name in names() or name in OUTSIDE or span in constants() or is_operator(span)


def is_operator(name: str) -> bool:
    import onnx

    return bool(onnx.defs.has(name))


@pytest.mark.parametrize("span", SPANS)
def test_every_name_in_the_text_is_one(span):
    assert is_known(span), f"`{span}` is in ARCHITECTURE.md and nowhere else"


def test_the_layers_are_those_that_are_checked():
    (drawn,) = [text for language, text in BLOCKS if language == "layers"]
    layers = [re.split(r"\s{2,}", line)[0] for line in drawn.splitlines()]
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    (contract,) = [one for one in contracts if one["type"] == "layers"]
    assert layers == [layer.replace("deploykit.", "") for layer in contract["layers"]]


def test_every_class_and_file_in_the_drawing_is_one():
    (drawn,) = [text for language, text in BLOCKS if language == "flow"]
    classes = set(re.findall(r"\b[A-Z][a-z]+[A-Z]\w+|\bEngine\b|\bRow\b", drawn))
    assert classes >= {"ModelSpec", "OnnxModel", "Engine"}
    assert {name for name in classes if name not in names()} == set()
    files = re.findall(r"\b\w+\.(?:toml|json|csv)\b", drawn)
    assert [name for name in files if name not in constants()] == []
    packages = re.findall(r"\s{2,}(\w+(?:, \w+)*)(?::|$)", drawn, re.M)
    assert {name for listed in packages for name in listed.split(", ")} >= {"zoo", "graph", "bench"}
    for listed in packages:
        assert {name for name in listed.split(", ") if name not in names()} == set()


def seams() -> list[tuple[str, ast.stmt]]:
    """Each declaration in the code blocks, with the file that its block names above it."""
    found = []
    for language, text in BLOCKS:
        if language == "python":
            pieces = re.split(r"^# (\S+\.py)\n", text, flags=re.M)
            assert not pieces[0].strip(), (
                "a block of code begins with the file that it is in: # zoo/x.py"
            )
            for file, stubs in zip(pieces[1::2], pieces[2::2], strict=True):
                found += [(file, node) for node in ast.parse(stubs).body]
    return found


def signature(node: ast.AST) -> str:
    """A function's arguments and result, or a field's type, as text."""
    if isinstance(node, ast.FunctionDef):
        returns = ast.unparse(node.returns) if node.returns else ""
        return f"({ast.unparse(node.args)}) -> {returns}"
    assert isinstance(node, ast.AnnAssign)
    return ast.unparse(node.annotation)


def declared(body: list[ast.stmt]) -> dict[str, ast.AST]:
    found: dict[str, ast.AST] = {}
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = node
    return found


def differences(stub: dict[str, ast.AST], code: dict[str, ast.AST], where: str) -> list[str]:
    faults = []
    for name, node in stub.items():
        if name not in code:
            faults.append(f"{where} has no {name}")
        elif isinstance(node, ast.ClassDef):
            inner = code[name]
            assert isinstance(inner, ast.ClassDef)
            faults += differences(declared(node.body), declared(inner.body), f"{where}: {name}")
        elif signature(node) != signature(code[name]):
            faults.append(f"{where}: {name} is {signature(code[name])}, not {signature(node)}")
    return faults


@pytest.mark.parametrize(
    ("file", "node"), seams(), ids=lambda value: getattr(value, "name", str(value))
)
def test_every_seam_is_as_it_is_written(file, node):
    assert differences(declared([node]), declared(source.parsed(PACKAGE / file).body), file) == []


def additions() -> dict[str, tuple[list[str], list[str]]]:
    """What can be added: its places, and the tests that prove them."""
    _, _, section = TEXT.partition("## Where to add\n")
    rows = re.findall(r"^\| (an? [\w ]+?) +\| (.+?) \| (.+?) \|$", section, re.M)
    return {
        what: (re.findall(r"`(.+?)`", places), re.findall(r"`(.+?)`", tests))
        for what, places, tests in rows
    }


def test_the_end_tells_where_to_add_each_thing():
    assert set(additions()) == TO_ADD
    assert TEXT.rindex("\n## ") == TEXT.index("\n## Where to add")


@pytest.mark.parametrize("what", sorted(TO_ADD))
def test_adding_takes_few_places_and_a_test_proves_them(what):
    places, proofs = additions()[what]
    assert 1 <= len(places) <= MOST_PLACES
    assert [place for place in places if not paths_of(place)] == []
    assert proofs
    for proof in proofs:
        file, _, test = proof.partition("::")
        assert test in declared(source.parsed(ROOT / file).body), f"{file} has no {test}"
