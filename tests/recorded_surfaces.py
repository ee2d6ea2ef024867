"""What the bindings of NVIDIA's libraries offer, as tests/surfaces records it, and doubles that offer just that.

scripts/record_surfaces.py says what a file holds and where it is from. A double of a module has the recorded names
and no others. What its classes do is a test's:

    trt = double("tensorrt-11.4", "tensorrt")

    @stands_for(trt.ICudaEngine)
    class Engine:
        num_io_tensors = 2

        def get_tensor_name(self, index):
            return "x"

A name that the recorded class doesn't have is refused when such a class is made, an attribute that it doesn't have
when it is read or set, and arguments and values that no recorded overload takes and gives when a method is called.
A recorded name without behaviour raises NotImplementedError when it is used.
"""

from __future__ import annotations

import enum
import functools
import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

FOLDER = Path(__file__).parent / "surfaces"
#: The recorded releases of each module, the oldest first.
RELEASES = {
    "tensorrt": ("tensorrt-10.12", "tensorrt-10.16", "tensorrt-11.4"),
    "tensorrt_rtx": ("tensorrt-rtx-1.7",),
    "cuda.bindings.runtime": ("cuda-bindings-12.9", "cuda-bindings-13.5"),
    "cuda.bindings.driver": ("cuda-bindings-12.9", "cuda-bindings-13.5"),
    "pynvml": ("nvidia-ml-py-13.615",),
    "pycuda.driver": ("pycuda-2026.1",),
}


@dataclass(frozen=True)
class Surface:
    """One module of one release."""

    release: str
    module: str
    classes: dict[str, dict[str, Any]]
    enums: dict[str, dict[str, int]]
    functions: dict[str, list[str]]
    constants: dict[str, int | str]

    def names(self) -> set[str]:
        """What the module has, without what lies in classes."""
        found = {*self.classes, *self.enums, *self.functions, *self.constants}
        return {name for name in found if "." not in name}

    def member(self, owner: str, name: str) -> str | list[str] | int | None:
        """A method's overloads, a property's or constant's type or number, None if the class doesn't have it.

        Looked for in the classes that it derives from too.
        """
        if owner in self.enums and name in self.enums[owner]:
            return self.enums[owner][name]
        recorded = self.classes.get(owner)
        if recorded is None:
            return None
        for kind in ("methods", "properties", "constants"):
            if name in recorded[kind]:
                found: str | list[str] | int = recorded[kind][name]
                return found
        if f"{owner}.{name}" in self.enums or f"{owner}.{name}" in self.classes:
            return f"{owner}.{name}"
        return next(
            (m for base in recorded["bases"] if (m := self.member(base, name)) is not None), None
        )

    def members(self, owner: str) -> set[str]:
        """All names that a class has, with those of the classes that it derives from."""
        recorded = self.classes[owner]
        found = {*recorded["methods"], *recorded["properties"], *recorded["constants"]}
        inner = [*self.classes, *self.enums]
        found |= {n.removeprefix(owner + ".") for n in inner if n.startswith(owner + ".")}
        return found.union(
            *(self.members(base) for base in recorded["bases"] if base in self.classes)
        )


@cache
def surface(release: str, module: str) -> Surface:
    """What a release has under the name of a module."""
    recorded = json.loads((FOLDER / f"{release}.json").read_text(encoding="utf-8"))
    return Surface(release, module, **recorded["modules"][module])


def surfaces(module: str) -> list[Surface]:
    """A module in every recorded release of it."""
    return [surface(release, module) for release in RELEASES[module]]


@cache
def signature(text: str) -> inspect.Signature:
    """The signature that a recorded one says, its annotations as text."""
    made: dict[str, Any] = {}
    exec(
        f"from __future__ import annotations\ndef recorded{text.removeprefix('@static ')}: ...",
        made,
    )
    return inspect.signature(made["recorded"])


def takes(overloads: Sequence[str], count: int, keywords: Iterable[str], *, method: bool) -> bool:
    """Whether an overload takes so many positional arguments and these keywords."""
    for text in overloads:
        own = [None] if method and not text.startswith("@static") else []
        try:
            signature(text).bind(*own, *[None] * count, **dict.fromkeys(keywords))
        except TypeError:
            continue
        return True
    return False


def _all_signatures(of: Surface) -> Iterator[tuple[str, str]]:
    for name, overloads in of.functions.items():
        yield from ((name, text) for text in overloads)
    for owner, recorded in of.classes.items():
        for name, overloads in recorded["methods"].items():
            yield from ((f"{owner}.{name}", text) for text in overloads)


def all_signatures(of: Surface) -> list[tuple[str, str]]:
    """Every recorded signature with the name of what has it."""
    return list(_all_signatures(of))


