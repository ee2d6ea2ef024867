"""What a store holds, what of it is garbage, and the command that takes it out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time

import pytest

import deploykit
from deploykit.cli import invoke
from deploykit.errors import UsageError
from deploykit.store import MANIFEST, Store
from deploykit.workflow.stored import days, garbage, stored_in, take_out

DAY_S = 86_400


@pytest.fixture(scope="module")
def made(light_squeezenet, tmp_path_factory):
    root = tmp_path_factory.mktemp("stored") / "engines"
    deploykit.build(light_squeezenet, store=Store(root))
    return root


@pytest.fixture
def store(made, tmp_path):
    root = tmp_path / "engines"
    shutil.copytree(made, root)
    (root / "trained").mkdir()
    (root / "trained" / "lenet5.safetensors").write_bytes(bytes(10))
    (root / "ceilings.json").write_text("{}")
    return Store(root)


def named(everything):
    return {one.name.partition("-")[0]: one for one in everything if one.kind == "engine"}


def test_everything_is_listed_with_its_kind_and_size(store):
    found = stored_in(store)
    assert sorted(one.kind for one in found) == ["engine", "file", "file", "network"]
    assert [one.size_bytes for one in found] == sorted((o.size_bytes for o in found), reverse=True)
    (engine,) = [one for one in found if one.kind == "engine"]
    assert (engine.precision, engine.backend, engine.stale) == ("fp32", "onnxruntime", "")
    total = sum(f.stat().st_size for f in store.root.rglob("*") if f.is_file())
    assert sum(one.size_bytes for one in found) == total
    assert {"trained/lenet5.safetensors", "ceilings.json"} <= {one.name for one in found}
    assert stored_in(Store(store.root / "gone")) == []


def change(store, kind, **facts):
    (one,) = [one for one in stored_in(store) if one.kind == kind]
    path = one.path / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))


def test_garbage_is_what_nothing_asks_for_again(store):
    assert garbage(stored_in(store)) == []
    change(store, "engine", builder_version="1.0.0")
    (stale,) = garbage(stored_in(store))
    assert stale.stale.startswith("onnxruntime 1.0.0 built it, ")
    change(store, "network", origin="/gone/net.onnx")
    assert {one.kind for one in garbage(stored_in(store))} == {"engine", "network"}
    (network,) = [one for one in stored_in(store) if one.kind == "network"]
    spec = json.loads((network.path / MANIFEST).read_text())["network"]
    change(store, "network", network=spec | {"name": "m:factory"})  # exported to a file that goes
    assert {one.kind for one in garbage(stored_in(store))} == {"engine"}
    change(store, "engine", builder="board")
    assert "no backend board is installed" in {one.stale for one in garbage(stored_in(store))}


def test_a_damaged_entry_is_garbage(store):
    (engine,) = [one for one in stored_in(store) if one.kind == "engine"]
    (engine.path / "engine.onnx").write_bytes(b"cut")
    (one,) = garbage(stored_in(store))
    assert (one.kind, one.name) == ("damaged", engine.name)


def test_an_entry_of_another_version_is_said_to_be_one_and_made_again(store, light_squeezenet):
    change(store, "engine", schema=1, key="0" * 64)
    (one,) = garbage(stored_in(store))
    assert (one.kind, one.precision) == ("older", "")
    assert one.stale == "it is of another version of deploykit, and will be made again"
    again = deploykit.build(light_squeezenet, store=Store(store.root))
    assert again.path.is_relative_to(one.path)
    assert {one.kind for one in stored_in(store)} == {"engine", "file", "network"}
    for schema, kind in ((True, "engine"), (1, ["engine"]), (2, "engine"), ("1", "engine")):
        manifest = json.loads((one.path / MANIFEST).read_text())
        (one.path / MANIFEST).write_text(
            json.dumps({"schema": schema, "kind": kind, "bytes": manifest["bytes"]})
        )
        assert [two.kind for two in stored_in(store) if two.name == one.name] == ["damaged"]
        (one.path / MANIFEST).write_text(json.dumps(manifest))


def test_what_nobody_asked_for_is_garbage_and_a_hit_asks(store, light_squeezenet):
    for one in stored_in(store):
        long_ago = time.time() - 40 * DAY_S
        os.utime(one.path, (long_ago, long_ago))
    assert (
        len(garbage(stored_in(store))) == 2
    )  # what was trained or measured is no copy of anything
    assert garbage(stored_in(store), 50) == []
    deploykit.build(light_squeezenet, store=Store(store.root))
    assert garbage(stored_in(store)) == []


def test_what_another_process_uses_stays(store, light_squeezenet):
    code = (
        "import sys, deploykit\n"
        "store = deploykit.Store(__import__('pathlib').Path(sys.argv[1]))\n"
        "deploykit.build(sys.argv[2], store=store)\n"
        "print('ready', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(store.root), str(light_squeezenet)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as user:
        assert user.stdout.readline() == "ready\n"
        taken = take_out(store, stored_in(store))
        assert {one.kind for one in taken.in_use} == {"engine", "network"}
        assert {one.kind for one in taken.removed} == {"file"}
        user.stdin.close()
    assert {one.kind for one in take_out(store, stored_in(store)).removed} == {"engine", "network"}
    assert list(store.root.glob("*/manifest.json")) == []


@pytest.mark.parametrize(
    ("text", "value"), [("30d", 30), ("12h", 0.5), ("2w", 14), ("3", 3), ("0d", 0)]
)
def test_times_are_read(text, value):
    assert days(text, "--older-than") == value


@pytest.mark.parametrize("text", ["", "d", "-1d", "1y", "9" * 50, "1e9"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(UsageError, match="takes a time such as 30d"):
        days(text, "--older-than")


def test_the_command_lists_sizes_and_removes(store, capsys):
    place = ["--store", str(store.root)]
    assert invoke(["store", "list", *place, "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {one["kind"] for one in listed} == {"engine", "network", "file"}
    assert invoke(["store", "size", *place, "--json"]) == 0
    size = json.loads(capsys.readouterr().out)
    assert size["bytes"] == sum(one["bytes"] for one in listed)
    assert invoke(["store", "remove", "light*", "--dry-run", *place]) == 0
    planned = capsys.readouterr().out
    assert "would remove light_squeezenet" in planned
    assert " removed" not in planned
    assert len(stored_in(store)) == 4
    assert invoke(["store", "gc", "--older-than", "0h", *place]) == 0
    assert "2 removed" in capsys.readouterr().out
    assert invoke(["store", "list", *place]) == 0
    ended = capsys.readouterr()
    assert "2 entries" in ended.err
    assert "trained/lenet5.safetensors" in ended.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["remove"], "remove needs a NAME"),
        (["remove", "nothing*"], "nothing in the store is called 'nothing*'"),
        (["size", "a"], "size takes no names"),
        (["list", "--dry-run"], "--dry-run is of remove and gc"),
        (["size", "--older-than", "3d"], "--older-than is of gc"),
    ],
)
def test_the_command_refuses_what_makes_no_sense(arguments, message, store, capsys):
    assert invoke(["store", *arguments, "--store", str(store.root)]) == 2
    assert message in capsys.readouterr().err
    assert len(stored_in(store)) == 4


def test_a_store_in_the_cache_is_said(tmp_path, monkeypatch, capsys, light_squeezenet):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DEPLOYKIT_STORE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert invoke(["build", str(light_squeezenet)]) == 0
    place = tmp_path / "cache" / "deploykit" / "engines"
    assert f"engine store: {place}; --store DIR" in capsys.readouterr().err
    assert len(stored_in(Store(place))) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    assert invoke(["build", str(light_squeezenet), "-q"]) == 0
    assert "engine store" not in capsys.readouterr().err
    frame = deploykit.stored()
    assert frame["kind"].tolist().count("engine") == 1
    assert frame.attrs["store"] == str(place)


def test_a_store_is_not_said_where_nothing_is_put_into_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DEPLOYKIT_STORE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert invoke(["build", "lenet6"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_what_says_what_the_folder_of_a_checkout_is_for_is_no_entry(store):
    before = [one.name for one in stored_in(store)]
    (store.root / "README.md").write_text("# engines/\n")
    assert [one.name for one in stored_in(store)] == before
