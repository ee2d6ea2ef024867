"""The artifact store: content-addressed folders, each an artifact with its manifest.json.

An entry is named by what it was made from: a key over the bytes of the source, the options, the name and
version of the builder, and the target. Asking for it again is a hit that does no work. Entries appear
whole or not at all: they are made in a temporary folder beside their place and renamed into it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploykit.errors import OutputFailed

MANIFEST = "manifest.json"
#: Bumped when the meaning of a manifest changes, so that older entries are made anew.
MANIFEST_SCHEMA = 1
_TEMPORARY = ".making-"


def default_root() -> Path:
    """The store that commands use: `$DEPLOYKIT_STORE`, else `engines/` in the current folder."""
    return Path(os.environ.get("DEPLOYKIT_STORE") or "engines")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def key_of(fields: Mapping[str, Any]) -> str:
    """SHA-256 over `fields` as canonical JSON: the same facts give the same key on every machine."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


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
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
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


@dataclass(frozen=True)
class Entry:
    """One artifact: its folder, the artifact's file, its key, its manifest; `hit` if it was there."""

    folder: Path
    path: Path
    key: str
    manifest: Mapping[str, Any]
    hit: bool


class Store:
    """A folder of artifacts.

    Args:
        root: the folder; made when the first artifact is.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = root if root is not None else default_root()

    def folder_of(self, label: str, key: str) -> Path:
        """Where the artifact of `key` lies or will lie; `label` only makes the name readable."""
        return self.root / f"{label}-{key[:12]}"

    def find(self, label: str, key: str) -> Entry | None:
        """The finished artifact of `key`, if the store holds it whole."""
        return read_entry(self.folder_of(label, key), key)

    def entries(self, kind: str | None = None) -> list[Entry]:
        """All whole artifacts, in the order of their names; `kind` filters ("onnx", "engine")."""
        if not self.root.is_dir():
            return []
        found = (read_entry(folder) for folder in sorted(self.root.iterdir()) if folder.is_dir())
        return [e for e in found if e is not None and kind in (None, e.manifest.get("kind"))]

    def produce(
        self,
        kind: str,
        label: str,
        fields: Mapping[str, Any],
        filename: str,
        make: Callable[[Path], Mapping[str, Any]],
    ) -> Entry:
        """The artifact that `fields` describe: found, or made by `make` and stored.

        Args:
            kind: "onnx" or "engine".
            label: readable start of the folder's name.
            fields: everything that shapes the artifact; the key is taken over them.
            filename: name of the artifact's file within its folder.
            make: writes the file at the path that it is given and returns facts for the manifest.

        Raises:
            OutputFailed: the disk is full or read-only. Whatever else `make` raises passes through.
            In both cases nothing is left behind.
        """
        key = key_of({"schema": MANIFEST_SCHEMA, "kind": kind, "file": filename, **fields})
        found = self.find(label, key)
        if found is not None:
            return found
        final = self.folder_of(label, key)
        with output_errors("engine store"):
            self.root.mkdir(parents=True, exist_ok=True)
            self._remove_abandoned()
            making = Path(tempfile.mkdtemp(prefix=f"{_TEMPORARY}{os.getpid()}-", dir=self.root))
            try:
                facts = make(making / filename)
                manifest = {
                    "schema": MANIFEST_SCHEMA,
                    "kind": kind,
                    "key": key,
                    "file": filename,
                    "bytes": (making / filename).stat().st_size,
                    "created": datetime.now(UTC).isoformat(timespec="seconds"),
                    **fields,
                    **facts,
                }
                text = json.dumps(manifest, indent=2, sort_keys=True, default=str) + "\n"
                (making / MANIFEST).write_text(text)
                umask = os.umask(0)
                os.umask(umask)
                making.chmod(0o777 & ~umask)
                quicker = self._put(making, label, key)
                if quicker is not None:
                    return quicker
            finally:
                shutil.rmtree(making, ignore_errors=True)
        return Entry(final, final / filename, key, json.loads(text), hit=False)

    def _put(self, making: Path, label: str, key: str) -> Entry | None:
        """Move a finished folder to its place; the entry of another process that was quicker, if one was."""
        final = self.folder_of(label, key)
        try:
            making.rename(final)  # takes the place of nothing or of an empty folder only
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
        else:
            return None
        other = self.find(label, key)
        if other is None:  # damaged, or the remains of something else
            if final.is_dir():
                shutil.rmtree(final)
            else:
                final.unlink()
            making.rename(final)
        return other

    def _remove_abandoned(self) -> None:
        """Remove temporary folders whose maker was killed before it could clean up."""
        for folder in self.root.glob(f"{_TEMPORARY}*"):
            pid = folder.name.removeprefix(_TEMPORARY).split("-")[0]
            if pid.isdigit() and not Path(f"/proc/{pid}").exists():
                shutil.rmtree(folder, ignore_errors=True)


def read_entry(folder: Path, key: str | None = None) -> Entry | None:
    """The artifact in `folder`, or None where it is missing, damaged or not that of `key`."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        path = folder / str(manifest["file"])
        whole = path.stat().st_size == manifest["bytes"]
        found = str(manifest["key"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not whole or manifest.get("schema") != MANIFEST_SCHEMA or key not in (None, found):
        return None
    return Entry(folder, path, found, manifest, hit=True)
