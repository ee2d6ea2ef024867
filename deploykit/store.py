"""The artifact store: content-addressed folders, each an artifact with its manifest.json.

An entry is named by what it was made from: a key over the bytes of the source, the options, the name and
version of the builder, and the target. Asking for it again is a hit that does no work. Entries appear
whole or not at all: they are made in a temporary folder beside their place and renamed into it.

A manifest is a message of a declared type. One that lacks a field, has one of another type, nests too deep or is
too large marks its entry as damaged, as a cut artifact does: the entry is not found, and made again. What an
artifact holds is held against the digest in its manifest when a process first asks for it: one that was replaced by
something else of the same size is refused.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shlex
import shutil
import stat
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from deploykit import codec
from deploykit.errors import BuildFailed, DeploykitError, UsageError
from deploykit.reading import open_file
from deploykit.row import Note
from deploykit.spec import BuildOptions, InputChoice, ModelSpec, TensorSpec
from deploykit.text import folder_name
from deploykit.writing import clear_drafts, clear_working_folders, output_errors

MANIFEST = "manifest.json"
#: Bumped when the meaning of a manifest changes, so that older entries are made anew.
MANIFEST_SCHEMA = 2
#: A larger one is damaged; that of EfficientNet-B7 in int8, with all its ranges, has some 0.3 MB.
MAX_MANIFEST_BYTES = 16 * 2**20
_TEMPORARY = ".making-"
#: Entries that one process holds at most, each by a file handle; the first of more are let go.
MAX_HELD = 200


#: Files whose bytes were held against a manifest in this process: their state then, and the digest.
_seen: dict[Path, tuple[tuple[int, ...], str]] = {}

#: What the kernel shows as files, where none can be made.
_NO_FILES = ("/proc", "/sys")


def default_root() -> Path:
    """The store that commands use.

    `$DEPLOYKIT_STORE`; else `engines/` where the current folder has one, as a checkout does; else a folder of the
    user's cache.
    """
    named = os.environ.get("DEPLOYKIT_STORE")
    if named:
        return Path(named)
    here = Path("engines")
    return here if here.is_dir() else cache_root()


def cache_root() -> Path:
    """The store in the user's cache, for working folders that have none."""
    try:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:  # a user without a home
        return Path("engines")
    return Path(cache) / "deploykit" / "engines"


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal, read in pieces."""
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_blank(path: Path) -> bool:
    """Whether a file holds zeros alone."""
    with open_file(path) as file:
        return not any(any(piece) for piece in iter(lambda: file.read(2**20), b""))


def key_of(fields: Mapping[str, Any]) -> str:
    """SHA-256 over `fields` as canonical JSON: the same facts give the same key on every machine."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Manifest:
    """What every entry says of itself; subclasses name the facts that one kind of entry has beside.

    A manifest may hold more than its class declares (what the key was taken over, facts of one backend), which
    is kept and readable in `Entry.values`.

    Attributes:
        schema: `MANIFEST_SCHEMA` of the version that wrote it.
        kind: of the entry, `KIND` of the subclass.
        key: SHA-256 over all that shapes the artifact.
        file: name of the artifact within the entry's folder.
        digest: SHA-256 of that file.
        bytes: size of that file, and of those in `beside`.
        created: when, ISO 8601 in UTC.
        beside: SHA-256 of other files that belong to the artifact, by name: weights that stand apart from a graph.
    """

    KIND: ClassVar[str] = ""

    schema: int
    kind: str
    key: str
    file: str
    bytes: int
    created: str
    digest: str
    beside: Mapping[str, str] = field(default_factory=dict, kw_only=True)


@dataclass(frozen=True)
class GraphManifest(Manifest):
    """An ONNX graph: what has to be known of it to build from it without reading it again."""

    KIND: ClassVar[str] = "onnx"

    sha256: str
    precision: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    recipe: Mapping[str, Any]


@dataclass(frozen=True)
class GraphTotals:
    """The totals of `deploykit.spec.Counts` over a graph, without the division by operators."""

    parameters: int
    macs: int
    activation_bytes: int
    weight_bytes: int
    uncounted: Mapping[str, int]
    chosen: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class NetworkManifest(GraphManifest):
    """A graph as it was exported or taken in, in no other precision yet.

    Attributes:
        network: what was asked for.
        counts: of the graph.
        dataset: that the weights were trained on; None where they don't say.
        origin: the user's own file, where it was taken in from one.
        given: what was said of the file's inputs.
        notes: what was taken for what the file leaves open.
    """

    network: ModelSpec
    counts: GraphTotals
    dataset: str | None
    origin: str | None = None
    given: InputChoice = field(default_factory=InputChoice)
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class EngineModel:
    """The network of an engine, as its columns name it."""

    name: str
    alpha: float
    rho: Fraction
    weights: str
    label: str


