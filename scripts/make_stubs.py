"""Write the stubs that mypy reads for NVIDIA's bindings, in stubs/, from what tests/surfaces records of them.

The bindings have no types that mypy could read, and some can't be installed where there is no GPU. A stub has what
every recorded release of a module has, so that mypy refuses what any of them lacks. That of `tensorrt` has only
what `tensorrt_rtx` has too, since the same code uses either; its class `Module`, which the library doesn't have, is
the type of the module itself, for code that is given one of the two.
"""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SURFACES, STUBS = ROOT / "tests" / "surfaces", ROOT / "stubs"
#: Modules whose stub has only what another module has too.
SHARED = {"tensorrt": "tensorrt_rtx"}
#: Recorded modules that the package does not import.
UNUSED = {"cuda.bindings.driver"}
#: What gives nothing where it fails, though its text doesn't say so.
FAILING = {
    "Builder.build_serialized_network",
    "Builder.create_builder_config",
    "Builder.create_network",
    "ICudaEngine.create_engine_inspector",
    "ICudaEngine.create_execution_context",
}
#: What instances can that their classes do not show: by protocols of C, or as it is given to them when made.
GIVEN = {
    "Dims": ["def __iter__(self) -> Iterator[builtins.int]: ..."],
    "IHostMemory": ["def __buffer__(self, flags: builtins.int, /) -> builtins.memoryview: ..."],
    "NVMLError": ["value: builtins.int"],
    "nvmlFriendlyObject": ["def __getattr__(self, name: builtins.str) -> object: ..."],
}
#: What functions give that say nothing of it.
RETURNED = {"nptype": "builtins.type"}
#: Names that the library's signatures have for classes of another name.
ALIASES = {"IParserError": "ParserError"}
_BUILTINS = frozenset("int float bool str bytes object tuple list dict slice memoryview".split())
_GENERIC = {"tuple": "tuple[object, ...]", "list": "list[object]", "dict": "dict[object, object]"}
_ABC = frozenset("Buffer Sequence Iterable Iterator".split())
_NUMBERS = frozenset("__int__ __index__ __len__".split())

Module = dict[str, dict[str, Any]]


def main() -> int:
    """Write every stub; names of what was removed are not looked for."""
    for path, text in stubs().items():
        target = STUBS / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        print(f"stubs/{path}")
    return 0


def stubs() -> dict[str, str]:
    """The text of every stub by its path under stubs/."""
    recorded: dict[str, list[Module]] = {}
    for file in sorted(SURFACES.glob("*.json")):
        for name, module in json.loads(file.read_text(encoding="utf-8"))["modules"].items():
            recorded.setdefault(name, []).append(module)
    made: dict[str, str] = {}
    for name in sorted(set(recorded) - UNUSED):
        releases = recorded[name]
        shared = [*releases, *recorded.get(SHARED.get(name, ""), [])]
        folder, _, last = name.replace(".", "/").rpartition("/")
        package = "/" not in name.replace(".", "/") and name.startswith("tensorrt")
        path = f"{name}/__init__.pyi" if package else f"{folder}/{last}.pyi".lstrip("/")
        made[path] = Stub(name, common(shared)).text()
        parts = name.split(".")[:-1]
        for depth in range(len(parts)):
            made.setdefault("/".join([*parts[: depth + 1], "__init__.pyi"]), "")
    return made


def common(releases: list[Module]) -> Module:
    """What all releases have: names, members and overloads; of overloads that differ, those of the newest."""
    first, *others = releases
    found: Module = {}
    for kind in ("classes", "enums", "functions", "constants"):
        names = [name for name in first[kind] if all(name in other[kind] for other in others)]
        found[kind] = {name: first[kind][name] for name in names}
    for name in found["functions"]:
        found["functions"][name] = _common_overloads([r["functions"][name] for r in releases])
    for name, members in found["enums"].items():
        kept = [m for m in members if all(m in other["enums"][name] for other in others)]
        found["enums"][name] = {member: members[member] for member in kept}
    for name, owner in found["classes"].items():
        every = [release["classes"][name] for release in releases]
        found["classes"][name] = {
            "bases": owner["bases"],
            "methods": {
                m: _common_overloads([one["methods"][m] for one in every])
                for m in owner["methods"]
                if all(m in one["methods"] for one in every)
            },
            "properties": {
                p: min((one["properties"][p] for one in every), key=len)
                for p in owner["properties"]
                if all(p in one["properties"] for one in every)
            },
            "constants": {
                c: value
                for c, value in owner["constants"].items()
                if all(c in one["constants"] for one in every)
            },
        }
    return found


def _common_overloads(every: list[list[str]]) -> list[str]:
    shared = [text for text in every[-1] if all(text in other for other in every)]
    return list(dict.fromkeys(shared or every[-1]))


