from __future__ import annotations

import errno
import json
import os
import pickle
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploykit import codec
from deploykit.errors import BuildFailed, OutputFailed
from deploykit.store import (
    MANIFEST,
    MAX_MANIFEST_BYTES,
    EngineManifest,
    GraphManifest,
    Manifest,
    NetworkManifest,
    Store,
    default_root,
    file_sha256,
    key_of,
    read_entry,
)
from deploykit.writing import draft_of, output_errors, write_atomic

FIELDS = {"source": "abc", "options": {"batch": 1}}
VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.floats(allow_nan=False))


@dataclass(frozen=True)
class Thing(Manifest):
    """An entry with two facts of its own."""

    KIND: ClassVar[str] = "thing"

    made_by: str
    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class Other(Manifest):
    KIND: ClassVar[str] = "other"


class Maker:
    """Writes a file and counts how often it was asked to."""

    def __init__(self, content: bytes = b"engine") -> None:
        self.content, self.calls = content, 0

    def __call__(self, path: Path) -> dict[str, object]:
        self.calls += 1
        path.write_bytes(self.content)
        return {"made_by": "test"}


def produce(store: Store, make=None, fields=FIELDS):
    return store.produce(Thing, "tiny", fields, "engine.bin", make or Maker())


def rewrite(entry, **changes):
    """Change fields of a manifest; `...` removes one."""
    values = {**entry.values, **changes}
    text = json.dumps({name: value for name, value in values.items() if value is not ...})
    (entry.folder / MANIFEST).write_text(text)


def put(entry, make):
    """Put something else in the manifest's place."""
    (entry.folder / MANIFEST).unlink()
    make(entry.folder / MANIFEST)


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def names(root: Path) -> list[str]:
    return sorted(p.name for p in root.iterdir())


@given(st.dictionaries(st.text(), VALUES), st.randoms())
def test_the_key_does_not_depend_on_the_order_of_fields(fields, random):
    shuffled = list(fields.items())
    random.shuffle(shuffled)
    assert key_of(dict(shuffled)) == key_of(fields)


@given(st.dictionaries(st.text(), VALUES), st.text(), VALUES, VALUES)
def test_any_changed_field_changes_the_key(fields, name, one, other):
    # json writes 1 and 1.0 and True differently, so compare what is written
    same = json.dumps(one) == json.dumps(other)
    assert (key_of({**fields, name: one}) == key_of({**fields, name: other})) == same


def test_the_key_is_the_same_in_every_process_and_version():
    # sha256 of the canonical JSON by another tool; a changed key would orphan every stored engine
    assert key_of(FIELDS) == "26caf615e8c3ec791348f7c371f642489f90e5fabfb18c7148cb054644741783"


def test_a_second_identical_request_is_a_hit_that_does_no_work(tmp_path):
    make, store = Maker(), Store(tmp_path / "engines")
    first = produce(store, make)
    before = {p: p.stat().st_mtime_ns for p in first.folder.iterdir()}
    second = produce(store, make)
    assert make.calls == 1
    assert (first.hit, second.hit) == (False, True)
    assert (second.path, second.key, second.manifest) == (first.path, first.key, first.manifest)
    assert {p: p.stat().st_mtime_ns for p in first.folder.iterdir()} == before


def test_other_fields_kinds_and_file_names_are_other_entries(tmp_path):
    make, store = Maker(), Store(tmp_path)
    keys = {
        store.produce(kind, "tiny", fields, file, make).key
        for kind, fields, file in [
            (Thing, FIELDS, "engine.bin"),
            (Other, FIELDS, "engine.bin"),
            (Thing, FIELDS, "model.onnx"),
            (Thing, {**FIELDS, "source": "abd"}, "engine.bin"),
        ]
    }
    assert len(keys) == make.calls == 4


def test_the_manifest_says_what_the_entry_was_made_from(tmp_path):
    entry = produce(Store(tmp_path))
    written = json.loads((entry.folder / MANIFEST).read_text())
    assert written == entry.values
    assert entry.manifest == codec.from_values(written, Thing)
    assert written["source"] == "abc"
    assert written["made_by"] == "test"
    assert written["kind"] == "thing"
    assert written["bytes"] == entry.path.stat().st_size == 6
    assert entry.folder.name == f"tiny-{entry.key[:12]}"


def test_nothing_is_left_when_the_maker_fails(tmp_path):
    store = Store(tmp_path / "engines")

    def fail(path: Path) -> dict[str, object]:
        path.write_bytes(b"half")
        raise BuildFailed("refused")

    with pytest.raises(BuildFailed, match="refused"):
        produce(store, fail)
    assert names(store.root) == []


