"""What the package's code asks of NVIDIA's bindings, read from its syntax trees, held against a recorded release.

Names that stand for a module of the bindings are listed (`ROOTS`); what is made of them is followed through
assignments, attributes of `self`, parameters with the names of `PARAMETERS` and functions that call what they are
given (`PASSING`). What can't be followed is not judged.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import recorded_surfaces as recorded
import source_tree as source

#: By what names code knows a module of the bindings: variables, and attributes of `self`.
ROOTS = {
    "tensorrt": ({"trt"}, {"_trt"}),
    "tensorrt_rtx": ({"trt"}, {"_trt"}),
    "cuda.bindings.runtime": ({"runtime"}, {"_api"}),
    "pycuda.driver": ({"driver"}, {"_driver"}),
    "pynvml": ({"pynvml", "nvml"}, {"_nvml"}),
}
#: The package's modules that use each.
USERS = {
    "tensorrt": ("deploykit.backends.tensorrt", "deploykit.backends.tensorrt_session"),
    "tensorrt_rtx": ("deploykit.backends.tensorrt", "deploykit.backends.tensorrt_session"),
    "cuda.bindings.runtime": ("deploykit.cuda.bindings",),
    "pycuda.driver": ("deploykit.cuda.bindings",),
    "pynvml": ("deploykit.cuda.devices",),
}
#: Parameters of any type that are given objects of TensorRT, by its classes.
PARAMETERS = {
    "builder": "Builder",
    "config": "IBuilderConfig",
    "context": "IExecutionContext",
    "engine": "ICudaEngine",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "profile": "IOptimizationProfile",
}
#: Methods whose first argument, a function or its name, is called with the others after so many of their own;
#: None where it is called without any.
PASSING = {"_call": 0, "_ask": 1, "_made": None}
#: How the names of functions of the bindings begin, that stand in strings.
NAMES = {"cuda.bindings.runtime": "cuda", "pynvml": "nvml"}


@dataclass(frozen=True)
class Known:
    """What an expression is: "module", "class", "instance" or "function"; which one; what it takes."""

    kind: str
    name: str = ""
    overloads: tuple[str, ...] = ()
    bound: bool = False


@dataclass
class Reader:
    """Follows one module of the package against one recorded surface.

    `problems` are what the surface doesn't have, by place; `uses` what was judged.
    """

    of: recorded.Surface
    code: str
    problems: dict[str, str] = field(default_factory=dict)
    uses: set[str] = field(default_factory=set)
    attributes: dict[str, Known] = field(default_factory=dict)
    names: dict[str, Known] = field(default_factory=dict)

    def read(self) -> Reader:
        """Twice, as attributes of `self` may be used above where they are set."""
        tree = source.modules()[self.code]
        for _ in range(2):
            self.problems.clear()
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    self._function(node)
        self._strings(tree)
        return self

    def _strings(self, tree: ast.Module) -> None:
        """Names of functions in strings, which are called by `getattr`, are written whole and exist."""
        prefix = NAMES.get(self.of.module)
        if prefix is None:
            return
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                first = node.values[0] if node.values else None
                if isinstance(first, ast.Constant) and re.match(
                    rf"{prefix}[A-Z]", str(first.value)
                ):
                    self._problem(node, f"the name {ast.unparse(node)} is not written whole")
            elif isinstance(node, ast.Constant) and re.fullmatch(
                rf"{prefix}[A-Z]\w+", str(node.value)
            ):
                self._attribute(Known("module"), str(node.value), node)

    def _function(self, function: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        arguments = function.args
        named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        self.names = {}
        for argument in named:
            written = ast.unparse(argument.annotation) if argument.annotation else "Any"
            kind = written if written in self.of.classes else PARAMETERS.get(argument.arg, "")
            if kind in self.of.classes and written in ("Any", kind):
                self.names[argument.arg] = Known("instance", kind)
        for statement in _own_statements(function):
            if isinstance(statement, ast.Assign):
                given = self._type(statement.value)
                for target in statement.targets:
                    self._assign(target, given, statement.value)
            elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
                self._assign(statement.target, self._type(statement.value), statement.value)
            else:
                for expression in ast.iter_child_nodes(statement):
                    if isinstance(expression, ast.expr | ast.withitem):
                        self._visit(expression)

    def _visit(self, node: ast.AST) -> None:
        if isinstance(node, ast.expr):
            self._type(node)
        else:
            for child in ast.iter_child_nodes(node):
                self._visit(child)

    def _assign(self, target: ast.expr, given: Known | None, value: ast.expr) -> None:
        if isinstance(target, ast.Tuple):
            parts = value.elts if isinstance(value, ast.Tuple) else []
            for index, part in enumerate(target.elts):
                known = self._type(parts[index]) if index < len(parts) else None
                self._assign(part, known, value)
            return
        if isinstance(target, ast.Name):
            self.names.pop(target.id, None)
            if given is not None:
                self.names[target.id] = given
        elif isinstance(target, ast.Attribute):
            if is_self(target.value):
                if given is not None:
                    self.attributes[target.attr] = given
                return
            owner = self._type(target.value)
            if owner is not None and owner.kind == "instance":
                recorded_type = self.of.member(owner.name, target.attr)
                self.uses.add(f"{owner.name}.{target.attr} =")
                if not (isinstance(recorded_type, str) and recorded_type.endswith(" =")):
                    self._problem(target, f"{owner.name}.{target.attr} can't be set")

    def _problem(self, node: ast.AST, text: str) -> None:
        self.problems[f"{self.code}:{getattr(node, 'lineno', 0)} {text}"] = text

    def _type(self, node: ast.expr) -> Known | None:
        """What an expression is, everything in it judged on the way."""
        names, attributes = ROOTS[self.of.module]
        if isinstance(node, ast.Name):
            return self.names.get(node.id) or (Known("module") if node.id in names else None)
        if isinstance(node, ast.Attribute):
            if is_self(node.value):
                known = Known("module") if node.attr in attributes else None
                return known or self.attributes.get(node.attr)
            owner = self._type(node.value)
            return self._attribute(owner, node.attr, node) if owner else None
        if isinstance(node, ast.Call):
            return self._call(node)
        if isinstance(node, ast.Lambda):
            return self._type(node.body)
        for child in ast.iter_child_nodes(node):
            self._visit(child)
        return None

    def _attribute(self, owner: Known, name: str, node: ast.AST) -> Known | None:
        if name.startswith("__") and name != "__init__":
            return None
        if owner.kind == "module":
            self.uses.add(name)
            if name in self.of.classes or name in self.of.enums:
                return Known("class", name)
            if name in self.of.functions:
                return Known("function", name, tuple(self.of.functions[name]))
            if name in self.of.constants:
                return self._instance(str(self.of.constants[name]))
            self._problem(node, f"no {name}")
            return None
        if owner.kind == "function" or (owner.name in self.of.enums and name in ("name", "value")):
            return None
        member = self.of.member(owner.name, name)
        self.uses.add(f"{owner.name}.{name}")
        if member is None:
            self._problem(node, f"no {owner.name}.{name}")
            return None
        if isinstance(member, list):
            bound = owner.kind == "instance" or member[0].startswith("@static")
            return Known("function", f"{owner.name}.{name}", tuple(member), bound)
        if isinstance(member, int):
            return Known("instance", owner.name)
        if member in self.of.classes or member in self.of.enums:
            return (
                Known("class", member)
                if member.startswith(owner.name + ".")
                else Known("instance", member)
            )
        return self._instance(member)

    def _instance(self, annotation: str) -> Known | None:
        name = annotation.removesuffix(" =").removesuffix(" | None")
        owner = (
            name if name in self.of.classes or name in self.of.enums else name.rpartition(".")[0]
        )
        return (
            Known("instance", owner) if owner in self.of.classes or owner in self.of.enums else None
        )

    def _call(self, node: ast.Call) -> Known | None:
        arguments = list(node.args)
        called: Known | None
        passing = (
            node.func.attr
            if isinstance(node.func, ast.Attribute) and is_self(node.func.value)
            else ""
        )
        if isinstance(node.func, ast.Name) and node.func.id == "getattr" and len(arguments) >= 2:
            return self._getattr(arguments, node)
        if passing in PASSING and arguments:
            first, own = arguments[0], PASSING[passing]
            if isinstance(first, ast.Lambda):
                return self._type(first)
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                called = (
                    self._attribute(Known("module"), first.value, node)
                    if NAMES.get(self.of.module)
                    else None
                )
            else:
                called = self._type(first)
            rest = arguments[1:] if own is not None else []
            for argument in arguments[1:]:
                self._type(argument)
            return self._judge(called, rest, [], node, own or 0)
        called = self._type(node.func)
        for argument in arguments:
            self._visit(argument)
        for keyword in node.keywords:
            self._type(keyword.value)
        return self._judge(called, arguments, node.keywords, node, 0)

    def _getattr(self, arguments: list[ast.expr], node: ast.Call) -> Known | None:
        owner, name = self._type(arguments[0]), arguments[1]
        if owner is None or not isinstance(name, ast.Constant) or len(arguments) > 2:
            return None  # with a default, it may be missing
        return self._attribute(owner, str(name.value), node)

    def _judge(
        self,
        called: Known | None,
        arguments: list[ast.expr],
        keywords: list[ast.keyword],
        node: ast.Call,
        more: int,
    ) -> Known | None:
        if called is None or called.kind not in ("class", "function"):
            return None
        made = called.kind == "class"
        if made:
            constructor = self.of.member(called.name, "__init__")
            overloads = constructor if isinstance(constructor, list) else []
        else:
            overloads = list(called.overloads)
        starred = any(isinstance(argument, ast.Starred) for argument in arguments)
        named = [keyword.arg for keyword in keywords if keyword.arg is not None]
        method = made or called.bound
        count = len(arguments) + more
        if overloads and not starred and len(named) == len(keywords):
            self.uses.add(f"{called.name}()")
            if not recorded.takes(overloads, count, named, method=method):
                self._problem(node, f"{called.name} takes other arguments than {ast.unparse(node)}")
        if made:
            return Known("instance", called.name)
        return (
            self._instance(str(recorded.signature(overloads[0]).return_annotation))
            if overloads
            else None
        )


def is_self(node: ast.expr) -> bool:
    """Whether an expression is the name `self`."""
    return isinstance(node, ast.Name) and node.id == "self"


def _own_statements(function: ast.AST) -> Iterator[ast.stmt]:
    """The statements of a function in their order, without those of functions in it."""
    for child in ast.iter_child_nodes(function):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if isinstance(child, ast.stmt):
            yield child
        yield from _own_statements(child)