class Stub:
    """The stub of one module.

    Args:
        name: of the module.
        module: what it has.
    """

    def __init__(self, name: str, module: Module) -> None:
        self._name, self._module = name, module
        #: Put before the names of the module's own classes where others have their names.
        self._before = ""
        self._lines: list[str] = []

    def text(self) -> str:
        """The whole stub."""
        self._lines = [
            "# Written by scripts/make_stubs.py from tests/surfaces; `make stubs` writes it anew.",
            "# ruff: noqa",
            "# What derives from a class in C++ may take something else there, which Python's types call wrong.",
            '# mypy: disable-error-code="override, assignment, overload-cannot-match"',
            "import builtins",
            "from collections.abc import Iterable, Iterator, Sequence",
            "from enum import Enum, IntEnum",
            "from typing import Protocol, overload",
            "from typing_extensions import Buffer",
            "",
        ]
        module = self._module
        own = {name for name in [*module["classes"], *module["enums"]] if "." not in name}
        for name in sorted(own):
            self._class(name, "")
        for name, overloads in module["functions"].items():
            self._function(name, overloads, "", "")
        for name, kind in module["constants"].items():
            self._lines.append(f"{name}: {self._value(kind)}")
        if self._name in SHARED:
            self._module_class(own)
        return "\n".join([*self._lines, ""])

    def _module_class(self, own: set[str]) -> None:
        self._lines += [
            "",
            *(f"_{name} = {name}" for name in sorted(own)),
            "",
            "class Module(Protocol):",
        ]
        self._before = "_"
        self._lines += [
            "    __name__: builtins.str",
            *(f"    {name}: type[_{name}]" for name in sorted(own)),
        ]
        for name, overloads in self._module["functions"].items():
            methods = [text.replace("(", "(self, ", 1).replace(", )", ")", 1) for text in overloads]
            self._function(name, methods, "Module", "    ")
        constants = self._module["constants"].items()
        self._lines += [f"    {name}: {self._value(kind)}" for name, kind in constants]

    def _class(self, name: str, indent: str) -> None:
        last, inside = name.rpartition(".")[2], indent + "    "
        if name in self._module["enums"]:
            base = "IntEnum" if self._name.startswith(("cuda", "pycuda")) else "Enum"
            self._lines.append(f"{indent}class {last}({base}):")
            members = self._module["enums"][name]
            self._lines += [f"{inside}{member} = {value}" for member, value in members.items()]
            self._lines += [
                f"{inside}def {m}(self) -> builtins.int: ..." for m in ("__int__", "__index__")
            ]
            return
        recorded = self._module["classes"][name]
        bases = [b for b in recorded["bases"] if b in self._module["classes"] or b == "Exception"]
        self._lines.append(
            f"{indent}class {last}({', '.join(bases)}):" if bases else f"{indent}class {last}:"
        )
        before = len(self._lines)
        for inner in sorted({*self._module["classes"], *self._module["enums"]}):
            if inner.rpartition(".")[0] == name:
                self._class(inner, inside)
        for constant, kind in recorded["constants"].items():
            if constant.isidentifier():
                self._lines.append(f"{inside}{constant}: {self._value(kind)}")
        for method, overloads in recorded["methods"].items():
            self._function(method, overloads, name, inside)
        for attribute, kind in recorded["properties"].items():
            written = self._annotation(kind.removesuffix(" ="))
            if kind.endswith(" ="):
                self._lines.append(f"{inside}{attribute}: {written}")
            else:
                self._lines += [
                    f"{inside}@property",
                    f"{inside}def {attribute}(self) -> {written}: ...",
                ]
        self._lines += [inside + line for line in GIVEN.get(name, [])]
        if len(self._lines) == before:
            self._lines.append(f"{inside}...")

    def _function(self, name: str, overloads: list[str], owner: str, indent: str) -> None:
        for text in overloads:
            if len(overloads) > 1:
                self._lines.append(f"{indent}@overload")
            if text.startswith("@static "):
                self._lines.append(f"{indent}@staticmethod")
            self._lines.append(f"{indent}def {name}{self._signature(text, f'{owner}.{name}')}: ...")

    def _signature(self, text: str, name: str) -> str:
        function = ast.parse(f"def f{text.removeprefix('@static ')}: ...").body[0]
        assert isinstance(function, ast.FunctionDef)
        arguments = function.args
        for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]:
            if argument.annotation is not None:
                argument.annotation = _expression(self._taken(ast.unparse(argument.annotation)))
        for argument in filter(None, [arguments.vararg, arguments.kwarg]):
            argument.annotation = _expression("object")
        returned = self._annotation(ast.unparse(function.returns)) if function.returns else "object"
        returned = RETURNED.get(name.rpartition(".")[2], returned)
        if name.rpartition(".")[2] == "__init__":
            returned = "None"
        elif name.rpartition(".")[2] in _NUMBERS:
            returned = "builtins.int"
        elif name in FAILING and "None" not in returned:
            returned += " | None"
        return f"({ast.unparse(arguments)}) -> {returned}"

    def _taken(self, written: str) -> str:
        """What a parameter takes: the bindings also make shapes of sequences, and handles of numbers."""
        annotation = self._annotation(written)
        if written == "Dims":
            return f"{annotation} | Sequence[builtins.int]"
        handles = self._name.startswith("cuda") and written.endswith(
            ("_t", "CUdeviceptr", "CUstream", "CUevent")
        )
        return f"{annotation} | builtins.int" if handles and annotation != "object" else annotation

    def _value(self, kind: int | str) -> str:
        """The annotation of a constant: a number, a member, or something of a type."""
        if isinstance(kind, int):
            return "builtins.int"
        if kind in _GENERIC:
            return self._annotation(_GENERIC[kind])
        owner = kind.rpartition(".")[0]
        return self._annotation(owner if owner in self._module["enums"] else kind)

    def _annotation(self, written: str) -> str:
        """An annotation in which every name is defined; `object` for those that are not."""

        class Names(ast.NodeTransformer):
            def visit_Name(inner, node: ast.Name) -> ast.expr:  # noqa: N805
                return _expression(self._named(node.id))

            def visit_Attribute(inner, node: ast.Attribute) -> ast.expr:  # noqa: N805
                return _expression(self._named(ast.unparse(node)))

        return ast.unparse(Names().visit(_expression(written)))

    def _named(self, name: str) -> str:
        name = ALIASES.get(name, name)
        if name in _BUILTINS:
            return f"builtins.{name}"
        if name in self._module["classes"] or name in self._module["enums"]:
            return self._before + name
        return name if name in _ABC else "builtins.object"


def _expression(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


if __name__ == "__main__":
    sys.exit(main())