def test_nothing_is_left_when_the_maker_is_interrupted(tmp_path):
    store = Store(tmp_path)

    def interrupt(path: Path) -> dict[str, object]:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        produce(store, interrupt)
    assert names(tmp_path) == []


def test_a_maker_whose_facts_are_of_another_type_is_told_at_once(tmp_path):
    def make(path: Path) -> dict[str, object]:
        path.write_bytes(b"engine")
        return {"made_by": 3}

    with pytest.raises(codec.MalformedMessage, match=r"\$\.made_by"):
        produce(Store(tmp_path), make)
    assert names(tmp_path) == []


def test_the_kinds_of_entries_have_names_of_their_own_and_a_network_is_a_graph():
    assert (GraphManifest.KIND, EngineManifest.KIND) == ("onnx", "engine")
    assert issubclass(NetworkManifest, GraphManifest)
    assert NetworkManifest.KIND == GraphManifest.KIND


def test_folders_of_killed_makers_are_removed_and_those_of_living_ones_kept(tmp_path):
    """A lock tells, as a pid says nothing of a maker in another container on the same store."""
    code = (
        "import sys, time; from pathlib import Path; sys.path.insert(0, '.')\n"
        "from deploykit.store import Store\n"
        "with Store(Path(sys.argv[1]))._making() as folder:\n"
        "    (folder / 'engine.bin').write_bytes(b'half'); print(folder, flush=True); time.sleep(600)"
    )
    makers = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=-1, text=True)
        for _ in range(2)
    ]
    dead, alive = (Path(maker.stdout.readline().strip()) for maker in makers)
    old = tmp_path / f".making-{os.getppid()}-abc"  # the pid in it lives, its maker doesn't
    old.mkdir()
    makers[0].kill()
    makers[0].wait()
    try:
        produce(Store(tmp_path))
        assert not dead.exists()
        assert not old.exists()
        assert (alive / "engine.bin").exists()
    finally:
        makers[1].kill()
        for maker in makers:
            maker.communicate()


def test_drafts_have_a_name_of_their_own_that_is_short(tmp_path):
    path = tmp_path / ("n" * 255)
    names = {draft_of(path).name for _ in range(20)}
    assert len(names) == 20
    assert all(len(name) < 60 and name.startswith(".") for name in names)


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: rewrite(entry, made_by=None),
        lambda entry: rewrite(entry, made_by=3),
        lambda entry: rewrite(entry, shape=["1"]),
        lambda entry: rewrite(entry, bytes="6"),
        lambda entry: rewrite(entry, kind="other"),
        lambda entry: rewrite(entry, file="../engine.bin"),
        lambda entry: rewrite(entry, file="engine\0bin"),
        lambda entry: rewrite(entry, created=...),
        lambda entry: rewrite(entry, more=nested(100)),
        lambda entry: (entry.folder / MANIFEST).write_text('{"x": ' * 100_000),
        lambda entry: (entry.folder / MANIFEST).write_text("[" * 100_000),
        lambda entry: rewrite(entry, more="x" * MAX_MANIFEST_BYTES),
        lambda entry: (entry.folder / MANIFEST).write_bytes(b"\xff{}"),
        lambda entry: put(entry, os.mkfifo),
        lambda entry: put(entry, lambda path: path.symlink_to("/dev/zero")),
        lambda entry: put(entry, Path.mkdir),
        lambda entry: entry.path.write_bytes(b"cut"),
        lambda entry: entry.path.unlink(),
        lambda entry: (entry.folder / MANIFEST).unlink(),
        lambda entry: (entry.folder / MANIFEST).write_text('{"schema"'),
        lambda entry: (entry.folder / MANIFEST).write_text("[]"),
        lambda entry: (entry.folder / MANIFEST).write_text(
            json.dumps({**entry.values, "schema": 0})
        ),
        lambda entry: (entry.folder / MANIFEST).write_text(
            json.dumps({**entry.values, "key": "0" * 64})
        ),
    ],
    ids=[
        *(
            "null fact",
            "fact of another type",
            "item of another type",
            "bytes as text",
            "kind",
            "file elsewhere",
        ),
        *(
            "file with a zero byte",
            "field gone",
            "nested",
            "unclosed objects",
            "unclosed lists",
            "too large",
        ),
        *("no text", "pipe", "device", "folder"),
        "truncated",
        "file gone",
        "no manifest",
        "cut manifest",
        "no object",
        "schema",
        "key",
    ],
)
def test_a_damaged_entry_is_made_anew(tmp_path, damage):
    make, store = Maker(), Store(tmp_path)
    damage(produce(store, make))
    again = produce(store, make)
    assert (make.calls, again.hit) == (2, False)
    assert produce(store, make).hit
    assert read_entry(again.folder, Thing, again.key) is not None
    assert names(tmp_path) == [again.folder.name]


