"""Reading and writing ONNX files: each is checked as it is read, and written whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from deploykit import codec
from deploykit.errors import InvalidModel, OutputFailed, UsageError
from deploykit.graph.check import check, drop_remarks, require_sound, require_survivable
from deploykit.graph.element_types import precision_of
from deploykit.graph.inputs import spec_of
from deploykit.graph.nodes import all_tensors
from deploykit.graph.normalise import declare, inline_functions
from deploykit.graph.view import GraphView
from deploykit.lazy import onnx
from deploykit.spec import ModelSpec, OnnxModel, stored_inputs
from deploykit.store import file_sha256
from deploykit.text import file_name, is_name
from deploykit.writing import draft_of


def _external(model: onnx.ModelProto) -> Iterator[tuple[onnx.TensorProto, dict[str, str]]]:
    for tensor in all_tensors(model):
        if onnx.external_data_helper.uses_external_data(tensor):
            yield tensor, {entry.key: entry.value for entry in tensor.external_data}


def _resolve(path: Path, tensor: onnx.TensorProto, location: str) -> Path:
    folder = path.parent.resolve()
    file = (folder / location).resolve()
    # A link may lead out of the folder as well as "..": what counts is where the bytes are.
    inside = file.is_relative_to(folder) or _in_same_cache(folder, folder / location, file)
    if not location or not inside:
        raise InvalidModel(
            f"{path}: weight {tensor.name!r} is stored at {location!r}, outside the model's "
            "folder, which is refused; put the file beside the model and save it again"
        )
    if not file.is_file():
        raise InvalidModel(
            f"{path}: its external data file {location!r} is missing; "
            f"put it into {path.parent} or save the model with its weights inside"
        )
    return file


def _in_same_cache(folder: Path, entry: Path, file: Path) -> bool:
    """Whether `entry` in `folder` is a link of a hub's cache, where every file of a snapshot is one.

    A repository lies there as `snapshots/REVISION/...`, all of it links to `blobs/HASH` of the same repository.
    """
    if not Path(os.path.normpath(entry)).is_relative_to(folder):
        return False
    for root in folder.parents:
        if folder.is_relative_to(root / "snapshots") and folder != root / "snapshots":
            return file.parent == root / "blobs"
    return False


def external_files(model: onnx.ModelProto, path: Path) -> list[Path]:
    """List the files, sorted, that hold weights of the model whose graph was read from `path`.

    Raises:
        InvalidModel: one is missing, or outside the folder of `path`.
    """
    return sorted({_resolve(path, t, about.get("location", "")) for t, about in _external(model)})


def embed(model: onnx.ModelProto, path: Path) -> None:
    """Read the weights that `model`, read from `path`, keeps in other files, into the model.

    Raises:
        InvalidModel: a file is missing, too short, or outside the folder of `path`.
    """
    for tensor, about in _external(model):
        file = _resolve(path, tensor, about.get("location", ""))
        try:
            offset = int(about.get("offset", 0))
            length = int(about["length"]) if "length" in about else file.stat().st_size - offset
        except ValueError:
            offset, length = -1, -1
        if offset < 0 or length < 0 or offset + length > file.stat().st_size:
            raise InvalidModel(
                f"{path}: external data file {file.name!r} is too short for weight "
                f"{tensor.name!r}; copy the file again"
            )
        with file.open("rb") as stream:
            stream.seek(offset)
            tensor.raw_data = stream.read(length)
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]


#: Keys of the model's metadata under which deploykit writes where a graph came from.
SPEC_KEY = "deploykit.spec"
RECIPE_KEY = "deploykit.recipe"

#: A protobuf message can't be larger.
MAX_BYTES = 2**31 - 1


# ---- reading


def _parse(path: Path) -> onnx.ModelProto:
    if path.is_dir():
        raise InvalidModel(f"{path} is a folder; give the path of an .onnx file")
    try:
        size_bytes = path.stat().st_size
        if size_bytes > MAX_BYTES:
            raise InvalidModel(
                f"{path} is larger than 2 GB, which an ONNX file can't be; "
                "save its weights as external data beside it"
            )
        data = path.read_bytes()
    except FileNotFoundError:
        raise InvalidModel(f"no such file: {path}; give the path of an .onnx file") from None
    except OSError as error:
        raise InvalidModel(f"can't read {path}: {error.strerror}; check its permissions") from None
    if not data:
        raise InvalidModel(f"{path} is empty; copy or export it again")
    if data.startswith((b"PK\x03\x04", b"\x80\x02")):
        raise InvalidModel(
            f"{path} is not an ONNX file but looks like a PyTorch checkpoint; "
            "give an .onnx file, or name the network and give this file as its weights"
        )
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError:
        model = onnx.ModelProto()
    # Protobuf accepts many byte strings as a message with nothing known in it.
    if not (model.ir_version > 0 and model.HasField("graph") and model.opset_import):
        raise InvalidModel(f"{path} is not an ONNX file, or is cut short; give an .onnx file")
    drop_remarks(model)
    return model


def read_model(path: str | os.PathLike[str]) -> onnx.ModelProto:
    """Read and check an ONNX file; weights in files beside it are brought in, nothing is left out.

    Raises:
        InvalidModel: not an ONNX file, or not one that deploykit can work with (see
            `deploykit.graph.check`); one line says what is wrong.
        DriftFailed: a weight is not a number.
    """
    return read_source(path)[0]


def read_inlined(path: str | os.PathLike[str]) -> onnx.ModelProto:
    """Read a model as its single operators: with its functions written out, as conversions name their nodes.

    Raises:
        InvalidModel: as `read_model` and `inline_functions` say.
    """
    model = read_model(path)
    inline_functions(model)
    return model


#: SHA-256 of the files that ONNX's inference is known to survive, in this process.
_survived: set[str] = set()


def read_source(path: str | os.PathLike[str]) -> tuple[onnx.ModelProto, str, bool]:
    """Read and check an ONNX file as `read_model`, and tell the file itself apart from what was read.

    Returns:
        The model; the SHA-256 of its bytes, which covers files beside it that hold weights; and whether a copy of
        the file's bytes is the same model: no weights elsewhere, and nothing that had to be declared.
    """
    path = Path(path)
    model = _parse(path)
    files = external_files(model, path)
    sha256 = file_sha256(path)
    if files:
        parts = [sha256, *(file_sha256(file) for file in files)]
        sha256 = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    embed(model, path)
    if sha256 not in _survived:
        require_sound(model, path)
        require_survivable(model, path)
        _survived.add(sha256)
    declared = declare(model)
    check(model, path)
    return model, sha256, not (files or declared)


def _spec_of(metadata: Mapping[str, str], path: Path) -> ModelSpec:
    """Read the spec that export wrote into the file; a file made elsewhere goes by its name."""
    with contextlib.suppress(KeyError, codec.MalformedMessage):
        spec = codec.from_json(metadata[SPEC_KEY], ModelSpec)
        if _is_sound(spec):
            return spec
    return ModelSpec(file_name(path.stem), weights="file")


def _is_sound(spec: ModelSpec) -> bool:
    """Whether what a file says of itself can be: anyone may have written it."""
    multipliers = 0 < spec.alpha <= 1 and 0 < spec.rho <= 1
    numbers = (spec.num_classes or 1, spec.resolution_px or 1)
    sizes = all(0 < number < 2**31 for number in numbers) and 0 <= spec.seed < 2**63
    return multipliers and sizes and is_name(spec.name) and is_name(spec.weights)


def _recipe_of(metadata: Mapping[str, str]) -> dict[str, Any]:
    with contextlib.suppress(KeyError, codec.MalformedMessage):
        return codec.from_json(metadata[RECIPE_KEY], dict[str, Any])
    return {}


def set_origin(model: onnx.ModelProto, spec: ModelSpec, recipe: Mapping[str, Any]) -> None:
    """Write into the model what `open_model` shall say of it; other metadata stays.

    `recipe` must be the same wherever the same graph is made: no times, paths or measured errors.
    """
    stored = codec.to_values(spec)
    if os.sep in spec.weights or "/" in spec.weights:
        stored["weights"] = Path(spec.weights).name
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    metadata[SPEC_KEY] = json.dumps(stored, sort_keys=True)
    metadata[RECIPE_KEY] = json.dumps(dict(recipe), sort_keys=True)
    onnx.helper.set_model_props(model, dict(sorted(metadata.items())))


def describe(
    model: onnx.ModelProto,
    path: str | os.PathLike[str],
    sha256: str,
    spec: ModelSpec | None = None,
    recipe: Mapping[str, Any] | None = None,
) -> OnnxModel:
    """Say what is known of a model that was just written to `path`, without reading it back."""
    path = Path(path)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    view = GraphView(model)
    choices = stored_inputs(metadata)
    return OnnxModel(
        path=path,
        sha256=sha256,
        spec=_spec_of(metadata, path) if spec is None else spec,
        precision=precision_of(view),
        inputs=tuple(spec_of(value, choices.get(value.name)) for value in view.inputs),
        outputs=tuple(spec_of(value) for value in model.graph.output),
        recipe=_recipe_of(metadata) if recipe is None else recipe,
    )


def open_model(path: str | os.PathLike[str], spec: ModelSpec | None = None) -> OnnxModel:
    """Read and check an ONNX file, and say what it is.

    The hash is that of the file's bytes; where weights stand in other files, it covers these too.
    Without `spec`, it is the one that deploykit wrote into the file, or else the file's name.

    Raises:
        InvalidModel: as `read_model`.
    """
    model, sha256, _ = read_source(path)
    return describe(model, path, sha256, spec)


# ---- writing


def _varint(number: int) -> bytes:
    """Encode a number as protobuf does: seven bits a byte, the lowest first."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _number(message: Any, field: str) -> int:
    """The number of a field in a protobuf message's definition."""
    return int(message.DESCRIPTOR.fields_by_name[field].number)


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
    initializer = _number(onnx.GraphProto, "initializer")
    place = _number(onnx.ModelProto, "graph")
    graph_head = _fields(graph, 1, initializer - 1)
    graph_tail = _fields(graph, initializer + 1, largest)
    # `ByteSize` would write a weight out to learn how long it is, its buffer growing as it does.
    sizes = [sum(map(len, _tensor(tensor))) for tensor in graph.initializer]
    graph_bytes = len(graph_head) + len(graph_tail)
    graph_bytes += sum(len(_header(initializer, size)) + size for size in sizes)
    head = _fields(model, 1, place - 1) + _header(place, graph_bytes) + graph_head
    tail = graph_tail + _fields(model, place + 1, largest)
    if len(head) + graph_bytes + len(tail) > MAX_BYTES:
        raise UsageError(
            "the model is larger than 2 GB, which an ONNX file can't be; choose a smaller network"
        )
    yield head
    for tensor, size in zip(graph.initializer, sizes, strict=True):
        yield _header(initializer, size)
        yield from _tensor(tensor)
    yield tail


def _tensor(tensor: onnx.TensorProto) -> Iterator[bytes]:
    """Serialise a tensor around its raw values, which are handed on as they are."""
    if not tensor.HasField("raw_data"):
        yield bytes(tensor.SerializeToString(deterministic=True))
        return
    raw_data = _number(onnx.TensorProto, "raw_data")
    yield _fields(tensor, 1, raw_data - 1)
    values = tensor.raw_data
    yield _header(raw_data, len(values))
    yield values
    del values
    yield _fields(tensor, raw_data + 1, 2**29)


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
    draft = draft_of(path)
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
