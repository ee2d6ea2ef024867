"""Record what the bindings of NVIDIA's libraries offer: names, signatures, members of enumerations, as data.

`python scripts/record_surfaces.py` installs each of them, without what it depends on, into a virtual environment of
its own under the temporary folder, imports it there and writes tests/surfaces/NAME.json. Tests hold the package's
code against these files, make doubles from them that refuse unknown names, and the stubs that mypy reads are
generated from them, so none of that needs the bindings, a driver or a GPU.

The bindings of TensorRT are linked to libraries of gigabytes. What they take from them when they are imported is a
dozen C functions, so each is imported over empty libraries that export these. pycuda is compiled when it is
installed, which takes a C++ compiler, the CUDA toolkit (CUDA_ROOT, else /usr/local/cuda) and ten minutes.

A file holds facts only, no descriptions:

    {"distribution", "version", "python", "modules": {NAME: {
        "classes":   {NAME: {"bases", "methods", "properties", "constants"}},
        "enums":     {NAME: {MEMBER: number}},
        "functions": {NAME: [signature, one for each overload]},
        "constants": {NAME: number, member of an enumeration, or the name of its type}}}}

Signatures and types are annotations in Python's syntax. A type that the library doesn't tell is `object`. A
property that can be assigned has an `=` after its type. Methods that need no instance have `@static` before the
signature. A class without `__init__` can't be made from Python.
"""

from __future__ import annotations

import argparse
import ast
import enum
import importlib
import inspect
import json
import keyword
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

SURFACES = Path(__file__).parents[1] / "tests" / "surfaces"


class Recorded(NamedTuple):
    """One release of one distribution, and what is recorded of it.

    `modules` maps the name that the package is used by to the one that is imported here: the distributions
    `tensorrt` and `tensorrt-cu12` only hand on what the module of the bindings has.
    """

    file: str
    requirement: str
    modules: dict[str, str]
    beside: tuple[str, ...] = ()


_CUDA = {
    "cuda.bindings.runtime": "cuda.bindings.runtime",
    "cuda.bindings.driver": "cuda.bindings.driver",
}
_TENSORRT = {"tensorrt": "tensorrt_bindings"}
RECORDED = (
    Recorded("tensorrt-10.12", "tensorrt-cu12-bindings==10.12.0.36", _TENSORRT),
    Recorded("tensorrt-10.16", "tensorrt-cu12-bindings==10.16.1.11", _TENSORRT),
    Recorded("tensorrt-11.4", "tensorrt-cu13-bindings==11.4.0.106", _TENSORRT),
    Recorded(
        "tensorrt-rtx-1.7",
        "tensorrt-rtx-cu13-bindings==1.7.1.116",
        {"tensorrt_rtx": "tensorrt_rtx_bindings"},
    ),
    Recorded("cuda-bindings-12.9", "cuda-bindings==12.9.10", _CUDA, ("cuda-pathfinder",)),
    Recorded("cuda-bindings-13.5", "cuda-bindings==13.5.0", _CUDA, ("cuda-pathfinder",)),
    Recorded("nvidia-ml-py-13.615", "nvidia-ml-py==13.615.71", {"pynvml": "pynvml"}),
    Recorded(
        "pycuda-2026.1",
        "pycuda==2026.1",
        {"pycuda.driver": "pycuda.driver"},
        (
            "numpy",
            "pytools",
            "platformdirs",
            "mako",
            "markupsafe",
            "typing-extensions",
            "siphash24",
        ),
    ),
)


# ---- read in the environment of the bindings: the standard library alone ----


def read_module(name: str) -> dict[str, Any]:
    """What a module offers under names without an underscore, sorted by kind."""
    module = importlib.import_module(name)
    found: dict[str, Any] = {"classes": {}, "enums": {}, "functions": {}, "constants": {}}
    source = _Source(module) if str(getattr(module, "__file__", "")).endswith(".py") else None
    for key in sorted(vars(module)):
        value = getattr(module, key)
        if (key.startswith("_") and key != "__version__") or inspect.ismodule(value):
            continue
        if getattr(value, "__module__", None) in _NOT_THEIRS:
            continue
        if isinstance(value, type):
            _read_class(key, value, found)
        elif callable(value):
            found["functions"][key] = (source and source.signature(key, value)) or signatures(
                key, value
            )
        else:
            found["constants"][key] = _constant(value)
    return found


