"""Writing files whole or not at all, and one line on why one can't be written."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from deploykit.errors import OutputFailed

#: What the names of drafts end with, and those of working folders begin with: nobody else's have that.
DRAFT = ".unfinished"
WORKING = ".deploykit-working-"
#: How long a pipe that nobody reads is given to get a reader, and how often it is looked at.
_READER_S, _LOOK_S = 2.0, 0.01


def draft_of(path: Path) -> Path:
    """The name of a hidden file beside `path` to write to first: another in every process on every machine.

    It is short, so that the longest name that a file may have still has one.
    """
    return path.with_name(f".{path.name[:32]}.{secrets.token_hex(6)}{DRAFT}")


@contextmanager
def drafted(path: Path) -> Iterator[Path]:
    """An empty hidden file beside `path` to write to, which takes its place if the block succeeds.

    It is locked for as long as its maker lives, and gone if the block fails. Those of makers
    that were killed, which nothing locks any more, are removed from the same folder.

    Raises:
        OSError: the folder is missing, full or read-only; `path` is as it was.
    """
    clear_drafts(path.parent)
    draft, handle = _locked_draft(path)
    try:
        yield draft
        umask = os.umask(0)
        os.umask(umask)
        draft.chmod(0o666 & ~umask)  # as readable as any other new file
        draft.replace(path)  # the atomic call itself
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        os.close(handle)


@contextmanager
def working_folder(parent: Path | None = None) -> Iterator[Path]:
    """A folder to work in, locked for as long as its maker lives and gone in the end.

    Those of makers that were killed are removed from the same place.

    Args:
        parent: where it is made; None is the system's place for temporary files.
    """
    parent = Path(tempfile.gettempdir()) if parent is None else parent
    clear_working_folders(parent)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=WORKING, dir=parent))
        handle = _lock(folder, unless_no_locks=True)
        if handle is not None:
            break
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def clear_drafts(folder: Path) -> None:
    """Remove drafts from a folder whose makers were killed before they could."""
    for path in _hidden(folder, lambda name: name.endswith(DRAFT)):
        handle = _lock(path)
        if handle is not None:
            with suppress(OSError):
                path.unlink()
            os.close(handle)


def clear_working_folders(parent: Path | None = None) -> None:
    """Remove working folders whose makers were killed before they could."""
    parent = Path(tempfile.gettempdir()) if parent is None else parent
    for path in _hidden(parent, lambda name: name.startswith(WORKING)):
        handle = _lock(path)
        if handle is not None:
            shutil.rmtree(path, ignore_errors=True)
            os.close(handle)


def _hidden(folder: Path, is_ours: Callable[[str], bool]) -> list[Path]:
    try:
        names = os.listdir(folder)  # noqa: PTH208 - names alone
    except OSError:
        return []
    return [folder / name for name in names if name.startswith(".") and is_ours(name)]


def _locked_draft(path: Path) -> tuple[Path, int]:
    """A new draft, and the handle that locks it."""
    while True:
        draft = draft_of(path)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        handle = os.open(draft, flags, 0o600)  # whatever the umask is, its maker can write it
        if _is_held(handle, draft, unless_no_locks=True):
            return draft, handle
        os.close(handle)


def _lock(path: Path, *, unless_no_locks: bool = False) -> int | None:
    """A handle that locks a draft or a working folder; None where a living process has it, or has removed it.

    The lock is the kernel's, so that it is free once its holder is dead, whatever its pid was and in which
    container.
    """
    try:
        # A pipe that somebody put there is not waited for.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    if _is_held(handle, path, unless_no_locks=unless_no_locks):
        return handle
    os.close(handle)
    return None


def _is_held(handle: int, path: Path, *, unless_no_locks: bool) -> bool:
    """Lock what a handle is of, if it still lies at `path`; `unless_no_locks` is for file systems without any."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return unless_no_locks
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except OSError:
        return False


@contextmanager
def output_errors(what: str, path: Path | None = None) -> Iterator[None]:
    """Turn the operating system's refusals to write into one line that says what to do.

    `path` is named in it rather than a temporary file beside it.
    """
    try:
        yield
    except OSError as error:
        raise output_failure(what, error, path) from error


def output_failure(what: str, error: OSError, path: Path | None = None) -> OutputFailed:
    """The one line for `error`, met while writing `what` (to `path`)."""
    advice = {
        errno.ENOSPC: "free some space or choose another folder",
        errno.EDQUOT: "free some space or choose another folder",
        errno.EROFS: "choose a folder that can be written",
        errno.EACCES: "choose a folder that can be written",
        errno.EPERM: "choose a folder that can be written",
        errno.ENOENT: "make the folder first",
        errno.ENOTDIR: "a part of the path is a file; choose another",
        errno.EISDIR: "the path is a folder; name a file in it",
        errno.EFBIG: "raise the limit on file sizes (ulimit -f) or choose another folder",
        errno.ENXIO: "start its reader first, or name a file",
        errno.ENAMETOOLONG: "choose a shorter name",
        errno.ELOOP: "it is a link in a circle; remove it, or name another file",
    }.get(error.errno or 0, "check the disk, or choose another folder")
    named = path or error.filename
    place = f" {named}" if named else ""
    reason = (error.strerror or str(error)).lower()
    return OutputFailed(f"can't write {what}{place}: {reason}; {advice}")


def open_stream(path: str | os.PathLike[str], flags: int = os.O_WRONLY) -> int:
    """Open what may be a pipe or a device for writing, and return its handle.

    A pipe that nobody reads is given 2 s to get a reader; opening it without this would wait for ever.

    Raises:
        OSError: it can't be opened, or is a pipe that nobody reads.
    """
    deadline = time.monotonic() + _READER_S
    while True:
        try:
            handle = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
        except OSError as error:
            if error.errno != errno.ENXIO or not Path(path).is_fifo():
                raise
            if time.monotonic() > deadline:
                raise OSError(errno.ENXIO, "it is a pipe that nothing reads", path) from error
            time.sleep(_LOOK_S)
        else:
            os.set_blocking(handle, True)
            return handle


def led_to(path: Path) -> Path:
    """Where a path leads, links followed, though nothing need be there.

    Raises:
        OSError: a circle of links leads nowhere.
    """
    try:
        return path.resolve()
    except RuntimeError:  # as pathlib has it before Python 3.13
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path) from None


def write_atomic(path: Path, data: bytes | str, what: str = "file") -> None:
    """Write `data` to `path` so that readers see the old content or the new one, never a part.

    A link is followed; a device or a pipe (/dev/stdout, /dev/null) is written to, never replaced.

    Raises:
        OutputFailed: the folder is missing, full or read-only; `path` is as it was.
    """
    # A file name may hold bytes that are no text; the report is UTF-8 all the same.
    payload = data.encode(errors="backslashreplace") if isinstance(data, str) else data
    with output_errors(what, path):
        if path.exists() and not path.is_file():
            with open(open_stream(path), "wb") as stream:
                stream.write(payload)
            return
        path = led_to(path)
        with drafted(path) as draft, draft.open("wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