# ---- doubles ----


class _Double(ModuleType):
    """A module that has what a release has."""

    def __init__(self, of: Surface) -> None:
        super().__init__(of.module)
        self.__dict__["surface_"] = of

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{self.surface_.module} of {self.surface_.release} has no {name}")

    def __setattr__(self, name: str, value: Any) -> None:
        of: Surface = self.surface_
        if not name.startswith("__") and name not in of.names():
            self.__getattr__(name)
        if inspect.isfunction(value):
            value = _checked(value, of.functions[name], self, name, method=False)
        super().__setattr__(name, value)


class _Recorded:
    """The base of a double's classes."""

    double_: _Double
    recorded_: str
    #: Whether the class is a test's that stands for a recorded one, or one that code derives from it.
    stands_ = False

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        of = self.double_.surface_
        overloads = of.member(self.recorded_, "__init__")
        if overloads is None and not self.stands_:
            raise TypeError(f"{of.release} makes a {self.recorded_} only by itself")
        if isinstance(overloads, list):
            _check(
                overloads, (self, *arguments), keywords, self.double_, self.recorded_, method=True
            )

    def __getattr__(self, name: str) -> Any:
        of = self.double_.surface_
        if name.startswith("_") or of.member(self.recorded_, name) is None:
            raise AttributeError(f"{self.recorded_} of {of.release} has no {name}")
        raise NotImplementedError(f"no behaviour was given for {self.recorded_}.{name}")

    def __setattr__(self, name: str, value: Any) -> None:
        if self.stands_ and not name.startswith("_"):
            of = self.double_.surface_
            kind = of.member(self.recorded_, name)
            if not (isinstance(kind, str) and kind.endswith(" =")):
                raise AttributeError(
                    f"{self.recorded_} of {of.release} has no {name} that can be set"
                )
            if not _fits(value, kind.removesuffix(" ="), self.double_):
                raise TypeError(
                    f"{self.recorded_}.{name} of {of.release} takes {kind[:-2]}, not {value!r}"
                )
        object.__setattr__(self, name, value)


def double(release: str, module: str) -> Any:
    """A module with the names that a release records for it, without behaviour."""
    of = surface(release, module)
    made = _Double(of)
    version = json.loads((FOLDER / f"{release}.json").read_text(encoding="utf-8"))["version"]
    classes: dict[str, type] = {}

    def make(name: str) -> type:
        if name in classes:
            return classes[name]
        recorded = of.classes[name]
        bases = [
            make(base) if base in of.classes else Exception
            for base in recorded["bases"]
            if base in of.classes or base == "Exception"
        ]
        names = {"double_": made, "recorded_": name, "__module__": of.module}
        classes[name] = type(name.rpartition(".")[2], tuple(bases) or (_Recorded,), names)
        return classes[name]

    for name in of.classes:
        make(name)
    for name, members in of.enums.items():
        classes[name] = _enumeration(name, members, of.module)
    for name, kind in classes.items():
        owner, _, inner = name.rpartition(".")
        if owner:
            setattr(classes[owner], inner, kind)
    for name, recorded in of.classes.items():
        for constant, kind in recorded["constants"].items():
            setattr(classes[name], constant, _constant(kind, classes))
    values = {name: kind for name, kind in classes.items() if "." not in name}
    values |= {name: _constant(kind, classes) for name, kind in of.constants.items()}
    values |= {name: _without_behaviour(name) for name in of.functions}
    made.__dict__.update(values, __version__=version)
    return made


def stands_for(recorded: type) -> Callable[[type], type]:
    """A decorator: the class that is decorated takes the place of a double's class.

    It may have the names that the recorded class has, and others with an underscore. Its methods are called with
    what a recorded overload takes, and give what it gives; everything else is refused.
    """

    def replace(behaviour: type) -> type:
        owner, made = recorded.recorded_, recorded.double_  # type: ignore[attr-defined]
        of = made.surface_
        names = {"stands_": True, "__module__": behaviour.__module__, "__doc__": behaviour.__doc__}
        for name, value in vars(behaviour).items():
            overloads = of.member(owner, name)
            if not name.startswith("_") and overloads is None:
                raise TypeError(f"{owner} of {of.release} has no {name}")
            if name in ("__dict__", "__weakref__", "__module__", "__doc__"):
                continue
            checked = (
                isinstance(overloads, list) and inspect.isfunction(value) and name != "__init__"
            )
            names[name] = (
                _checked(value, overloads, made, f"{owner}.{name}", method=True)
                if checked
                else value
            )
        kind = type(behaviour.__name__, (recorded,), names)
        if "." not in owner:
            made.__dict__[owner] = kind
        return kind

    return replace