#: Modules whose names the bindings import for themselves.
_NOT_THEIRS = frozenset(
    "typing enum ctypes _ctypes functools threading collections string platformdirs pytools numpy dataclasses"
    " abc pycuda.characterize warnings platform datetime collections.abc ctypes._endian".split()
)


def _constant(value: object) -> int | str:
    """A number, the member of an enumeration ("DataType.FLOAT"), or the name of its type."""
    kind = type(value)
    if getattr(kind, "__members__", None) is not None and hasattr(value, "name"):
        return f"{kind.__qualname__}.{value.name}"
    whole = isinstance(value, int) and not isinstance(value, bool) and type(value) is int
    return value if whole else type(value).__qualname__  # type: ignore[return-value] # an int by the test


def _members(kind: type) -> dict[str, int] | None:
    """The members of an enumeration, None for other classes; pybind11 and Boost.Python have their own kinds."""
    members = getattr(kind, "__members__", None)
    if kind.__mro__[1].__name__ == "enum":
        members = vars(kind)["names"]
    if members is None:
        return None
    return {name: int(getattr(member, "value", member)) for name, member in members.items()}


def _read_class(name: str, kind: type, found: dict[str, Any]) -> None:
    members = _members(kind)
    if members is not None:
        found["enums"][name] = members
        if issubclass(kind, enum.Enum) or any(base.__name__ == "FastEnum" for base in kind.__mro__):
            return
    methods: dict[str, list[str]] = {}
    properties: dict[str, str] = {}
    constants: dict[str, int | str] = {}
    told = _attributes_told(kind)
    for key, raw in sorted(vars(kind).items()):
        if key.startswith("_") and key not in _DUNDERS:
            continue
        if isinstance(raw, property) or type(raw).__name__ == "pybind11_static_property":
            read = signatures(key, raw.fget, owned=True)[0] if raw.fget else "() -> object"
            properties[key] = _returned(read) + (" =" if raw.fset else "")
        elif inspect.isgetsetdescriptor(raw) or inspect.ismemberdescriptor(raw):
            properties[key] = told.get(key, "object") + " ="
        elif isinstance(raw, type):
            _read_class(f"{name}.{key}", raw, found)
        elif key == "__init__" and not (callable(raw) and _takes_something(raw)):
            continue
        elif isinstance(raw, staticmethod) or type(raw).__name__ == "builtin_function_or_method":
            methods[key] = ["@static " + one for one in signatures(key, getattr(kind, key))]
        elif callable(raw):
            methods[key] = signatures(key, raw, owned=True)
        elif not (members and key in members) and type(raw).__name__ != "CField":
            constants[key] = _constant(raw)
    if members is not None:
        return  # an enumeration of pybind11: its methods are those of every enumeration
    for field, kind_of_field, *_ in getattr(kind, "_fields_", ()):  # a structure of ctypes
        properties[str(field)] = _c_type(kind_of_field) + " ="
    if "__init__" not in methods:
        methods.update(_constructor(kind))
    package = kind.__module__.partition(".")[0]
    bases = [
        base.__name__
        for base in kind.__bases__
        if base.__module__.partition(".")[0] == package or issubclass(base, Exception)
    ]
    found["classes"][name] = {
        "bases": bases,
        "methods": methods,
        "properties": properties,
        "constants": constants,
    }


_DUNDERS = frozenset(
    "__init__ __call__ __len__ __getitem__ __setitem__ __delitem__ __iter__ __contains__ __enter__ __exit__ __int__"
    " __index__".split()
)


def _takes_something(constructor: Any) -> bool:
    """Whether a constructor is more than the one that all classes have, which for these libraries' raises."""
    first, *others = signatures("__init__", constructor, owned=True)
    return bool(others) or "*args: object, **kwargs: object" not in first


