"""The catalogue: what is stated about each architecture, and finding one by name.

The built-in ones are the tables of `catalogue.toml`; installed packages add theirs by an entry point.
"""

from __future__ import annotations

import fnmatch
import functools
import tomllib
import warnings
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from deploykit.errors import UnknownName, UsageError
from deploykit.lazy import entry_points

ENTRY_POINT_GROUP = "deploykit.models"

#: What most of the catalogue has in common; a [[model]] table states only what differs.
_DEFAULTS: dict[str, Any] = {
    "channels": 3,
    "resolution_px": 224,
    "num_classes": 1000,
    "has_alpha": False,
    "has_rho": True,
    "reference": "",
}


@dataclass(frozen=True)
class Architecture:
    """Stored facts of one architecture; the figures hold at its canonical input and alpha 1.

    Third parties add their own by the entry point group `deploykit.models`, each entry an instance
    of this class; its module should be light, because listing the catalogue imports it.

    Attributes:
        name: what it is asked for by.
        family: networks that share a definition.
        year: of the paper's first publication.
        paper: authors' short title, and arXiv number or venue.
        factory: "module:function"; the function takes `num_classes` as a keyword, `alpha` too where
            `has_alpha`, and returns a `torch.nn.Module`.
        channels, resolution_px: of the canonical input, which is square.
        min_resolution_px: the smallest square input that the network can process.
        num_classes: number of logits of the canonical head.
        has_alpha: whether a width multiplier is defined.
        has_rho: whether inputs other than `resolution_px` are possible.
        parameters, macs: counted, see `deploykit.spec.Counts`.
        summary: what sets it apart, in a sentence.
        aliases: other names under which it is looked up.
        reference: public implementation with the same state_dict keys, such as "torchvision/alexnet";
            empty where there is none.
    """

    name: str
    family: str
    year: int
    paper: str
    factory: str
    channels: int
    resolution_px: int
    min_resolution_px: int
    num_classes: int
    has_alpha: bool
    has_rho: bool
    parameters: int
    macs: int
    summary: str
    aliases: tuple[str, ...] = ()
    reference: str = ""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """The canonical input: channels, height and width."""
        return (self.channels, self.resolution_px, self.resolution_px)


def lookup(name: str) -> Architecture:
    """The architecture called `name`, aliases resolved.

    Raises:
        UnknownName: there is none; the message names the nearest.
    """
    catalogue = _catalogue()
    if name in catalogue:
        return catalogue[name]
    for architecture in catalogue.values():
        if name in architecture.aliases:
            return architecture
    known = [n for a in catalogue.values() for n in (a.name, *a.aliases)]
    hint = "see `deploykit list`; a path to an .onnx file or module:factory will do too"
    raise UnknownName("model", name, known, hint)


def architectures(pattern: str | None = None) -> list[Architecture]:
    """All architectures in the catalogue's order, or those whose name or alias matches the glob `pattern`.

    A pattern without `*`, `?` or `[` matches what contains it, in the name or as the family.
    """
    listed = list(_catalogue().values())
    if not pattern:
        return listed
    if not any(sign in pattern for sign in "*?["):
        pattern = f"*{pattern}*"
    return [
        a
        for a in listed
        if any(fnmatch.fnmatchcase(n, pattern) for n in (a.name, a.family, *a.aliases))
    ]


def is_factory(name: str) -> bool:
    """Whether `name` has the form `module:factory`, a network of the user's own."""
    module, colon, function = name.partition(":")
    return bool(colon) and all(
        part.isidentifier() for part in (*module.split("."), *function.split("."))
    )


def refuse_files(name: str) -> None:
    """Refuse a function that is named by the file it stands in, such as `folder/nets.py:make`.

    Raises:
        UsageError: says what to name, and where.
    """
    file, _, function = name.partition(":")
    path = Path(file)
    by_ending = path.suffix == ".py" and (path.is_file() or not is_factory(name))
    if by_ending or ("/" in file and Path(f"{file}.py").is_file()):
        where = "" if path.parent == Path() else f" in {path.parent}"
        raise UsageError(
            f"{name} names a file, where Python imports modules: give {path.stem}:{function or 'FUNCTION'}{where}"
        )


@functools.cache
def _catalogue() -> dict[str, Architecture]:
    """Name to architecture: the built-in ones first, then those of entry points."""
    text = files(__package__).joinpath("catalogue.toml").read_text(encoding="utf-8")
    catalogue: dict[str, Architecture] = {}
    for table in tomllib.loads(text)["model"]:
        facts = {**_DEFAULTS, **table, "aliases": tuple(table.get("aliases", ()))}
        architecture = Architecture(**facts)
        if architecture.name in catalogue:
            raise ValueError(f"catalogue.toml has {architecture.name} twice")
        catalogue[architecture.name] = architecture
    taken = {n for a in catalogue.values() for n in (a.name, *a.aliases)}
    for architecture in _installed():
        names = {architecture.name, *architecture.aliases}
        if names & taken:
            warnings.warn(
                f"ignored model {architecture.name!r} of an installed package: the name is taken",
                stacklevel=2,
            )
            continue
        catalogue[architecture.name] = architecture
        taken |= names
    return catalogue


def _installed() -> list[Architecture]:
    """Architectures of the entry points; a broken package is warned about, not fatal."""
    added = []
    for entry in entry_points(ENTRY_POINT_GROUP):
        try:
            architecture = entry.load()
        except Exception as error:  # anything may go wrong in other people's modules
            warnings.warn(f"ignored model entry point {entry.name!r}: {error}", stacklevel=2)
            continue
        if isinstance(architecture, Architecture):
            added.append(architecture)
        else:
            warnings.warn(
                f"ignored model entry point {entry.name!r}: not a deploykit.zoo.Architecture",
                stacklevel=2,
            )
    return added