@dataclass(frozen=True)
class EngineManifest(Manifest):
    """An engine: what it was built from and by, and what was read back of it.

    Attributes:
        onnx_sha256, onnx_bytes: of the graph's file.
        options: that it was built with.
        builder, builder_version, target: the backend.
        precision: of the graph.
        precision_actual: read back, see `deploykit.backends`.
        emulated: whether it computes in another type than `precision`, as that backend is known to do.
        compute_types: nodes of convolutions and products by the type that they compute in.
        build_s: wall time of the build, seconds.
        calibration: in words; None without one.
        model: the network.
        inputs, outputs, recipe: of the graph.
    """

    KIND: ClassVar[str] = "engine"

    onnx_sha256: str
    onnx_bytes: int
    options: BuildOptions
    builder: str
    builder_version: str | None
    target: str
    precision: str
    precision_actual: str
    emulated: bool
    compute_types: Mapping[str, tuple[str, ...]]
    build_s: float
    calibration: str | None
    model: EngineModel
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    recipe: Mapping[str, Any]


M = TypeVar("M", bound=Manifest)
T = TypeVar("T")


@dataclass(frozen=True)
class Entry(Generic[M]):
    """One artifact: its folder, the artifact's file, its key and manifest; `hit` if it was there.

    `values` is all that manifest.json holds, as plain values.
    """

    folder: Path
    path: Path
    key: str
    manifest: M
    values: Mapping[str, Any]
    hit: bool