def _constructor(kind: type) -> dict[str, list[str]]:
    """Of Cython's classes, whose text begins with the call; others take what they take."""
    first = (kind.__doc__ or "").strip().partition("\n")[0]
    if re.fullmatch(rf"{re.escape(kind.__name__)}\(.*\)", first):
        return {"__init__": ["(self, *args: object, **kwargs: object) -> None"]}
    return {}


def _returned(signature: str) -> str:
    return signature.rpartition(" -> ")[2] if " -> " in signature else "object"


def signatures(name: str, function: Any, *, owned: bool = False) -> list[str]:
    """The overloads of a function, from the text that its binding generator wrote, else by inspection."""
    text = inspect.getdoc(function) or ""
    for read in (_from_boost, _from_pybind11):
        found = read(name, text, owned)
        if found:
            return found
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return ["(*args: object, **kwargs: object) -> object"]
    parameters, returned = _from_numpydoc(text)
    return [_written(signature, parameters, returned)]


def _written(
    signature: inspect.Signature, types: dict[str, str] | None = None, returned: str = "object"
) -> str:
    """A signature as text: parameters in their order with their types, defaults as `...`."""
    parts, starred = [], False
    for parameter in signature.parameters.values():
        name, prefix = parameter.name, ""
        if parameter.kind is parameter.VAR_POSITIONAL:
            prefix, starred = "*", True
        elif parameter.kind is parameter.VAR_KEYWORD:
            prefix = "**"
        elif parameter.kind is parameter.KEYWORD_ONLY and not starred:
            parts.append("*")
            starred = True
        kind = "" if name == "self" else f": {(types or {}).get(name, 'object')}"
        default = "" if parameter.default is parameter.empty else " = ..."
        parts.append(f"{prefix}{name}{kind}{default}")
    return f"({', '.join(parts)}) -> {returned}"


# pybind11: "name(self: module.Class, x: int = 0) -> bool", with "Overloaded function." before numbered ones.


def _from_pybind11(name: str, text: str, owned: bool) -> list[str]:
    pattern = rf"^(?:\d+\. )?(?:{re.escape(name)})?(\(.*\) -> .*)$"
    pieces = re.split(pattern, text, flags=re.MULTILINE)[1:]
    found = []
    for signature, described in zip(pieces[::2], pieces[1::2], strict=True):
        read = _pybind11_signature(signature, owned)
        if re.search(
            r":returns?:[^:]*\bNone\b|:returns?:.*\bNone\b", described
        ) and "None" not in _returned(read):
            read += " | None"
        found.append(read)
    return found


def _pybind11_signature(text: str, owned: bool) -> str:
    inside, returned = _split_signature(text)
    parts = []
    for index, part in enumerate(_split_outside_brackets(inside)):
        name, _, rest = part.partition(":")
        if not rest:
            parts.append(part if part.startswith("*") else f"{name.strip()}: object")
            continue
        kind, equals, _ = _split_default(rest)
        name = name.strip() + "_" * keyword.iskeyword(name.strip())
        if owned and index == 0 and name in ("self", "arg0"):
            parts.append("self")
            continue
        parts.append(f"{name}: {python_type(kind)}" + (" = ..." if equals else ""))
    parts = [f"{p}: object" if re.fullmatch(r"\*{1,2}\w+", p) else p for p in parts]
    required = [i for i, part in enumerate(parts) if " = " not in part and not part.startswith("*")]
    # Python's syntax has no parameter with a default before one without: such a one is named or given.
    parts = [
        p.partition(" = ")[0] if i < max(required, default=0) else p for i, p in enumerate(parts)
    ]
    return f"({', '.join(_positional(parts))}) -> {python_type(returned)}"


def _split_signature(text: str) -> tuple[str, str]:
    depth = 0
    for index, letter in enumerate(text):
        depth += (letter in "([{") - (letter in ")]}")
        if depth == 0:
            return text[1:index], text[index + 1 :].partition("->")[2].strip()
    return "", "object"


def _split_outside_brackets(text: str, separator: str = ",") -> list[str]:
    parts, depth, start = [], 0, 0
    for index, letter in enumerate(text):
        depth += (letter in "([{<") - (
            letter in ")]}" or (letter == ">" and text[index - 1] != "-")
        )
        if letter == separator and depth == 0:
            parts.append(text[start:index].strip())
            start = index + 1
    last = text[start:].strip()
    return [*parts, last] if last else parts


