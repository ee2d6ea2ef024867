"""Standard output is for data alone, whatever a native library prints to descriptor 1.

TensorRT writes warnings there from C, past Python's `sys.stdout`; in the middle of a JSON document or a CSV
they would make it unreadable. So Python's own stream moves to a descriptor that no library knows, and
descriptor 1 leads to stderr.
"""

from __future__ import annotations

import fcntl
import io
import os
import sys

_STDOUT, _STDERR = 1, 2


def reserve_stdout() -> None:
    """Let `sys.stdout` alone reach the process' standard output; descriptor 1 leads to stderr from here on.

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
        line_buffering=getattr(stream, "line_buffering", False),
        write_through=getattr(stream, "write_through", False),
    )