class Store:
    """A folder of artifacts.

    Args:
        root: the folder; made when the first artifact is.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = root if root is not None else default_root()
        #: Entries that this store gave out, held so that no other process removes them meanwhile.
        self._held: dict[Path, int] = {}
        self._making_was_taken = False
        self._cleared = False
        weakref.finalize(self, _close_all, self._held)

    def __reduce__(self) -> tuple[type[Store], tuple[Path]]:
        return (type(self), (self.root,))  # what is held stays with the process that holds it

    def folder_of(self, label: str, key: str) -> Path:
        """Where the artifact of `key` lies or will lie; `label` only makes the name readable."""
        return self.root / folder_name(label, f"-{key[:12]}")

    def entries(self, kind: type[M]) -> list[Entry[M]]:
        """All whole artifacts of a kind, in the order of their names."""
        if not self.root.is_dir():
            return []
        folders = sorted(folder for folder in self.root.iterdir() if folder.is_dir())
        return [e for folder in folders if (e := read_entry(folder, kind)) is not None]

    def produce(
        self,
        kind: type[M],
        label: str,
        fields: Mapping[str, Any],
        filename: str,
        make: Callable[[Path], Mapping[str, Any]],
    ) -> Entry[M]:
        """The artifact that `fields` describe: found whole, or made by `make` and stored.

        Args:
            kind: what its manifest has to hold.
            label: readable start of the folder's name.
            fields: everything that shapes the artifact; the key is taken over them.
            filename: name of the artifact's file within its folder.
            make: writes the file at the path that it is given and returns facts for the manifest.

        Raises:
            BuildFailed: what is stored there was replaced by something else.
            OutputFailed: the disk is full or read-only. Whatever else `make` raises passes through.
            In both cases nothing is left behind.
        """
        self._clear_once()
        key = key_of({"schema": MANIFEST_SCHEMA, "kind": kind.KIND, "file": filename, **fields})
        final = self.folder_of(label, key)
        self._hold(final)
        stored = read_entry(final, kind, key)
        if stored is not None and self._is_sound(stored):
            with contextlib.suppress(
                OSError
            ):  # when it was last asked for; another user's store stays as it is
                os.utime(final)
            return stored
        self._release(final)
        with output_errors("engine store"):
            self.root.mkdir(parents=True, exist_ok=True)
            with self._making() as making:
                facts = make(making / filename)
                # Folders are caches that runtimes fill: they change, and nothing is lost with them.
                files = (path for path in making.iterdir() if path.is_file())
                beside = sorted(path for path in files if path.name != filename)
                sizes = [path.stat().st_size for path in (making / filename, *beside)]
                text = codec.to_json(
                    {
                        "schema": MANIFEST_SCHEMA,
                        "kind": kind.KIND,
                        "key": key,
                        "file": filename,
                        "digest": file_sha256(making / filename),
                        "bytes": sum(sizes),
                        "created": datetime.now(UTC).isoformat(timespec="seconds"),
                        "beside": {path.name: file_sha256(path) for path in beside},
                        **fields,
                        **facts,
                    },
                    pretty=True,
                )
                # A fact of another type is a fault of `make`.
                manifest = codec.from_json(text, kind)
                (making / MANIFEST).write_bytes(text)
                umask = os.umask(0)
                os.umask(umask)
                making.chmod(0o777 & ~umask)
                quicker = self._put(making, final, kind, key)
            self._hold(final)  # now that its maker's lock, which is on the same folder, is free
            if quicker is not None:
                return quicker
        values = codec.from_json(text, dict[str, Any])
        return Entry(final, final / filename, key, manifest, values, hit=False)

    def _is_sound(self, entry: Entry[M]) -> bool:
        """Whether an entry's files hold what its manifest says; False where a file was never written out.

        Each is read once in a process, unless it has changed since.

        Raises:
            BuildFailed: one holds something else.
        """
        digests = {entry.path.name: entry.manifest.digest, **entry.manifest.beside}
        for name, digest in digests.items():
            path = entry.folder / name
            try:
                about = path.stat()
                seen = (
                    *(about.st_dev, about.st_ino, about.st_size),
                    *(about.st_mtime_ns, about.st_ctime_ns),
                )
                if _seen.get(path) == (seen, digest):
                    continue
                if file_sha256(path) != digest:
                    if _is_blank(path):  # the machine stopped before the disk had it
                        return False
                    self._release(entry.folder)
                    raise BuildFailed(
                        f"{name} of {entry.folder.name} in the store {self.root} is not what was put there: its "
                        f"bytes have changed; have it made again by `deploykit store remove "
                        f"{shlex.quote(entry.folder.name)}`"
                    )
            except OSError:  # taken out, or not to be read, a moment ago
                return False
            _seen[path] = (seen, digest)
        return True

    def _put(self, making: Path, final: Path, kind: type[M], key: str) -> Entry[M] | None:
        """Move a finished folder to its place; the entry of another process that was quicker, if one was."""
        try:
            making.rename(final)  # takes the place of nothing or of an empty folder only
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
        else:
            return None
        other = read_entry(final, kind, key)
        if other is None or not self._is_sound(other):  # damaged, or the remains of something else
            if final.is_dir() and not final.is_symlink():
                shutil.rmtree(final)
            else:
                final.unlink()
            making.rename(final)
            return None
        return other

    def remove(self, path: Path) -> bool:
        """Take something out of the store, at once or not at all; False where a process has it in use.

        Args:
            path: of an entry's folder, or of a file or folder beside them.

        Raises:
            OutputFailed: it can't be removed.
        """
        if not path.exists() and not path.is_symlink():
            return True
        self._release(path)
        with output_errors("engine store"), _locked(self.root, wait=True):
            if path.is_dir() and not path.is_symlink():
                with _locked(path) as free:
                    if not free:
                        return False
                    # Under a name that nobody asks for: who comes now makes it anew.
                    gone = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=self.root)) / path.name
                    path.rename(gone)
                    shutil.rmtree(gone.parent, ignore_errors=True)
            else:
                path.unlink()
        return True

    def _hold(self, folder: Path) -> None:
        """Keep others from removing an entry for as long as this store lives."""
        if folder in self._held:
            return
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return
        try:
            # Who has it for itself is removing it, or has just put it there: either is done at once.
            fcntl.flock(handle, fcntl.LOCK_SH)
        except OSError:  # that, or a file system without locks
            os.close(handle)
            return
        if len(self._held) >= MAX_HELD:
            os.close(self._held.pop(next(iter(self._held))))
        self._held[folder] = handle

    def _release(self, folder: Path) -> None:
        handle = self._held.pop(folder, None)
        if handle is not None:
            os.close(handle)

    @contextlib.contextmanager
    def _making(self) -> Iterator[Path]:
        """A temporary folder that is locked for as long as its maker lives, and gone in the end.

        The lock is the kernel's, so that it is free once the maker is dead, whatever its pid was, and in which
        container. Those found free are removed; while one is made, the root is locked against that.
        """
        with contextlib.ExitStack() as locks:
            with _locked(self.root, wait=True):
                self._remove_abandoned()
                making = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=self.root))
                locks.enter_context(_locked(making))
            try:
                yield making
            except BaseException:
                self._making_was_taken |= not making.is_dir()
                raise
            finally:
                shutil.rmtree(making, ignore_errors=True)

    def has_lost(self) -> bool:
        """Whether others took away an entry that this store gave out, or the folder in which one was being made."""
        if self._making_was_taken:
            return True
        for folder, handle in self._held.items():
            try:
                if not os.path.samestat(os.fstat(handle), folder.stat()):
                    return True
            except OSError:
                return True
        return False

    def despite_wipes(self, work: Callable[[], T], again: Callable[[], T] | None = None) -> T:
        """What `work` gives; where it fails as others wiped the store meanwhile, what `again` gives.

        Args:
            work: asks the store for entries, or uses what it gave out.
            again: the same without what was given out before; None is `work` itself.
        """
        try:
            return work()
        except (DeploykitError, OSError):
            if not self.has_lost():
                raise
        self.let_go()
        return (again or work)()

    def let_go(self) -> None:
        """Hold nothing any more of what was given out, and forget what was taken."""
        self._making_was_taken = False
        _close_all(self._held)

    def clear(self) -> None:
        """Remove what makers left that were killed: temporary folders, and drafts of files beside entries."""
        if not self.root.is_dir():
            return
        with _locked(self.root, wait=True):
            self._remove_abandoned()
        for folder in (self.root, *(path for path in self.root.iterdir() if path.is_dir())):
            clear_drafts(folder)
            clear_working_folders(folder)

    def _clear_once(self) -> None:
        """Clear the store when it is first asked for something."""
        if not self._cleared:
            self._cleared = True
            with contextlib.suppress(OSError):  # one that can't be read is told of by what reads it
                self.clear()

    def _remove_abandoned(self) -> None:
        """Remove temporary folders whose maker was killed before it could clean up."""
        for folder in self.root.glob(f"{_TEMPORARY}*"):
            with _locked(folder) as free:
                if free:
                    shutil.rmtree(folder, ignore_errors=True)


def _close_all(held: dict[Path, int]) -> None:
    for handle in held.values():
        with contextlib.suppress(OSError):
            os.close(handle)
    held.clear()


@contextlib.contextmanager
def _locked(folder: Path, *, wait: bool = False) -> Iterator[bool]:
    """Hold the lock of a folder; whether it was to be had (not, where the file system has no locks)."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            held = True
        except OSError:
            held = False
        yield held
    finally:
        os.close(handle)


