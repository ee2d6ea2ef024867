"""What an artifact depends on beside its inputs: the code that makes it.

Store keys take in a digest of that code, so that a changed architecture or recipe is never answered with
what an older one made. Which files that code is made of is read from their import statements, so that no
list of files has to be kept up when modules move.
"""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.util
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from deploykit.reading import open_file

#: The package whose code is followed; what it imports from others is known by their versions.
PACKAGE = __name__.partition(".")[0]
_ROOT = Path(__file__).parent

#: A module that is named in a string, to be imported when it is needed: "deploykit.x.y", "deploykit.x:f".
_NAMED = re.compile(rf"""["']({PACKAGE}(?:\.\w+)+)(?::\w+)?["']""")

#: A statement that imports, on whatever level it stands.
_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(?P<module>\.*[\w.]*)[ \t]+import[ \t]+(?P<names>\([^)]*\)|[^\n]*)"
    r"|import[ \t]+(?P<modules>[^\n]*))",
    re.MULTILINE,
)
_COMMENT = re.compile(r"#[^\n]*")
#: What is for type checkers alone: the lines below the condition that stand further in, and empty ones.
_FOR_TYPE_CHECKERS = re.compile(
    r"^(?P<indent>[ \t]*)if TYPE_CHECKING:[^\n]*\n(?:(?P=indent)[ \t]+\S[^\n]*\n|[ \t]*\n)+",
    re.MULTILINE,
)


@cache
def code_digest(*names: str) -> str:
    """SHA-256 over the named modules and all that they import of this package, directly or not.

    Imports inside functions count, those for type checkers alone don't.

    Args:
        names: full names of modules, such as "deploykit.graph.export". A package stands for all of its
            modules and its TOML files, as its parts may be found by what those files say.

    Raises:
        ModuleNotFoundError: there is no such module: it was moved or misspelt.
    """
    digest = hashlib.sha256()
    for file in code_files(*names):
        digest.update(file.relative_to(_ROOT).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def code_files(*names: str) -> list[Path]:
    """The files that `code_digest` is taken over, in the order of their paths.

    Raises:
        ModuleNotFoundError: there is no such module.
    """
    files: set[Path] = set()
    waiting: list[Path] = []
    for name in names:
        file = _file_of(name)
        if file is None:
            raise ModuleNotFoundError(f"no code of {name} to digest: it was moved or misspelt")
        if file.name == "__init__.py":
            waiting += file.parent.rglob("*.py")
            files |= set(file.parent.rglob("*.toml"))
        waiting.append(file)
    while waiting:
        file = waiting.pop()
        if file not in files:
            files.add(file)
            waiting += _files_of(_imports(file))
    return sorted(files)


def _file_of(name: str) -> Path | None:
    """The file of a module by its full name; None where this package has no such module."""
    package, *parts = name.split(".")
    if package != PACKAGE or not parts:
        return None
    place = _ROOT.joinpath(*parts)
    for file in (place.with_suffix(".py"), place / "__init__.py"):
        if file.is_file():
            return file
    return None


def _files_of(names: Iterable[str]) -> Iterator[Path]:
    """The files that importing the modules `names` runs: theirs, and those of the packages around them.

    The outermost package is left out: it names the whole API and runs none of it.
    """
    for name in names:
        parts = name.split(".")
        for end in range(2, len(parts) + 1):
            file = _file_of(".".join(parts[:end]))
            if file is not None:
                yield file


@cache
def _imports(file: Path) -> set[str]:
    """Full names of what a file imports; some may be names in a module rather than modules.

    Statements are found by their first words, which takes a tenth of the time that parsing takes: every command
    asks for a hundred files.
    """
    text = file.read_text(encoding="utf-8")
    package = [PACKAGE, *file.parent.relative_to(_ROOT).parts]
    names = set(_NAMED.findall(text))
    for found in _IMPORT.finditer(_FOR_TYPE_CHECKERS.sub("", text)):
        listed = _COMMENT.sub("", found["names"] or found["modules"]).strip("()").split(",")
        words = [name.split()[0] for name in listed if name.strip()]
        if found["modules"]:
            names.update(words)
            continue
        module = found["module"].lstrip(".")
        level = len(found["module"]) - len(module)
        around = package[: len(package) + 1 - level] if level else []
        module = ".".join([*around, *([module] if module else [])])
        names |= {module} | {f"{module}.{name}" for name in words}
    return {name for name in names if name.startswith(f"{PACKAGE}.")}


def others_digest(name: str, here: Path | None = None) -> str | None:
    """SHA-256 over the package that `name`, "module:function", lies in.

    Args:
        name: of the function.
        here: a folder in which the package is looked for first; None is none.

    Returns:
        None where that is this package, whose code `code_digest` follows, and where it is not installed: who makes
        anything by it is told so.
    """
    package = name.partition(":")[0].partition(".")[0]
    if package == PACKAGE:
        return None
    found = None
    if here is not None:
        found = importlib.machinery.PathFinder.find_spec(package, [str(here)])
    if found is None:
        with suppress(ImportError, ValueError):
            found = importlib.util.find_spec(package)
    if found is None:
        return None
    folders = [Path(folder) for folder in found.submodule_search_locations or ()]
    places = [(folder, file) for folder in folders for file in sorted(folder.rglob("*.py"))]
    if not folders and found.has_location and found.origin is not None:
        places = [(Path(found.origin).parent, Path(found.origin))]
    digest = hashlib.sha256()
    for folder, file in places:
        # An editor leaves links to nowhere beside what is being written, and a folder may have such a name.
        with suppress(OSError), open_file(file) as stored:
            digest.update(file.relative_to(folder).as_posix().encode() + b"\0" + stored.read())
    return digest.hexdigest()