def _split_default(text: str) -> tuple[str, str, str]:
    kind, equals, default = text.partition("=")
    return kind.strip(), equals, default.strip()


#: What binding generators and C call a type, as Python's annotations do. `Buffer` is anything with its bytes.
_PYTHON_TYPES = {
    "typing.SupportsInt": "int",
    "typing.SupportsFloat": "float",
    "SupportsInt": "int",
    "SupportsIndex": "int",
    "SupportsFloat": "float",
    "typing_extensions.Buffer": "Buffer",
    "buffer": "Buffer",
    "capsule": "object",
    "typing_extensions.CapsuleType": "object",
    "CapsuleType": "object",
    "numpy.ndarray": "object",
    "handle": "object",
    "Any": "object",
    "NoneType": "None",
    "size_t": "int",
    "unsigned int": "int",
    "unsigned long": "int",
    "unsigned long long": "int",
    "unsigned short": "int",
    "long": "int",
    "long long": "int",
    "short": "int",
    "char": "int",
    "unsigned char": "int",
    "cuuint32_t": "int",
    "cuuint64_t": "int",
    "uint32_t": "int",
    "uint64_t": "int",
    "int32_t": "int",
    "double": "float",
    "long_": "int",
    "float_": "float",
    "tuple": "tuple[object, ...]",
    "list": "list[object]",
    "dict": "dict[str, object]",
    "Iterable": "Iterable[object]",
    "function": "object",
    "Callable": "object",
    "py::array": "object",
}
_C_TYPES = {
    "c_int": "int",
    "c_uint": "int",
    "c_long": "int",
    "c_ulong": "int",
    "c_ulonglong": "int",
    "c_longlong": "int",
    "c_short": "int",
    "c_ushort": "int",
    "c_ubyte": "int",
    "c_byte": "int",
    "c_bool": "bool",
    "c_double": "float",
    "c_float": "float",
    "c_char_p": "bytes",
}


def _c_type(kind: type) -> str:
    """What reading a field of a structure of ctypes gives."""
    if kind.__name__.startswith("c_char_Array"):
        return "bytes"
    if hasattr(kind, "_length_") or kind.__name__.startswith("LP_"):
        return "object"
    return _C_TYPES.get(kind.__name__, "object" if kind.__module__ == "ctypes" else kind.__name__)


_KNOWN = frozenset("int float bool str bytes None object Buffer slice memoryview Iterable".split())


def python_type(text: str) -> str:
    """A type as an annotation with the names of its own module; `object` for what is no annotation."""
    text = text.strip().rstrip(".")
    if text in _PYTHON_TYPES:
        return _PYTHON_TYPES[text]
    text = re.sub(r"nvinfer1::|nvonnxparser::", "", text)
    text = re.sub(r"\b(?:tensorrt\w*_bindings|pycuda)(?:\.\w+)*?\.(?=[A-Z])", "", text)
    text = re.sub(r"\b(?:collections\.abc|typing|typing_extensions)\.(?=\w)", "", text)
    if "|" in text:
        return " | ".join(dict.fromkeys(python_type(p) for p in _split_outside_brackets(text, "|")))
    opened = re.fullmatch(r"(\w+)\[(.*)\]", text)
    if opened:
        outer = opened[1]
        inner = [python_type(part) for part in _split_outside_brackets(opened[2])]
        if outer == "Optional":
            return f"{inner[0]} | None"
        if outer == "Union":
            return " | ".join(dict.fromkeys(inner))
        if outer in ("List", "Tuple", "Dict"):
            outer = outer.lower()
        if outer in ("Sequence", "Iterable", "Iterator", "list", "tuple", "dict"):
            return f"{outer}[{', '.join(inner)}]"
        return "object"
    text = _PYTHON_TYPES.get(text, text)
    if text in _KNOWN or re.fullmatch(r"(?:tuple|list|dict|Iterable)\[.*\]", text):
        return text
    named = re.fullmatch(r"[A-Za-z_]\w*|[A-Z]\w*(\.[A-Z]\w*)+", text)
    return text if named else "object"


# Boost.Python: "name( (Class)arg1, (int)arg2 [, (object)stream=None]) -> None :"


