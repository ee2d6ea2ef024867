"""What a command does, step by step, for --verbose and the file of --log; light, as many commands take these."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO

import click

from deploykit.errors import OutputFailed
from deploykit.text import printable

#: Where a context keeps what was asked.
_VERBOSE, _FILE = "deploykit.verbose", "deploykit.log"
#: And what is to be said before the first step, if there is one.
_AHEAD = "deploykit.ahead"


def _asked(name: str) -> Any:
    context = click.get_current_context(silent=True)
    return None if context is None else context.meta.get(name)


def verbose() -> bool:
    """Whether --verbose was given."""
    return bool(_asked(_VERBOSE))


def stamp() -> str:
    """The time before a line of progress, with --verbose; else nothing."""
    return time.strftime("%H:%M:%S ") if verbose() else ""


def write(text: str) -> None:
    """Add a line to the log, where there is one, with the time."""
    file: TextIO | None = _asked(_FILE)
    if file is None:
        return
    try:
        file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {printable(text)}\n")
        file.flush()
    except OSError as error:
        raise OutputFailed(f"the log can't be written: {error.strerror}; name another") from error


def say_ahead(text: str) -> None:
    """Have a line said before the first step; a command that is refused before its work does not say it."""
    context = click.get_current_context(silent=True)
    if context is not None:
        context.meta.setdefault(_AHEAD, []).append(text)


def said_ahead() -> list[str]:
    """What was to be said before the first step, once."""
    lines: list[str] = _asked(_AHEAD) or []
    found = list(lines)
    lines.clear()
    return found


def _be_verbose(context: click.Context, _: click.Parameter, on: bool) -> None:
    context.meta[_VERBOSE] = on


def _open(context: click.Context, _: click.Parameter, path: str | None) -> None:
    if path is None or context.resilient_parsing:
        return
    from deploykit.writing import open_stream  # what --help needs not

    try:
        file = open(path, "a", encoding="utf-8", errors="backslashreplace", opener=open_stream)  # noqa: SIM115
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise OutputFailed(f"--log {path} can't be written: {reason}; name another file") from error
    context.meta[_FILE] = file
    context.call_on_close(file.close)
    write(f"$ {' '.join(['deploykit', *sys.argv[1:]])}")


verbose_option = click.option(
    "-v",
    "--verbose",
    is_flag=True,
    expose_value=False,
    callback=_be_verbose,
    help="Tell every step with the time, and all that there is to know of each row.",
)
log_option = click.option(
    "--log",
    metavar="FILE",
    expose_value=False,
    callback=_open,
    help="Add every step, with the time, to a file, whatever the terminal shows.",
)