def read_entry(folder: Path, kind: type[M], key: str | None = None) -> Entry[M] | None:
    """The artifact in `folder`, or None where it is missing, damaged, of another kind or not that of `key`."""
    values = codec.read_stored(folder / MANIFEST, dict[str, Any], MAX_MANIFEST_BYTES)
    if values is None:
        return None
    try:
        manifest = codec.from_values(values, kind)
        path = folder / manifest.file
        files = [path, *(folder / name for name in manifest.beside)]
        whole = all(file.parent == folder for file in files)
        states = [file.lstat() for file in files]
        whole = whole and all(stat.S_ISREG(state.st_mode) for state in states)
        whole = whole and sum(state.st_size for state in states) == manifest.bytes
    except (codec.MalformedMessage, OSError, ValueError):  # ValueError: a name with a zero byte
        return None
    expected = (MANIFEST_SCHEMA, kind.KIND, key or manifest.key)
    if not whole or (manifest.schema, manifest.kind, manifest.key) != expected:
        return None
    return Entry(folder, path, manifest.key, manifest, values, hit=True)


def open_store(folder: str | None) -> Store:
    """The store in `folder`, or the default one.

    Raises:
        UsageError: a file stands where the folder should be.
    """
    root = Path(folder) if folder else default_root()
    if root.exists() and not root.is_dir():
        raise UsageError(f"the store {root} is a file: name a folder with --store")
    if any(root.absolute().is_relative_to(place) for place in _NO_FILES):
        raise UsageError(
            f"the store {root} lies where the kernel keeps no files: name another folder with --store"
        )
    return Store(root)