def _from_boost(name: str, text: str, owned: bool) -> list[str]:
    if "C++ signature" not in text:
        return []
    found = []
    pattern = rf"^{re.escape(name)}\((.*)\) -> (\w+) :$"
    for inside, returned in re.findall(pattern, text, re.MULTILINE):
        parts = []
        for index, (before, kind, argument) in enumerate(
            re.findall(r"(\[?)[\s,]*\(([\w.]+)\)\s*(\w+)", re.sub(r"\s", "", inside))
        ):
            is_self = owned and index == 0
            optional = " = ..." if before else ""
            parts.append("self" if is_self else f"{argument}: {python_type(kind)}{optional}")
        found.append(f"({', '.join(_positional(parts))}) -> {python_type(returned)}")
    return found


def _positional(parts: list[str]) -> list[str]:
    """Parameters with those that the library gave no name (arg0, arg1) marked as positional."""
    last = max((i for i, part in enumerate(parts) if re.match(r"arg\d", part)), default=-1)
    return [*parts[: last + 1], "/", *parts[last + 1 :]] if last >= 0 else parts


# cuda.bindings: sections "Parameters" and "Returns" of "name : type" in the text of a function.


def _section(text: str, title: str) -> list[tuple[str, str, str]]:
    """The entries of a section: lines that aren't indented, as (name, type, description)."""
    match = re.search(
        rf"^{title}\n-+\n(.*?)(?=^\w[\w ]*\n-{{3,}}\n|\Z)", text, re.MULTILINE | re.DOTALL
    )
    if match is None:
        return []
    entries = []
    for entry in re.split(r"\n(?=\S)", match[1].strip()):
        first, _, described = entry.partition("\n")
        name, _, kind = first.partition(" : ")
        entries.append((name.strip(), kind.strip(), described))
    return entries


def _told_type(text: str) -> str:
    listed = re.fullmatch(r"(?:list|tuple|List|Tuple)\[(.*)\]", text)
    if listed:
        inner = _told_type(listed[1])
        return f"list[{inner}]" if inner != "object" else "list[object]"
    named = re.findall(r":py:obj:`~?\.?([\w.]+)`", text)
    if named:
        return " | ".join(dict.fromkeys(name.rpartition(".")[2] for name in named))
    return python_type(text)


def _from_numpydoc(text: str) -> tuple[dict[str, str], str]:
    parameters = {name: _told_type(kind) for name, kind, _ in _section(text, "Parameters")}
    returns = _section(text, "Returns")
    if not returns:
        return parameters, "object"
    kinds = []
    for name, kind, described in returns:
        # The error has no name of its own, and addresses are numbers.
        told = _told_type(kind) if kind else python_type(name.partition(".")[0])
        kinds.append("int" if kind == "Any" and "ointer" in described else told)
    return parameters, f"tuple[{', '.join(kinds)}]"


def _attributes_told(kind: type) -> dict[str, str]:
    text = inspect.cleandoc(kind.__doc__ or "")
    return {name: _told_type(told) for name, told, _ in _section(text, "Attributes")}


# Python source, as of pynvml: what a function returns can be read where it takes C values apart.


