"""Opening files that others made: a pipe keeps nobody waiting for a writer, and nothing without an end is read.

What lies at a path may be a pipe, a device or a folder as well as a file. `open(path)` waits for ever for the
writer of a pipe, and a device such as /dev/zero never ends. All files that deploykit did not just write itself are
opened here, or looked at here (`require_file`) where a library opens them by their path.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import time
from pathlib import Path
from typing import Any

#: How long a pipe without a writer is given to get one: it is opened by us before its writer can open it.
_WRITER_S = 2.0
_LOOK_S = 0.01


def open_file(path: str | os.PathLike[str], *, pipe: bool = False) -> io.BufferedReader:
    """Open a file for reading bytes.

    Args:
        path: of a regular file.
        pipe: whether a pipe will do that somebody writes to, as a shell's `<(command)` makes.

    Raises:
        OSError: it can't be opened, or is no regular file, with its name and a reason as all of them have.
    """
    path = os.fspath(path)
    try:
        # Without O_NONBLOCK, opening a pipe waits for its writer.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:  # a zero byte, or characters that the locale lacks
        raise OSError(errno.EINVAL, "no such name can be on a disk", path) from error
    try:
        reason = _why_not(os.fstat(handle).st_mode, pipe)
        if not reason and pipe and not stat.S_ISREG(os.fstat(handle).st_mode):
            first = _first_bytes(handle)
            if first:
                return io.BufferedReader(_Pipe(handle, first))
            reason = "it is a pipe that nothing writes to"
        if reason:
            number = errno.EISDIR if stat.S_ISDIR(os.fstat(handle).st_mode) else errno.EINVAL
            raise OSError(number, reason, path)
    except BaseException:
        os.close(handle)
        raise
    return io.BufferedReader(_Named(handle, path))


class _Named(io.FileIO):
    """A file whose errors name it: one that fails while it is read is told apart from all others that are open."""

    def __init__(self, handle: int, path: str | bytes) -> None:
        super().__init__(handle, "rb")
        self._path = path

    def readinto(self, buffer: Any) -> int | None:
        try:
            return super().readinto(buffer)
        except OSError as error:
            raise OSError(error.errno, error.strerror, self._path) from None

    def readall(self) -> bytes:
        try:
            return super().readall()
        except OSError as error:
            raise OSError(error.errno, error.strerror, self._path) from None


def read_file(path: str | os.PathLike[str], max_bytes: int, *, pipe: bool = False) -> bytes:
    """The bytes of a file of at most `max_bytes`.

    Raises:
        OSError: as `open_file`, or it is larger.
    """
    with open_file(path, pipe=pipe) as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise OSError(errno.EFBIG, f"it has more than {max_bytes / 2**20:g} MiB", os.fspath(path))
    return data


def require_file(path: str | os.PathLike[str]) -> None:
    """Refuse what is no regular file, before a library opens it by its path.

    Raises:
        OSError: as `open_file`.
    """
    path = os.fspath(path)
    try:
        reason = _why_not(Path(path).stat().st_mode, pipe=False)
    except ValueError as error:
        raise OSError(errno.EINVAL, "no such name can be on a disk", path) from error
    if reason:
        raise OSError(errno.EINVAL, reason, path)


#: How what may lie in the place of a file begins, what it is, and how the file is to be had.
_INSTEAD = (
    (b"version https://git-lfs.", "a pointer of Git LFS; get the file with `git lfs pull`"),
    (b"<!doctype html", "a web page; download the file itself"),
    (b"<html", "a web page; download the file itself"),
    (b"\x1f\x8b", "packed with gzip; unpack it"),
)


def instead_of_file(path: str | os.PathLike[str]) -> str:
    """What lies at a path instead of a file that can't be read as what it should be, and what to do; else blank."""
    try:
        with open_file(path) as file:
            head = file.read(64).lstrip().lower()
    except OSError:
        return ""
    return next((said for start, said in _INSTEAD if head.startswith(start)), "")


def _why_not(mode: int, pipe: bool) -> str:
    """Why what has such a mode is not read; "" where it is."""
    if stat.S_ISREG(mode) or (pipe and stat.S_ISFIFO(mode)):
        return ""
    kind = next(
        (name for is_kind, name in _KINDS if is_kind(mode)),
        "something else",
    )
    return f"it is {kind}, not a file"


_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def _first_bytes(handle: int) -> bytes:
    """The first bytes that a pipe holds, waited for as long as it has a writer; none where it gets none."""
    deadline = time.monotonic() + _WRITER_S
    first = b""
    while not first and time.monotonic() < deadline:
        try:
            first = os.read(handle, 2**16)
        except BlockingIOError:  # there is a writer, which has written nothing yet
            os.set_blocking(handle, True)
            return os.read(handle, 2**16)
        if not first:
            time.sleep(_LOOK_S)
    os.set_blocking(handle, True)
    return first


class _Pipe(io.RawIOBase):
    """A pipe whose first bytes were read already."""

    def __init__(self, handle: int, first: bytes) -> None:
        self._file, self._first = os.fdopen(handle, "rb", buffering=0), first

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        """Read into a buffer, first what was read already."""
        if not self._first:
            return self._file.readinto(buffer)
        part = self._first[: len(buffer)]
        buffer[: len(part)] = part
        self._first = self._first[len(part) :]
        return len(part)

    def close(self) -> None:
        """Close the pipe."""
        self._file.close()
        super().close()
