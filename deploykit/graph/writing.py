"""Writing ONNX files: whole or not at all, the same bytes for the same model, a weight at a time."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx

from deploykit.errors import OutputFailed, UsageError

#: A protobuf message can't be larger.
MAX_BYTES = 2**31 - 1

_GRAPH = onnx.ModelProto.DESCRIPTOR.fields_by_name["graph"].number
_INITIALIZER = onnx.GraphProto.DESCRIPTOR.fields_by_name["initializer"].number
_RAW_DATA = onnx.TensorProto.DESCRIPTOR.fields_by_name["raw_data"].number


def _varint(number: int) -> bytes:
    """Encode a number as protobuf does: seven bits a byte, the lowest first."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _header(field: int, length: int) -> bytes:
    length_delimited = 2
    return _varint(field << 3 | length_delimited) + _varint(length)


def _fields(message: Any, first: int, last: int) -> bytes:
    """Serialise only the fields of a message with numbers from `first` to `last`."""
    part = type(message)()
    # `ListFields` would read all of them, and reading raw values copies them.
    for field in message.DESCRIPTOR.fields:
        if not first <= field.number <= last:
            continue
        value = getattr(message, field.name)
        if hasattr(value, "extend"):
            getattr(part, field.name).extend(value)
        elif message.HasField(field.name):
            if hasattr(value, "CopyFrom"):
                getattr(part, field.name).CopyFrom(value)
            else:
                setattr(part, field.name, value)
    return bytes(part.SerializeToString(deterministic=True))


def chunks(model: onnx.ModelProto) -> Iterator[bytes]:
    """Serialise a model piece by piece: its fields by number, as protobuf itself would write them.

    One call of `SerializeToString` would hold all weights a second time, and while its buffer grows
    a third.

    Raises:
        UsageError: larger than 2 GB, the limit of an ONNX file.
    """
    graph, largest = model.graph, 2**29
    graph_head = _fields(graph, 1, _INITIALIZER - 1)
    graph_tail = _fields(graph, _INITIALIZER + 1, largest)
    # `ByteSize` would write a weight out to learn how long it is, its buffer growing as it does.
    sizes = [sum(map(len, _tensor(tensor))) for tensor in graph.initializer]
    graph_bytes = len(graph_head) + len(graph_tail)
    graph_bytes += sum(len(_header(_INITIALIZER, size)) + size for size in sizes)
    head = _fields(model, 1, _GRAPH - 1) + _header(_GRAPH, graph_bytes) + graph_head
    tail = graph_tail + _fields(model, _GRAPH + 1, largest)
    if len(head) + graph_bytes + len(tail) > MAX_BYTES:
        raise UsageError(
            "the model is larger than 2 GB, which an ONNX file can't be; choose a smaller network"
        )
    yield head
    for tensor, size in zip(graph.initializer, sizes, strict=True):
        yield _header(_INITIALIZER, size)
        yield from _tensor(tensor)
    yield tail


def _tensor(tensor: onnx.TensorProto) -> Iterator[bytes]:
    """Serialise a tensor around its raw values, which are handed on as they are."""
    if not tensor.HasField("raw_data"):
        yield bytes(tensor.SerializeToString(deterministic=True))
        return
    yield _fields(tensor, 1, _RAW_DATA - 1)
    values = tensor.raw_data
    yield _header(_RAW_DATA, len(values))
    yield values
    del values
    yield _fields(tensor, _RAW_DATA + 1, 2**29)


def require_writable(path: str | os.PathLike[str]) -> None:
    """Check that a file can be made at `path`, before work is spent on what goes into it.

    Raises:
        UsageError: the folder does not exist, or `path` is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise UsageError(f"can't write {path}: it is a folder; give the path of a file")
    if not path.parent.is_dir():
        raise UsageError(f"can't write {path}: no folder {path.parent}; create it first")


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a path to write to, which takes the place of `path` only if the block succeeds.

    Raises:
        UsageError: the folder does not exist, or `path` is a folder.
        OutputFailed: writing failed (disk full, read-only); what was at `path` is untouched.
    """
    path = Path(path)
    require_writable(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield draft
        draft.replace(path)
    except OSError as error:
        raise OutputFailed(
            f"can't write {path}: {error.strerror or error}; "
            "free space there or choose another place"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def write_model(model: onnx.ModelProto, path: Path) -> str:
    """Write a model straight to `path`; returns the file's SHA-256, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("wb") as stream:
        for chunk in chunks(model):
            stream.write(chunk)
            digest.update(chunk)
    return digest.hexdigest()


def save_model(model: onnx.ModelProto, path: str | os.PathLike[str]) -> str:
    """Write a model into one file, weights inside, all or nothing; equal models give equal bytes.

    Returns the file's SHA-256, hexadecimal.

    Raises:
        UsageError: no such folder, or the model is larger than 2 GB.
        OutputFailed: writing failed; what was at `path` is untouched.
    """
    with replacing(path) as draft:
        return write_model(model, draft)