class _Source:
    """The functions of a module written in Python, with the types of what they return where that is plain."""

    def __init__(self, module: Any) -> None:
        tree = ast.parse(inspect.getsource(module))
        self._functions = {f.name: f for f in tree.body if isinstance(f, ast.FunctionDef)}
        self._module = module

    def signature(self, name: str, value: Any) -> list[str] | None:
        function = self._functions.get(name)
        if function is None:
            return None
        returned = _union(
            kind for node in _returns(function) for kind in self._types(node.value, function)
        )
        if any(
            isinstance(d, ast.Name) and d.id == "convertStrBytes" for d in function.decorator_list
        ):
            returned = returned.replace("bytes", "str")
        return [_written(inspect.signature(inspect.unwrap(value)), None, returned)]

    def _types(self, node: ast.expr | None, function: ast.FunctionDef) -> set[str]:
        """What an expression that is returned can be."""
        if node is None or (isinstance(node, ast.Constant) and node.value is None):
            return {"None"}
        if isinstance(node, ast.Attribute) and node.attr == "value":
            return {self._read(made) for made in self._made(node.value, function)} or {"object"}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            called = self._functions.get(node.func.id)
            if called is None or called is function:
                return {"object"}
            if called.name == "nvmlStructToFriendlyObject":
                return {"nvmlFriendlyObject"}
            return {kind for r in _returns(called) for kind in self._types(r.value, called)}
        if isinstance(node, ast.List | ast.Tuple):
            kinds = [_union(self._types(item, function)) for item in node.elts]
            return {
                f"list[{_union(kinds)}]"
                if isinstance(node, ast.List)
                else f"tuple[{', '.join(kinds)}]"
            }
        if isinstance(node, ast.Name):
            appended = _appended(node.id, function)
            if appended:
                return {
                    f"list[{_union(k for item in appended for k in self._types(item, function))}]"
                }
            return {self._structure(made) for made in self._made(node, function)} or {"object"}
        return {"object"}

    def _read(self, made: str) -> str:
        """What `.value` of a C value is."""
        if made == "create_string_buffer":
            return "bytes"
        if re.fullmatch(r"c_u?int\d+", made):
            return "int"
        kind = getattr(self._module, made, None)
        return _C_TYPES.get(getattr(kind, "__name__", made), "object")

    def _structure(self, made: str) -> str:
        kind = getattr(self._module, made, None)
        if made == "nvmlStructToFriendlyObject":
            return "nvmlFriendlyObject"
        fields = isinstance(kind, type) and hasattr(kind, "_fields_")
        handle = getattr(kind, "__name__", "").startswith("LP_struct_c_nvml")
        return str(kind.__name__) if fields and kind is not None else made if handle else "object"

    def _made(self, node: ast.expr, function: ast.FunctionDef) -> set[str]:
        """The names of what is called to make the value of a variable."""
        if not isinstance(node, ast.Name):
            return set()
        return {
            statement.value.func.id
            for statement in ast.walk(function)
            if isinstance(statement, ast.Assign)
            and isinstance(statement.targets[0], ast.Name)
            and statement.targets[0].id == node.id
            and isinstance(statement.value, ast.Call)
            and isinstance(statement.value.func, ast.Name)
        }


def _union(kinds: Iterable[str]) -> str:
    """One type of several: `object` if any is, a list's items from where it isn't empty."""
    found = set(kinds)
    if len(found) > 1 and any(kind.startswith("list[") for kind in found):
        found.discard("list[None]")
    if not found:
        return "None"
    return (
        "object" if "object" in found else " | ".join(sorted(found, key=lambda k: (k == "None", k)))
    )


def _appended(name: str, function: ast.FunctionDef) -> list[ast.expr]:
    """What is appended to a list of this name."""
    return [
        node.args[0]
        for node in ast.walk(function)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "append"
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == name
    ]


def _returns(function: ast.FunctionDef) -> list[ast.Return]:
    return [node for node in ast.walk(function) if isinstance(node, ast.Return)]


# ---- the environments ----


def empty_libraries(folder: Path, into: Path) -> None:
    """For every extension module under `folder`, libraries with the C functions that it takes, which do nothing.

    Only libraries that this machine doesn't have are made.
    """
    present = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True).stdout
    for extension in folder.rglob("*.so"):
        dynamic = subprocess.run(
            ["readelf", "-d", extension], capture_output=True, text=True
        ).stdout
        needed = [n for n in re.findall(r"NEEDED.*\[(.*?)\]", dynamic) if f"\t{n} " not in present]
        symbols = subprocess.run(
            ["nm", "-D", "--undefined-only", extension], capture_output=True, text=True
        ).stdout
        names = [
            name
            for name in re.findall(r"^\s+U (\w+)$", symbols, re.MULTILINE)
            if not name.startswith(("_", "Py"))
        ]
        for index, library in enumerate(needed):
            code = "\n".join(f"void *{name}(void) {{ return 0; }}" for name in names if index == 0)
            subprocess.run(
                [
                    "cc",
                    "-w",
                    "-shared",
                    "-fPIC",
                    "-x",
                    "c",
                    "-",
                    f"-Wl,-soname,{library}",
                    "-o",
                    str(into / library),
                ],
                input=code + "\n",
                text=True,
                check=True,
            )


