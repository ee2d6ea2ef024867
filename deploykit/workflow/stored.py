"""What lies in a store, what it takes, and taking things out of it while other processes use it."""

from __future__ import annotations

import fnmatch
import os
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploykit import backends, codec, env
from deploykit.errors import DeploykitError, UsageError
from deploykit.store import (
    MANIFEST,
    MANIFEST_SCHEMA,
    MAX_MANIFEST_BYTES,
    EngineManifest,
    GraphManifest,
    NetworkManifest,
    Store,
    read_entry,
)

#: What an entry is.
NETWORK, GRAPH, ENGINE, DAMAGED, OLDER, FOLDER, FILE = (
    "network",
    "graph",
    "engine",
    "damaged",
    "older",
    "folder",
    "file",
)
#: Entries that nobody asked for in so many days are garbage, if nobody says otherwise.
DEFAULT_DAYS = 30.0
_DAY_S = 86_400.0
_KINDS = {NetworkManifest.KIND: NETWORK, GraphManifest.KIND: GRAPH, EngineManifest.KIND: ENGINE}
#: Folders of what users handed over, whose parts go one by one; each has files that other entries were made from.
_PARTED = ("modules", "arrays", "trained")


@dataclass(frozen=True)
class Stored:
    """One thing in a store.

    Attributes:
        name: of its folder or file, as `deploykit store remove` takes it.
        kind: "network", "graph" (of a network in another precision), "engine", "damaged", "older" (of another
            version of deploykit, whose manifests meant something else), or "folder" and "file" of what lies beside
            entries: weights that were trained, modules, ceilings, caches.
        precision, backend: of an engine or graph; "" else.
        size_bytes: of all its files.
        idle_days: since it was last asked for.
        path: where it lies.
        stale: why nothing will ask for it again; "" where something may.
    """

    name: str
    kind: str
    precision: str
    backend: str
    size_bytes: int
    idle_days: float
    path: Path
    stale: str = ""


#: A file in the folder of a store that is none of what it holds.
README = "README.md"


@dataclass(frozen=True)
class Taken:
    """What was taken out of a store, and what was left because a process has it in use."""

    removed: tuple[Stored, ...]
    in_use: tuple[Stored, ...]

    @property
    def freed_bytes(self) -> int:
        """The size of what was removed."""
        return sum(one.size_bytes for one in self.removed)


def stored_in(store: Store) -> list[Stored]:
    """Everything in a store, the largest first.

    Raises:
        OSError: the folder can't be read.
    """
    if not store.root.is_dir():
        return []
    versions: dict[str, str | None] = {}
    found = []
    for path in sorted(store.root.iterdir()):
        if path.name == README:
            continue  # of a checkout, which says what the folder is for
        if path.name in _PARTED and path.is_dir():
            found += [_other(part, f"{path.name}/{part.name}") for part in sorted(path.iterdir())]
        elif path.is_dir() and (path / MANIFEST).exists():
            found.append(_entry(path, versions))
        else:
            found.append(_other(path, path.name))
    return sorted(found, key=lambda one: (-one.size_bytes, one.name))


def matching(everything: Sequence[Stored], patterns: Iterable[str]) -> list[Stored]:
    """Those whose names match: `*` and `?` as in file names.

    Raises:
        UsageError: a pattern matches nothing.
    """
    chosen: dict[str, Stored] = {}
    for pattern in patterns:
        of_it = [one for one in everything if fnmatch.fnmatchcase(one.name, pattern)]
        if not of_it:
            raise UsageError(
                f"nothing in the store is called {pattern!r}: see `deploykit store list`; patterns such as "
                "'lenet5*' will do"
            )
        chosen |= {one.name: one for one in of_it}
    return list(chosen.values())


def garbage(everything: Sequence[Stored], older_than_days: float = DEFAULT_DAYS) -> list[Stored]:
    """What nothing will ask for again, and entries that nobody asked for in so many days.

    What lies beside entries is never garbage: weights that were trained and ceilings that were measured are no
    copies of anything.
    """
    return [
        one
        for one in everything
        if one.kind not in (FOLDER, FILE) and (one.stale or one.idle_days > older_than_days)
    ]


