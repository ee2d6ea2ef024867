"""Writing files whole or not at all, and one line on why one can't be written."""

from __future__ import annotations

import errno
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploykit.errors import OutputFailed


def draft_of(path: Path) -> Path:
    """A hidden file beside `path` to write to first: of another name in every process on every machine.

    It is short, so that the longest name that a file may have still has one.
    """
    return path.with_name(f".{path.name[:32]}.{secrets.token_hex(6)}")


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
        errno.ENAMETOOLONG: "choose a shorter name",
    }.get(error.errno or 0, "check the disk, or choose another folder")
    named = path or error.filename
    place = f" {named}" if named else ""
    reason = (error.strerror or str(error)).lower()
    return OutputFailed(f"can't write {what}{place}: {reason}; {advice}")


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
            with path.open("wb") as stream:
                stream.write(payload)
            return
        path = path.resolve()
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:32]}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(payload)
                file.flush()
                os.fsync(file.fileno())
            # mkstemp makes files private; a report is as readable as any other new file.
            umask = os.umask(0)
            os.umask(umask)
            Path(name).chmod(0o666 & ~umask)
            os.replace(name, path)  # noqa: PTH105 - the atomic call itself
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
