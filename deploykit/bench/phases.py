"""Which phase a measuring process is in, told without a message: a page of memory that both processes see.

The process that measures writes into it when a phase begins: one store, no system call, and nothing at all while
runs are timed. Whoever shows progress looks at it when it draws; nobody is woken.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass

#: What a measuring process does, one after the other; what is in the page is a place in it.
NAMES = ("", "load", "warm up", "measure", "drift", "accuracy")
#: The phase, when it began (of the clock that all processes share), and the seconds that it is to take.
_FORMAT = struct.Struct("<qdd")
#: The page of this process: those that it starts to measure write into it; none where nobody looks.
_page: Page | None = None


@dataclass(frozen=True)
class Phase:
    """A phase, how many seconds it has lasted, and how many it is to take; 0 where nobody knows."""

    name: str
    passed_s: float
    expected_s: float


class Page:
    """A page of memory for one phase.

    Args:
        path: of the file that holds it; None makes a new one in memory.

    Raises:
        OSError: there is no such file, or no memory for a new one.
    """

    def __init__(self, path: str | None = None) -> None:
        if path is None:
            self._file = os.memfd_create("deploykit-phase", os.MFD_CLOEXEC)
            os.ftruncate(self._file, mmap.PAGESIZE)
        else:
            self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._memory = mmap.mmap(self._file, mmap.PAGESIZE)

    @property
    def path(self) -> str:
        """Under which another process of this user opens it, as long as this one lives."""
        return f"/proc/{os.getpid()}/fd/{self._file}"

    def begin(self, name: str, expected_s: float = 0.0) -> None:
        """A phase begins; an empty name says that nothing is measured."""
        _FORMAT.pack_into(self._memory, 0, NAMES.index(name), time.monotonic(), expected_s)

    def read(self) -> Phase | None:
        """The phase that is going on; None where there is none."""
        place, began_s, expected_s = _FORMAT.unpack_from(self._memory)
        if not 0 < place < len(NAMES):
            return None
        return Phase(NAMES[place], max(0.0, time.monotonic() - began_s), expected_s)

    def close(self) -> None:
        """Let go of it."""
        self._memory.close()
        os.close(self._file)


@contextlib.contextmanager
def watched() -> Iterator[Page | None]:
    """Let processes that measure tell their phase meanwhile; None where there is no memory to share."""
    global _page
    before = _page
    try:
        _page = Page()
    except OSError:
        yield None
        return
    try:
        yield _page
    finally:
        _page.close()
        _page = before


def watched_page() -> str | None:
    """The page that a process which is started now is to tell its phase in; None where nobody looks."""
    return None if _page is None else _page.path


def nothing_is_measured() -> None:
    """Say that the process that told its phase has ended."""
    if _page is not None:
        _page.begin("")


def opened(path: str | None) -> Page | None:
    """The page that a request names, in the process that measures; None where it names none, or it is gone."""
    if path is None:
        return None
    with contextlib.suppress(OSError, ValueError):
        return Page(path)
    return None