def changed(path: Path, content: bytes) -> None:
    """Put other content of the same size in a file's place."""
    assert len(content) == path.stat().st_size
    path.write_bytes(content)


def test_an_artifact_that_was_replaced_by_another_of_its_size_is_refused(tmp_path):
    entry = produce(Store(tmp_path))
    changed(entry.path, b"ENGINE")
    for store in (Store(tmp_path), Store(tmp_path)):
        with pytest.raises(
            BuildFailed, match=r"bytes have changed; .* `deploykit store remove tiny-"
        ) as refused:
            produce(store)
        assert entry.folder.name in str(refused.value)
    assert entry.path.read_bytes() == b"ENGINE"
    assert Store(tmp_path).remove(entry.folder)
    assert not produce(Store(tmp_path)).hit


def test_one_that_is_replaced_while_a_process_uses_it_is_refused_too(tmp_path):
    store = Store(tmp_path)
    entry = produce(store)
    assert produce(store).hit
    before = entry.path.stat()
    changed(entry.path, b"ENGINE")
    os.utime(entry.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(BuildFailed, match="bytes have changed"):
        produce(store)


def test_a_file_beside_the_artifact_is_held_against_its_digest_too(tmp_path):
    def make(path: Path) -> dict[str, object]:
        path.write_bytes(b"graph")
        path.with_name("weights").write_bytes(b"weights")
        return {"made_by": "test"}

    entry = produce(Store(tmp_path), make)
    changed(entry.folder / "weights", b"WEIGHTS")
    with pytest.raises(BuildFailed, match="weights of tiny-"):
        produce(Store(tmp_path), make)


def test_an_artifact_that_the_disk_never_got_is_made_anew(tmp_path):
    entry = produce(Store(tmp_path))
    changed(entry.path, bytes(6))
    again = produce(Store(tmp_path))
    assert not again.hit
    assert again.path.read_bytes() == b"engine"


def test_an_artifact_is_read_once_in_a_process(tmp_path, monkeypatch):
    entry = produce(Store(tmp_path))
    read = []
    monkeypatch.setattr(
        "deploykit.store.file_sha256", lambda path: read.append(path) or entry.manifest.digest
    )
    for _ in range(3):
        assert produce(Store(tmp_path)).hit
    assert read == [entry.path]


def test_a_link_out_of_the_entry_is_no_artifact(tmp_path):
    store = Store(tmp_path / "store")
    entry = produce(store)
    elsewhere = tmp_path / "engine.bin"
    entry.path.rename(elsewhere)
    entry.path.symlink_to(elsewhere)
    assert read_entry(entry.folder, Thing) is None
    assert not produce(store).hit
    assert elsewhere.read_bytes() == b"engine"


def test_a_link_in_the_place_of_an_entry_gives_way_and_what_it_leads_to_stays(tmp_path):
    store = Store(tmp_path / "store")
    folder = produce(store).folder
    elsewhere = tmp_path / "elsewhere"
    folder.rename(elsewhere)
    (elsewhere / MANIFEST).write_text("{}")
    folder.symlink_to(elsewhere)
    assert not produce(Store(store.root)).hit
    assert not folder.is_symlink()
    assert (elsewhere / "engine.bin").is_file()


def test_a_file_in_the_place_of_an_entry_gives_way(tmp_path):
    store = Store(tmp_path)
    entry = produce(store)
    for file in entry.folder.iterdir():
        file.unlink()
    entry.folder.rmdir()
    entry.folder.write_text("in the way")
    assert not produce(store).hit
    assert produce(store).hit


def test_makers_at_the_same_time_end_up_with_one_whole_entry(tmp_path):
    # Both are within `make` at once, so both find the place empty and one comes second.
    barrier, entries = threading.Barrier(2), []

    def make(path: Path) -> dict[str, object]:
        barrier.wait(10)
        path.write_bytes(b"engine")
        return {"made_by": "test"}

    threads = [
        threading.Thread(target=lambda: entries.append(produce(Store(tmp_path), make)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(entries) == 2
    assert entries[0].path == entries[1].path
    assert names(tmp_path) == [entries[0].folder.name]
    assert entries[0].path.read_bytes() == b"engine"


def test_entries_lists_whole_ones_of_a_kind_by_name(tmp_path):
    store = Store(tmp_path / "engines")
    assert store.entries(Thing) == []
    for label, kind in (("b", Thing), ("a", Thing), ("c", Other)):
        store.produce(kind, label, FIELDS, "file.bin", Maker())
    (store.root / "README.md").write_text("not an entry")
    (store.root / "junk").mkdir()
    assert [e.folder.name[0] for e in store.entries(Thing)] == ["a", "b"]
    assert [e.folder.name[0] for e in store.entries(Other)] == ["c"]


def test_the_default_store_is_here_in_the_cache_or_what_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.delenv("DEPLOYKIT_STORE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    assert default_root() == tmp_path / "cache" / "deploykit" / "engines"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_root() == tmp_path / ".cache" / "deploykit" / "engines"
    (tmp_path / "engines").mkdir()  # a checkout has one
    assert default_root() == Path("engines")
    monkeypatch.setenv("DEPLOYKIT_STORE", str(tmp_path))
    assert default_root() == tmp_path


def test_what_one_process_uses_no_other_removes(tmp_path):
    using, other = Store(tmp_path / "engines"), Store(tmp_path / "engines")
    made = produce(using)
    assert other.remove(made.folder) is False
    assert made.path.read_bytes() == b"engine"
    del using  # as at its process' end
    assert other.remove(made.folder) is True
    assert names(other.root) == []
    assert other.remove(made.folder) is True  # it is gone


def test_a_hit_is_held_like_what_was_made(tmp_path):
    produce(Store(tmp_path))
    using = Store(tmp_path)
    assert produce(using).hit
    assert Store(tmp_path).remove(produce(using).folder) is False


def test_a_store_removes_what_it_holds_itself(tmp_path):
    store, make = Store(tmp_path), Maker()
    assert store.remove(produce(store, make).folder)
    assert not produce(store, make).hit
    assert make.calls == 2


def test_a_process_holds_so_many_entries_and_no_more(tmp_path, monkeypatch):
    monkeypatch.setattr("deploykit.store.MAX_HELD", 2)
    store = Store(tmp_path)
    made = [produce(store, fields={"n": n}).folder for n in range(3)]
    assert [Store(tmp_path).remove(folder) for folder in made] == [True, False, False]


def test_a_store_reaches_another_process_without_what_it_holds(tmp_path):
    store = Store(tmp_path)
    produce(store)
    assert pickle.loads(pickle.dumps(store)).root == tmp_path


def test_file_sha256_is_that_of_the_bytes(tmp_path):
    file = tmp_path / "empty"
    file.write_bytes(b"")
    assert file_sha256(file) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_store_that_cannot_be_written_is_one_line():
    # sysfs refuses new folders to every user, root included
    with pytest.raises(OutputFailed, match=r"^can't write engine store .*; .*$") as error:
        produce(Store(Path("/sys/kernel/deploykit")))
    assert error.value.exit_code == 4


LIMITED = """
import resource, sys
from pathlib import Path
from deploykit.errors import OutputFailed
from deploykit.store import Manifest, Store
from deploykit.writing import write_atomic

resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
folder = Path(sys.argv[1])

def make(path):
    path.write_bytes(bytes(30_000))
    return {}

for write in (
    lambda: write_atomic(folder / "report.csv", bytes(30_000), "report"),
    lambda: Store(folder / "engines").produce(Manifest, "big", {}, "engine.bin", make),
):
    try:
        write()
    except OutputFailed as error:
        print(error.exit_code, error)
"""


def test_a_write_that_stops_half_way_leaves_nothing(tmp_path):
    (tmp_path / "report.csv").write_text("old")
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, check=True
    )
    report, store = done.stdout.splitlines()
    assert report.startswith("4 can't write report")
    assert store.startswith("4 can't write engine store")
    assert "ulimit" in report
    assert names(tmp_path) == ["engines", "report.csv"]
    assert names(tmp_path / "engines") == []
    assert (tmp_path / "report.csv").read_text() == "old"


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EROFS, "choose a folder that can be written"),
        (errno.ENOENT, "make the folder first"),
        (errno.EIO, "check the disk"),
    ],
)
def test_every_refusal_of_the_system_comes_with_advice(number, advice):
    with pytest.raises(OutputFailed, match=advice) as error, output_errors("report"):
        raise OSError(number, os.strerror(number), "there")
    assert "there" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_full_device_is_an_error_and_stays_a_device():
    with pytest.raises(OutputFailed, match="free some space"):
        write_atomic(Path("/dev/full"), "text")
    assert Path("/dev/full").is_char_device()


def test_write_atomic_makes_a_file_as_readable_as_any_other(tmp_path):
    write_atomic(tmp_path / "new", "text")
    (tmp_path / "other").write_text("text")
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "other").stat().st_mode
    assert (tmp_path / "new").read_text() == "text"
    assert names(tmp_path) == ["new", "other"]


def test_write_atomic_follows_a_link(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write_atomic(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_write_atomic_says_when_the_folder_is_missing(tmp_path):
    with pytest.raises(OutputFailed, match="make the folder first"):
        write_atomic(tmp_path / "missing" / "file", "text")
