"""What the bindings of NVIDIA's libraries offer, as tests/surfaces records it.

scripts/record_surfaces.py says what a file holds and where it is from.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
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