def take_out(store: Store, chosen: Sequence[Stored]) -> Taken:
    """Remove things from a store, each at once or not at all, but for those that a process has in use.

    Raises:
        OutputFailed: one can't be removed.
    """
    removed: list[Stored] = []
    in_use: list[Stored] = []
    for one in chosen:
        (removed if store.remove(one.path) else in_use).append(one)
    return Taken(tuple(removed), tuple(in_use))


def days(text: str, option: str) -> float:
    """What "30d", "12h", "2w" and "30" mean in days.

    Raises:
        UsageError: it is no such time.
    """
    match = re.fullmatch(r"\s*([0-9]{1,6}(?:\.[0-9]{1,6})?)\s*(h|d|w)?\s*", text, re.ASCII)
    if match is None:
        raise UsageError(f"{option} takes a time such as 30d, 12h or 2w, not {text[:40]!r}")
    return float(match[1]) * {"h": 1 / 24, "d": 1.0, "w": 7.0}[match[2] or "d"]


def _entry(folder: Path, versions: dict[str, str | None]) -> Stored:
    values: dict[str, Any] = (
        codec.read_stored(folder / MANIFEST, dict[str, Any], MAX_MANIFEST_BYTES) or {}
    )
    kind = next(
        (kind for cls, kind in _CLASSES if read_entry(folder, cls) is not None),
        DAMAGED,
    )
    if kind == DAMAGED and _is_of_another_version(values):
        kind = OLDER
    stale = _UNUSABLE.get(kind) or _stale(values, kind, versions)
    return Stored(
        folder.name,
        kind,
        str(values.get("precision") or "") if kind not in _UNUSABLE else "",
        str(values.get("builder") or "") if kind == ENGINE else "",
        _size_bytes(folder),
        _idle_days(folder),
        folder,
        stale,
    )


#: Why no command takes an entry of some kinds.
_UNUSABLE = {
    DAMAGED: "it is damaged, and will be made again",
    OLDER: "it is of another version of deploykit, and will be made again",
}


def _is_of_another_version(values: dict[str, Any]) -> bool:
    """Whether a manifest is whole as one of another version was: of a kind that there is, under another schema."""
    schema = values.get("schema")
    is_number = isinstance(schema, int) and not isinstance(schema, bool)
    return is_number and schema != MANIFEST_SCHEMA and values.get("kind") in [*_KINDS]


#: The most particular first: a network is a graph, too.
_CLASSES: tuple[tuple[Any, str], ...] = (
    (NetworkManifest, NETWORK),
    (GraphManifest, GRAPH),
    (EngineManifest, ENGINE),
)


def _stale(values: dict[str, Any], kind: str, versions: dict[str, str | None]) -> str:
    """Why the key of an entry will not be asked for again: another version of what made it is installed now."""
    if kind == ENGINE:
        name = str(values.get("builder"))
        if name not in versions:
            try:
                versions[name] = backends.get(name).version()
            except DeploykitError:
                versions[name] = None
        now, then = versions[name], values.get("builder_version")
        if now is None:
            return f"no backend {name} is installed"
        return "" if now == then else f"{name} {then} built it, {now} is installed"
    for package, then in (values.get("versions") or {}).items():
        now = env.package_version(str(package))
        if now != then:
            return f"{package} {then} made it, {now or 'none'} is installed"
    origin = None if _is_of_factory(values) else values.get("origin")
    if origin and not Path(str(origin)).exists():
        return f"{Path(str(origin)).name}, which it was taken in from, is gone"
    return ""


def _is_of_factory(values: dict[str, Any]) -> bool:
    """Whether a network came from "module:factory", which is exported anew each time, to a file that goes again."""
    network = values.get("network")
    return isinstance(network, dict) and ":" in str(network.get("name"))


def _other(path: Path, name: str) -> Stored:
    kind = FOLDER if path.is_dir() else FILE
    return Stored(name, kind, "", "", _size_bytes(path), _idle_days(path), path)


def _size_bytes(path: Path) -> int:
    if not path.is_dir() or path.is_symlink():
        return path.lstat().st_size
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            try:
                total += (Path(folder) / name).lstat().st_size
            except OSError:  # taken out a moment ago
                continue
    return total


def _idle_days(path: Path) -> float:
    try:
        return max(0.0, time.time() - path.stat().st_mtime) / _DAY_S
    except OSError:
        return 0.0