def make_environment(recorded: Recorded, folder: Path) -> Path:
    """A virtual environment with the distribution and without what it depends on; its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", folder / "env"], check=True)
    python = folder / "env" / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps"]
    environment = dict(os.environ)
    if recorded.requirement.startswith("pycuda"):
        environment |= toolkit(folder)
    packages = [recorded.requirement, *recorded.beside]
    subprocess.run([*install, *packages], check=True, env=environment)
    return python


def toolkit(folder: Path) -> dict[str, str]:
    """What pycuda's build is told: where the toolkit is, and a library of the driver to link with."""
    root = Path(os.environ.get("CUDA_ROOT", "/usr/local/cuda"))
    if not (root / "bin" / "nvcc").exists():
        raise SystemExit(
            f"pycuda is compiled with the CUDA toolkit, which is not in {root}: set CUDA_ROOT"
        )
    command = [
        "cc",
        "-shared",
        "-x",
        "c",
        "-",
        "-o",
        folder / "libcuda.so",
        "-Wl,-soname,libcuda.so.1",
    ]
    subprocess.run(command, input="\n", text=True, check=True)
    # Where pycuda's build looks for its options: not every toolkit has the random numbers.
    (folder / ".aksetup-defaults.py").write_text("CUDA_ENABLE_CURAND = False\n")
    return {
        "HOME": str(folder),
        "PATH": f"{root / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "LIBRARY_PATH": str(folder),
        "LDFLAGS": "-Wl,--no-as-needed",  # an empty library would be left out
        "CUDA_ROOT": str(root),
    }


def record(recorded: Recorded, folder: Path) -> dict[str, Any]:
    """Install, import and read one distribution."""
    python = make_environment(recorded, folder)
    libraries = folder / "libraries"
    libraries.mkdir()
    empty_libraries(folder / "env" / "lib", libraries)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(libraries)}
    answer = subprocess.run(
        [python, __file__, "--read", json.dumps(recorded.modules)],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    ).stdout
    distribution, _, version = recorded.requirement.partition("==")
    return {
        "distribution": distribution,
        "version": version,
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "modules": json.loads(answer),
    }


def written(surface: dict[str, Any]) -> str:
    """The text of a file: one line for each class, enumeration and function, so that changes can be read."""
    head = {key: value for key, value in surface.items() if key != "modules"}
    lines = [f" {json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()]
    lines.append(' "modules": {')
    for number, (module, kinds) in enumerate(surface["modules"].items()):
        lines.append(f"  {json.dumps(module)}: {{")
        for at, (kind, entries) in enumerate(kinds.items()):
            lines.append(f"   {json.dumps(kind)}: {{")
            last = len(entries) - 1
            lines += [
                f"    {json.dumps(name)}: {json.dumps(entry)}{',' if index < last else ''}"
                for index, (name, entry) in enumerate(entries.items())
            ]
            lines.append("   }" + ("," if at < len(kinds) - 1 else ""))
        lines.append("  }" + ("," if number < len(surface["modules"]) - 1 else ""))
    return "\n".join(["{", *lines, " }", "}", ""])


def main() -> int:
    """Record what is named, or everything."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "files", nargs="*", help=f"of {', '.join(r.file for r in RECORDED)}; all if none"
    )
    parser.add_argument("--read", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read:
        modules = json.loads(arguments.read)
        json.dump({name: read_module(module) for name, module in modules.items()}, sys.stdout)
        return 0
    unknown = set(arguments.files) - {recorded.file for recorded in RECORDED}
    if unknown:
        parser.error(f"nothing is recorded as {', '.join(sorted(unknown))}")
    SURFACES.mkdir(exist_ok=True)
    for recorded in RECORDED:
        if arguments.files and recorded.file not in arguments.files:
            continue
        with tempfile.TemporaryDirectory(prefix="surface-") as folder:
            surface = record(recorded, Path(folder))
        (SURFACES / f"{recorded.file}.json").write_text(written(surface), encoding="utf-8")
        print(f"tests/surfaces/{recorded.file}.json", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
