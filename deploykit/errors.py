"""Every error that deploykit raises on purpose, and the exit code each one ends a command with.

::

    DeploykitError            1
    ├── CheckFailed           1   a claim refuted unexpectedly, a regression found
    ├── UsageError            2   the request itself can't be right
    │   ├── UnknownName       2   …because of a name; carries the nearest ones
    │   └── InvalidModel      2   …because of the file that was given
    │       └── StoreChanged  2   …because what the store held is gone or can't be read: it is made again
    ├── MissingDependency     3   a package or a device is not here
    ├── BuildFailed           4   the target's builder refused the graph
    │   ├── PrecisionMismatch 4   it built, but not in the precision asked for
    │   └── DriftFailed       4   its weights or outputs are not finite, or too far off
    └── OutputFailed          4   a result could not be written (disk full, read-only); 1 would read as a regression

The message of each is one line: what is wrong, then what to do. `deploykit.cli` turns them into exit codes
in one place; library users catch them as usual.
"""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Iterable

from deploykit.text import printable, shown

EXIT_INTERRUPTED = 130
#: Environment variable that asks for the traceback of an error that nobody foresaw.
TRACEBACK = "DEPLOYKIT_TRACEBACK"


class DeploykitError(Exception):
    """Base of all errors that a user can cause or meet; the message is one line."""

    exit_code = 1

    def __str__(self) -> str:
        # What is quoted in it, such as a file's name, may hold line breaks and escape sequences of its own.
        return shown(super().__str__())


class CheckFailed(DeploykitError):
    """A check that the command was asked to make came out negative."""


class OutputFailed(DeploykitError):
    """A result could not be written; what was there before is untouched."""

    exit_code = 4


class UsageError(DeploykitError):
    """The request can't be carried out as it was put."""

    exit_code = 2


class UnknownName(UsageError):
    """A name that isn't known, with the nearest that are.

    Args:
        kind: what was named, in the singular ("model", "precision").
        name: the name as given.
        known: all names that would have done.
        hint: what to do when none is near, for instance a command that lists them.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        self.kind, self.name, self.known = kind, name, tuple(known)
        near = difflib.get_close_matches(str(name), self.known, n=3, cutoff=0.5)
        if near:
            advice = f"did you mean {' or '.join(near)}?"
        elif hint:
            advice = hint
        else:
            advice = f"known: {', '.join(self.known)}"
        super().__init__(f"unknown {kind} {name!r}: {advice}")


class InvalidModel(UsageError):
    """A file that was given as a model or checkpoint is not usable as one."""


class StoreChanged(InvalidModel):
    """Something that the store held a moment ago is gone or can't be read; whoever can makes it again."""


class MissingDependency(DeploykitError):
    """A package or device that the request needs is not here; the message names what installs it."""

    exit_code = 3


class BuildFailed(DeploykitError):
    """A backend refused to build or load a graph."""

    exit_code = 4


class PrecisionMismatch(BuildFailed):
    """The built engine does not compute in the precision that was asked for."""


class DriftFailed(BuildFailed):
    """Weights or outputs of a graph or engine are not finite, or too far from the reference."""


def refused_by_system(error: OSError) -> tuple[str, int]:
    """What the system refused, of a file where the error names one, in one line, and the exit code for it."""
    reason = (error.strerror or str(error)).lower()
    if error.filename is not None:
        reason = f"{error.filename}: {reason}"
    if error.errno == errno.ENAMETOOLONG:
        return f"{reason}; give a shorter path", UsageError.exit_code
    return f"{reason}; check the disk and its permissions", OutputFailed.exit_code


def unforeseen(error: Exception) -> str:
    """What is said of an error that nobody foresaw, as the end of a sentence."""
    return (
        f"met a fault of deploykit or of a package below it: {type(error).__name__}: {one_line(error, 200)}; "
        f"report it with what {TRACEBACK}=1 prints"
    )


#: How ONNX Runtime begins what it says of each node around the one that failed.
_IN_NODE = re.compile(
    r"Non-zero status code returned while running (\w+) node\. Name:'([^']*)' Status Message: "
)


def one_line(error: object, limit: int = 300) -> str:
    """The message of a native library's error, cut to the one line that a user can act on.

    Line breaks, folders of source locations and doubled spaces are taken out, and the nodes that hold the one which
    failed are named in short, so that the reason is reached; what is left is cut at the last
    word that ends within `limit` characters.
    """
    text = re.sub(r"/\S+/(\S+?\.(?:cc|cpp|h|py):\d+)", r"\1", str(error))
    text = _IN_NODE.sub(r"\1 '\2': ", printable(" ".join(text.split())))
    if len(text) <= limit:
        return text
    cut = text[: limit - 1]
    whole, space, _ = cut.rpartition(" ")
    # At a space, so that no word is halved, unless that would take most of it: paths and symbols have none.
    return (whole if space and len(whole) > limit // 2 else cut).rstrip(" ,;:.(") + "…"
