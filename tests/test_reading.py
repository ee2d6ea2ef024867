"""Files of others: a pipe, a device or a folder in their place is one line, at once."""

from __future__ import annotations

import ast
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import source_tree as source

from deploykit.bench.reference import read_reference
from deploykit.claims.claim import read_claims
from deploykit.data import open_dataset
from deploykit.errors import DeploykitError, UsageError
from deploykit.reading import open_file, read_file, require_file
from deploykit.report.csv import read_cells
from deploykit.training.checkpoint import read_state


@pytest.fixture
def pipe(tmp_path) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


@pytest.mark.parametrize("place", ["pipe", "/dev/zero", "folder", "a\0b"])
def test_what_is_no_file_is_refused_at_once(tmp_path, pipe, place):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match=r"not a file|no such name") as refused:
        open_file(tmp_path / place)
    assert refused.value.filename
    with pytest.raises(OSError, match=r"not a file|no such name"):
        require_file(tmp_path / place)


@pytest.mark.skipif(
    sys.platform != "linux",
    reason="only Linux has /proc/self/mem",
)
def test_a_file_that_fails_while_it_is_read_is_named():
    for read in (lambda file: file.read(), lambda file: file.read(10), lambda file: next(file)):
        with pytest.raises(OSError, match="error") as failed, open_file("/proc/self/mem") as file:
            read(file)
        assert failed.value.filename == "/proc/self/mem"


def test_more_bytes_than_allowed_are_refused(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_file(path, 5) == b"12345"
    with pytest.raises(OSError, match="it has more than"):
        read_file(path, 4)


def test_a_pipe_without_a_writer_is_given_up(pipe, monkeypatch):
    monkeypatch.setattr("deploykit.reading._WRITER_S", 0.05)
    with pytest.raises(OSError, match="nothing writes to"):
        open_file(pipe, pipe=True)


def test_a_pipe_with_a_writer_is_read_to_its_end(pipe):
    content = os.urandom(200_000)  # more than a pipe holds, and than is read first
    writer = threading.Thread(target=pipe.write_bytes, args=(content,))
    writer.start()
    with open_file(pipe, pipe=True) as file:
        assert file.read() == content
    writer.join()


def open_npz(path: Path) -> None:
    open_dataset(f"npz:{path}")


def read_resumed(path: Path) -> None:
    read_state(path, "")


@pytest.mark.parametrize(
    "read",
    [read_cells, read_reference, read_claims, open_npz, read_resumed],
    ids=lambda f: f.__name__,
)
def test_a_pipe_in_the_place_of_a_file_is_one_line(pipe, monkeypatch, read):
    monkeypatch.setattr("deploykit.reading._WRITER_S", 0.05)
    with pytest.raises(DeploykitError, match="pipe"):
        read(pipe)


def test_classes_in_another_encoding_are_told(tmp_path):
    pytest.importorskip("PIL")
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.png").write_bytes(b"")
    (tmp_path / "classes.txt").write_bytes("cat chat d'été".encode("latin-1"))
    with pytest.raises(UsageError, match="is not text in UTF-8"):
        open_dataset(f"imagefolder:{tmp_path}")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"0": ' * 50_000, " " * (9 * 2**20), "[1]"])
def test_a_hostile_list_of_classes_is_refused(tmp_path, text):
    pytest.importorskip("PIL")
    (tmp_path / "cat").mkdir()
    (tmp_path / "classes.json").write_text(text)
    with pytest.raises(UsageError, match="is no class mapping"):
        open_dataset(f"imagefolder:{tmp_path}")


def test_a_pipe_among_images_is_an_image_that_cannot_be_read(tmp_path):
    image = pytest.importorskip("PIL.Image")
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(150):
            shade = np.full((8, 8, 3), number, np.uint8)
            image.fromarray(shade).save(tmp_path / name / f"{number}.png")
    (tmp_path / "dog" / "5.png").unlink()
    os.mkfifo(tmp_path / "dog" / "5.png")
    dataset = open_dataset(f"imagefolder:{tmp_path}")
    unreadable = []
    for part in (dataset.train, dataset.calibration, dataset.test):
        list(part.batches(4, (3, 8, 8)))
        unreadable += part.unreadable
    assert unreadable == ["dog/5.png: it is a pipe, not a file"]


#: Opened or read by other means, and why nothing else can lie there.
OWN = {
    "deploykit.text": "/dev/null and the standard streams",
    "deploykit.reading": "opens for all",
    "deploykit.env": "files of the kernel",
    "deploykit.code_digest": "modules of this package",
    "deploykit.bench.conditions": "files of the kernel",
    "deploykit.bench.channel": "files of the kernel",
    "deploykit.bench.contain": "files of the kernel",
    "deploykit.bench.runtime_profile": "written a moment ago, in a folder of its own",
    "deploykit.backends.onnxruntime_gpu_session": "written a moment ago, in a folder of its own",
    "deploykit.ort_session": "entries of the store, or files that were read before",
    "deploykit.graph.read_write": "entries of the store, or files that were read before",
    "deploykit.workflow.export": "entries of the store, or files that were read before",
    "deploykit.backends.openvino": "entries of the store, or files that were read before",
    "deploykit.backends.tensorrt": "entries of the store, or files that were read before",
    "deploykit.backends.tensorrt_session": "entries of the store, or files that were read before",
    "deploykit.backends.onnxruntime_gpu": "libraries of the runtime",
    "deploykit.zoo.catalogue": "comes with the package",
    "deploykit.claims": "comes with the package",
    "deploykit.report.page.shell": "comes with the package",
    "deploykit.data.by_name": "comes with the package",
    "deploykit.cli": "comes with the package",
}


def test_nothing_else_opens_files_to_read():
    """Every other call that opens a path to read goes through `deploykit.reading`."""
    found = {
        module
        for module, tree in source.modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and reads(node)
    }
    assert found - set(OWN) == set()


def reads(call: ast.Call) -> bool:
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if name in ("read_text", "read_bytes"):
        return True
    modes = [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    return name == "open" and modes in (["rb"], ["r"])
