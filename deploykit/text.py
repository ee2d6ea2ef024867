"""Text from elsewhere: names and streams as terminals, JSON and file systems take them, and lists of options."""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import io
import os
import sys

#: Longest name of a folder that file systems take, in bytes.
_MAX_NAME_BYTES = 255
#: Kept of a name that is longer, from its start and its end; a name often says at its end what it is.
_HEAD_BYTES, _TAIL_BYTES = 96, 64

#: What our own texts hold beyond ASCII, for terminals that have ASCII alone.
_PLAIN = {
    "\N{EN DASH}": "-",
    "\N{EM DASH}": "-",
    "\N{MINUS SIGN}": "-",
    "\N{HORIZONTAL ELLIPSIS}": "...",
    "\N{MULTIPLICATION SIGN}": "x",
    "\N{NO-BREAK SPACE}": " ",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{ALMOST EQUAL TO}": "~",
    "\N{LESS-THAN OR EQUAL TO}": "<=",
    "\N{GREATER-THAN OR EQUAL TO}": ">=",
    "\N{PLUS-MINUS SIGN}": "+-",
    "\N{MICRO SIGN}": "u",
    "\N{RIGHTWARDS ARROW}": "->",
}


def printable(text: str) -> str:
    r"""The text with everything that is not printable, such as escape sequences, as Python writes it (\x1b)."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


#: Characters of a text from elsewhere that one place shows: what says more is damaged or means harm.
MOST_SHOWN = 1000
#: Classes that an option or the labels of a file can name: what names more is a slip of the hand, or means harm.
MOST_CLASSES = 1_000_000


def shown(text: str, most: int = MOST_SHOWN) -> str:
    """A text from elsewhere as any place may show it: printable, in one line, its middle left out where needed.

    What an error begins with names the thing, and what it ends with says what to do.
    """
    line = printable(" ".join(text.split()))
    if len(line) <= most:
        return line
    tail = most // 3
    return f"{line[: most - tail - 1]}\N{HORIZONTAL ELLIPSIS}{line[-tail:]}"


def file_name(name: str) -> str:
    r"""The name of a file as text that is UTF-8, whatever bytes it holds and the locale is: b"\xff" is \xff."""
    return printable(os.fsencode(name).decode("utf-8", "backslashreplace"))


def is_name(text: str) -> bool:
    """Whether a name that stands in a file can be taken for one: printable, no path, and not too long."""
    whole = bool(text) and text.isprintable() and "/" not in text and "\\" not in text
    return whole and not text.startswith(".") and len(text.encode()) <= _MAX_NAME_BYTES


def folder_name(label: str, ending: str) -> str:
    """A name for a folder that begins with `label`, cut in its middle where needed, and ends with `ending`."""
    safe = "".join(c if c.isprintable() and c not in '/\\<>|*?"' else "_" for c in label)
    encoded = safe.encode(errors="replace")
    if len(encoded) + len(ending.encode()) > _MAX_NAME_BYTES:
        head = encoded[:_HEAD_BYTES].decode(errors="ignore")
        safe = f"{head}~{encoded[-_TAIL_BYTES:].decode(errors='ignore')}"
    if safe.startswith((".", "-")):
        safe = f"_{safe}"  # neither hidden nor taken for an option
    # UTF-8 on the disk, whatever the locale: one that is narrower could not name it.
    return os.fsdecode(f"{safe}{ending}".encode(errors="replace"))


def split_list(text: str) -> list[str]:
    """The parts of a comma-separated list in their order, without blanks around them, empty parts and doubles."""
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _as_far_as_it_goes(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    bad = error.object[error.start : error.end]
    plain = "".join(_PLAIN.get(c) or c.encode("ascii", "backslashreplace").decode() for c in bad)
    return plain, error.end


#: Name of the error handler for streams whose encoding lacks characters.
ERRORS = "deploykit.plain"
codecs.register_error(ERRORS, _as_far_as_it_goes)


def open_streams() -> None:
    """Make Python's three streams usable: closed ones lead nowhere, and no character ends the program.

    A write to a standard output that is closed fails as the system has it (bad file descriptor) when it is flushed.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            # Where Python found the descriptor closed; opened, so that no other file gets its number.
            flags = os.O_RDONLY if number < 2 else os.O_WRONLY
            opened = os.open(os.devnull, flags)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            stream = open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
        if number > 0 and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=ERRORS)


def write_line(text: str, *, err: bool = False) -> None:
    """Write a line to stdout, or stderr, in its encoding: click's `echo` puts UTF-8 on streams of ASCII alone."""
    stream = sys.stderr if err else sys.stdout
    if err:
        with contextlib.suppress(OSError):  # told at the end, with the right exit code
            sys.stdout.flush()  # read together, a remark stands below what it is about
    stream.write(f"{text}\n")
    stream.flush()


def aside() -> contextlib.AbstractContextManager[object]:
    """Let what the user's own code prints meanwhile go to stderr: standard output is for data."""
    return contextlib.redirect_stdout(sys.stderr)


#: Descriptors of the process' standard streams.
_STDOUT, _STDERR = 1, 2


def reserve_stdout() -> None:
    """Let `sys.stdout` alone reach the process' standard output; descriptor 1 leads to stderr from here on.

    Standard output is for data. TensorRT writes warnings to descriptor 1 from C, past Python's `sys.stdout`; in the
    middle of a JSON document or a CSV they would make it unreadable. So Python's own stream moves to a descriptor
    that no library knows.

    Nothing changes where `sys.stdout` is not descriptor 1: a closed stream, or one that a caller put there.
    """
    stream = sys.stdout
    try:
        if stream is None or stream.fileno() != _STDOUT:
            return
        stream.flush()
        own = fcntl.fcntl(_STDOUT, fcntl.F_DUPFD_CLOEXEC, _STDERR + 1)
    except (OSError, ValueError):  # closed, full, or no stream of a file
        return
    try:
        os.dup2(_STDERR, _STDOUT)
    except OSError:  # stderr is closed: what libraries print goes nowhere
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, _STDOUT)
        os.close(nowhere)
    sys.stdout = sys.__stdout__ = io.TextIOWrapper(  # type: ignore[misc] # a terminal's width is asked of it
        os.fdopen(own, "wb"),
        encoding=stream.encoding,
        errors=stream.errors,
        # On a terminal, also where Python was told not to buffer at all (PYTHONUNBUFFERED), which is by bytes else.
        line_buffering=getattr(stream, "line_buffering", False) or stream.isatty(),
    )