def _enumeration(name: str, members: dict[str, int], module: str) -> type:
    """Members that are numbers for the bindings made with Cython, and can be made numbers for the others."""
    base = enum.IntEnum if module.startswith("cuda") else _Member
    return base(name.rpartition(".")[2], members, module=module)  # type: ignore[return-value, call-overload]


class _Member(enum.Enum):
    def __int__(self) -> int:
        return int(self.value)

    __index__ = __int__


def _constant(recorded: int | str, classes: dict[str, type]) -> Any:
    if isinstance(recorded, int):
        return recorded
    owner, _, member = recorded.rpartition(".")
    return getattr(classes[owner], member) if owner in classes else None


def _without_behaviour(name: str) -> Callable[..., Any]:
    def refuse(*arguments: Any, **keywords: Any) -> Any:
        raise NotImplementedError(f"no behaviour was given for {name}")

    return refuse


def _checked(
    function: Callable[..., Any], overloads: list[str], made: _Double, name: str, *, method: bool
) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*arguments: Any, **keywords: Any) -> Any:
        returned = _check(overloads, arguments, keywords, made, name, method=method)
        value = function(*arguments, **keywords)
        if not any(_fits(value, kind, made, given=True) for kind in returned):
            raise TypeError(
                f"{name} of {made.surface_.release} gives {' or '.join(returned)}, not {value!r}"
            )
        return value

    return call


def _check(
    overloads: list[str],
    arguments: tuple[Any, ...],
    keywords: dict[str, Any],
    made: _Double,
    name: str,
    *,
    method: bool,
) -> list[str]:
    """What the overloads return that take these arguments; none is a TypeError, as the bindings raise it."""
    fitting = []
    for text in overloads:
        own = arguments[1:] if method and text.startswith("@static") else arguments
        try:
            bound = signature(text).bind(*own, **keywords).arguments
        except TypeError:
            continue
        kinds = {p.name: p for p in signature(text).parameters.values()}
        if all(
            kinds[key].kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
            or kinds[key].annotation is inspect.Parameter.empty
            or _fits(value, kinds[key].annotation, made)
            for key, value in bound.items()
        ):
            fitting.append(str(signature(text).return_annotation))
    if not fitting:
        given = ", ".join(
            [*map(repr, arguments[method:]), *(f"{k}={v!r}" for k, v in keywords.items())]
        )
        raise TypeError(
            f"{name} of {made.surface_.release} does not take ({given}): {' or '.join(overloads)}"
        )
    return list(dict.fromkeys(fitting))


def _fits(value: Any, annotation: str, made: _Double, *, given: bool = False) -> bool:
    """Whether the bindings take a value for a type, or, `given`, give it."""
    alternatives = [part.strip() for part in annotation.split("|")]
    if len(alternatives) > 1 and "[" not in annotation:
        return any(_fits(value, part, made, given=given) for part in alternatives)
    outer, _, inner = annotation.partition("[")
    kinds: dict[str, Any] = {
        "None": type(None),
        "bool": bool,
        "str": str,
        "bytes": bytes,
        "slice": slice,
        "tuple": tuple,
        "list": list,
        "dict": dict,
        "memoryview": memoryview,
        "Sequence": Sequence,
        "Iterable": Iterable,
    }
    if outer in kinds:
        if not isinstance(value, kinds[outer]):
            return False
        element = inner.removesuffix("]")
        return outer not in ("Sequence", "list") or all(
            _fits(v, element, made, given=given) for v in value
        )
    if outer == "int":
        return hasattr(value, "__index__") and not isinstance(value, enum.Enum)
    if outer == "float":
        return hasattr(value, "__float__") or hasattr(value, "__index__")
    if outer == "Buffer":
        return _is_buffer(value)
    owner = (
        getattr(made, annotation.partition(".")[0], None)
        if "." not in annotation
        else _nested(made, annotation)
    )
    if not isinstance(owner, type):
        return True
    if annotation == "Dims" and isinstance(value, tuple | list) and not given:
        return True  # converted by the bindings, which their signatures don't say
    # A pointer of C++ may be null, which is None; a test's class stands for the recorded one.
    recorded = owner.__mro__[1] if getattr(owner, "stands_", False) else owner
    return isinstance(value, recorded) or (value is None and not issubclass(recorded, enum.Enum))


def _nested(made: _Double, dotted: str) -> Any:
    found: Any = made
    for part in dotted.split("."):
        found = getattr(found, part)
    return found


def _is_buffer(value: Any) -> bool:
    try:
        memoryview(value)
    except TypeError:
        return getattr(value, "recorded_", "") == "IHostMemory"
    return True
