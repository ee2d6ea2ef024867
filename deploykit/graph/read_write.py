"""Reading and writing ONNX files: each is checked as it is read, and written whole or not at all.

A protobuf message holds 2 GB at most. A model with more in it has its weights in a file beside the graph, and they
stay apart when it is read: a tensor says where in which file its bytes are, with an absolute path, until something
needs its values (`nodes.tensor_values`). Such a model is copied, changed and written without its weights ever being
in memory together.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import mmap
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from deploykit import env
from deploykit.errors import DeploykitError, InvalidModel, OutputFailed, UsageError
from deploykit.graph.check import check, drop_remarks, require_sound
from deploykit.graph.element_types import ElementType, precision_of, tensor_bytes
from deploykit.graph.inputs import spec_of
from deploykit.graph.nodes import all_tensors, outside_place
from deploykit.graph.normalise import declare, inline_functions
from deploykit.graph.origin import stored_recipe, stored_spec
from deploykit.graph.shapes import elements
from deploykit.graph.view import GraphView
from deploykit.lazy import onnx
from deploykit.ort_session import open_session
from deploykit.reading import instead_of_file, open_file
from deploykit.spec import ModelSpec, OnnxModel, stored_inputs
from deploykit.store import file_sha256
from deploykit.writing import drafted, output_errors, working_folder


def _external(model: onnx.ModelProto) -> Iterator[tuple[onnx.TensorProto, dict[str, str]]]:
    for tensor in all_tensors(model):
        if onnx.external_data_helper.uses_external_data(tensor):
            yield tensor, {entry.key: entry.value for entry in tensor.external_data}


def _resolve(path: Path, tensor: onnx.TensorProto, location: str | bytes) -> Path:
    if isinstance(location, bytes):  # as protobuf gives what is not UTF-8
        raise InvalidModel(
            f"{path}: the place of weight {tensor.name!r}, {location[:40]!r}, is not UTF-8 text; the file is "
            "damaged, copy it again"
        )
    try:
        folder = path.parent.resolve()
        file = (folder / location).resolve()
        is_there = file.is_file()
    except (
        OSError,
        RuntimeError,
        ValueError,
    ) as error:  # a circle of links, a name that none can have
        reason = (getattr(error, "strerror", None) or str(error).partition(" from ")[0]).lower()
        raise InvalidModel(
            f"{path}: the place of weight {tensor.name!r}, {location[:80]!r}, leads nowhere ({reason}); save the "
            "model with its weights again"
        ) from None
    # A link may lead out of the folder as well as "..": what counts is where the bytes are.
    inside = file.is_relative_to(folder) or _in_same_cache(folder, folder / location, file)
    if not location or not inside:
        raise InvalidModel(
            f"{path}: weight {tensor.name!r} is stored at {location[:80]!r}, outside the model's "
            "folder, which is refused; put the file beside the model and save it again"
        )
    if not is_there:
        raise InvalidModel(
            f"{path}: its external data file {location[:80]!r} is missing; "
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

    Where the model would then be larger than `max_bytes()`, its initialisers stay apart, small ones excepted.

    Raises:
        InvalidModel: a file is missing, too short, or outside the folder of `path`; a weight's bytes are not those
            of its shape; or there is not the memory to run such a network.
    """
    places = [(tensor, *_place(tensor, about, path)) for tensor, about in _external(model)]
    total_bytes = path.stat().st_size + sum(length for *_, length in places)
    apart = total_bytes > max_bytes()
    _require_memory(path, sum(length for *_, length in places))
    initialisers = list(model.graph.initializer)  # held, so that no other object takes an identity
    free = {id(tensor) for tensor in initialisers} if apart else set()
    for tensor, file, offset, length in places:
        if id(tensor) in free and length >= APART_BYTES:
            _require_length(tensor, length, path)
            _point(tensor, str(file), offset, length)
            continue
        with file.open("rb") as stream:
            stream.seek(offset)
            tensor.raw_data = stream.read(length)
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]


def _place(tensor: onnx.TensorProto, about: Mapping[str, str], path: Path) -> tuple[Path, int, int]:
    """The file that holds a tensor's bytes, where in it they begin and how many they are."""
    file = _resolve(path, tensor, about.get("location", ""))
    size = file.stat().st_size
    try:
        offset = int(about.get("offset", 0))
        length = int(about["length"]) if "length" in about else size - offset
    except ValueError:
        offset, length = -1, -1
    if offset < 0 or length < 0 or offset + length > size:
        if instead := instead_of_file(file):
            raise InvalidModel(f"{path}: external data file {file.name!r} is {instead}")
        raise InvalidModel(
            f"{path}: external data file {file.name!r} is too short for weight "
            f"{tensor.name!r}; copy the file again"
        )
    return file, offset, length


def _require_length(tensor: onnx.TensorProto, length: int, path: Path) -> None:
    try:
        expected = tensor_bytes(elements(tensor), tensor.data_type)
    except (KeyError, TypeError, ValueError):  # an unknown type is named elsewhere
        return
    if expected is not None and expected != length:
        raise InvalidModel(
            f"{path}: weight {tensor.name!r} holds {length} bytes where its shape {list(tensor.dims)} needs "
            f"{expected}; the file is damaged, copy it again"
        )


def _require_memory(path: Path, size_bytes: int, what: str = "its weights take") -> None:
    """Refuse what can't be held here: a network's weights, which a runtime holds once at least, or its file."""
    left = env.memory_left_bytes() if size_bytes > env.LITTLE_BYTES else None
    if left is not None and size_bytes > left:
        raise InvalidModel(
            f"{path}: {what} {size_bytes / 1e9:.3g} GB, more than the {left / 1e9:.3g} GB of memory "
            "left here; free some, or use a machine with more"
        )


def _point(tensor: onnx.TensorProto, location: str, offset: int, length: int) -> None:
    """Let a tensor say where its bytes are."""
    del tensor.external_data[:]
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))
    tensor.data_location = onnx.TensorProto.EXTERNAL


#: A protobuf message can't be larger.
MAX_BYTES = 2**31 - 1
#: Where it is set, models of more bytes than it says have their weights in a second file, as those above 2 GB do.
LIMIT_VARIABLE = "DEPLOYKIT_MAX_ONNX_BYTES"
#: Weights of fewer bytes stand in the graph itself, whatever its size: shapes, scales, small biases.
APART_BYTES = 4096
#: Weights in a file of their own begin at multiples of a page, as that is what is mapped into memory.
_PAGE_BYTES = 4096
_PIECE_BYTES = 2**24


def max_bytes() -> int:
    """The size above which a model's weights stand in a second file: 2 GB, or what the environment says."""
    text = os.environ.get(LIMIT_VARIABLE, "")
    return min(int(text), MAX_BYTES) if text.isdigit() else MAX_BYTES


# ---- reading


def parse(path: Path) -> onnx.ModelProto:
    """The message in a file, unchecked; weights in files beside it stay there.

    Raises:
        InvalidModel: the file can't be read, or holds no model.
    """
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    model, whole = onnx.ModelProto(), False
    try:
        with _mapped(path) as data, contextlib.suppress(DecodeError):
            if bytes(data[:4]).startswith((b"PK\x03\x04", b"\x80\x02")):
                raise InvalidModel(
                    f"{path} is not an ONNX file but looks like a PyTorch checkpoint; "
                    "give an .onnx file, or name the network and give this file as its weights"
                )
            model.ParseFromString(data)
            whole = True  # what fails in the middle leaves all that came before it in the message
    except FileNotFoundError:
        raise InvalidModel(f"no such file: {path}; give the path of an .onnx file") from None
    except IsADirectoryError:
        raise InvalidModel(f"{path} is a folder; give the path of an .onnx file") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        is_denied = error.errno == errno.EACCES
        advice = "check its permissions" if is_denied else "give the path of an .onnx file"
        raise InvalidModel(f"can't read {path}: {reason}; {advice}") from None
    # Protobuf accepts many byte strings as a message with nothing known in it.
    if not (whole and model.ir_version > 0 and model.HasField("graph") and model.opset_import):
        if instead := instead_of_file(path) or _other_format(path):
            raise InvalidModel(f"{path} is not an ONNX file but {instead}")
        raise InvalidModel(f"{path} is not an ONNX file, or is cut short; give an .onnx file")
    return model


#: Where in files of other formats stands what tells them, and what they are.
_FORMATS = (
    (4, b"TFL3", "a TensorFlow Lite model; export the network that it was made of to ONNX"),
    (4, b"ORTM", "in ONNX Runtime's own format; give the .onnx file that it was made of"),
    (0, b"<?xml", "XML, as OpenVINO has it; give the .onnx file that it was made of"),
    (0, b"\x89HDF\r\n", "in HDF5, as Keras has it; export the network to ONNX"),
    (8, b'{"', "in safetensors; name the network and give this file as its weights"),
)


def _other_format(path: Path) -> str:
    """Which other format of networks a file is in, and what to do; blank where nothing tells."""
    with open_file(path) as file:
        head = file.read(64)
    return next((said for at, mark, said in _FORMATS if head[at:].startswith(mark)), "")


@contextlib.contextmanager
def _mapped(path: Path) -> Iterator[memoryview]:
    """The bytes of a file while the block lasts, mapped rather than copied: they would be held a second time.

    Raises:
        InvalidModel: it is empty, or larger than a file of ONNX or the memory that is left.
        OSError: it can't be read.
    """
    with open_file(path) as stream:
        size_bytes = os.fstat(stream.fileno()).st_size
        if not size_bytes:
            raise InvalidModel(f"{path} is empty; copy or export it again")
        if size_bytes > MAX_BYTES:
            raise InvalidModel(
                f"{path} is larger than 2 GB, which an ONNX file can't be; "
                "save its weights as external data beside it"
            )
        _require_memory(path, size_bytes, "what is in it takes")
        with (
            mmap.mmap(stream.fileno(), size_bytes, access=mmap.ACCESS_READ) as mapped,
            memoryview(mapped) as view,
        ):
            yield view


def _parse(path: Path) -> tuple[onnx.ModelProto, bool]:
    """Parse a file; whether something had to be left out."""
    model = parse(path)
    return model, drop_remarks(model)


def load_model(path: str | os.PathLike[str]) -> onnx.ModelProto:
    """Read a file that was checked before; weights as `read_model`.

    Raises:
        InvalidModel: as `read_model`.
    """
    model, _ = _parse(Path(path))
    embed(model, Path(path))
    return model


def read_model(path: str | os.PathLike[str]) -> onnx.ModelProto:
    """Read and check an ONNX file; weights in files beside it are brought in, nothing is left out.

    Where a model is larger than `max_bytes()`, its large weights stay in their files, see the module.

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


def read_source(
    path: str | os.PathLike[str], sound: str | None = None, *, foreign: bool = False
) -> tuple[onnx.ModelProto, str, bool]:
    """Read and check an ONNX file as `read_model`, and tell the file itself apart from what was read.

    Args:
        path: the file.
        sound: SHA-256 of a file that was checked before; the same is not checked again.
        foreign: whether to take operators that nobody here knows, and no runtime here could run.

    Returns:
        The model; the SHA-256 of its bytes, which covers files beside it that hold weights; and whether a copy of
        the file's bytes is the same model: no weights elsewhere, nothing that had to be declared or left out.
    """
    path = Path(path)
    model, cut = _parse(path)
    try:
        files = external_files(model, path)
        embed(
            model, path
        )  # before all of them are read for their digest: they may be far too large
        sha256 = file_sha256(path)
        if files:
            sha256 = _joint_digest(sha256, [file_sha256(file) for file in files])
    except OSError as error:
        place, reason = error.filename or path, (error.strerror or str(error)).lower()
        raise InvalidModel(f"{path}: can't read {place}: {reason}; copy the file again") from None
    if sha256 == sound:
        return model, sha256, not (declare(model) or files or cut)
    require_sound(model, path)
    declared = declare(model)
    check(model, path, foreign=foreign)
    return model, sha256, not (files or declared or cut)


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
        spec=stored_spec(metadata, path) if spec is None else spec,
        precision=precision_of(view),
        inputs=tuple(spec_of(value, choices.get(value.name)) for value in view.inputs),
        outputs=tuple(spec_of(value) for value in model.graph.output),
        recipe=stored_recipe(metadata) if recipe is None else recipe,
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
        if first <= field.number <= last:
            _take_field(part, message, field)
    return bytes(part.SerializeToString(deterministic=True))


def _take_field(part: Any, message: Any, field: Any) -> None:
    """Copy one field of a message into another of its type."""
    value = getattr(message, field.name)
    if hasattr(value, "extend"):
        getattr(part, field.name).extend(value)
    elif message.HasField(field.name):
        if hasattr(value, "CopyFrom"):
            getattr(part, field.name).CopyFrom(value)
        else:
            setattr(part, field.name, value)


def chunks(model: onnx.ModelProto) -> Iterator[bytes]:
    """Serialise a model piece by piece: its fields by number, as protobuf itself would write them.

    One call of `SerializeToString` would hold all weights a second time, and while its buffer grows
    a third.

    Raises:
        UsageError: larger than 2 GB, the limit of a protobuf message, though its large initialisers stand apart.
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
            "the graph without its initialisers is larger than 2 GB, which an ONNX file can't be; export it with "
            "its weights as initialisers"
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
    try:
        with drafted(path) as draft:
            yield draft
    except OSError as error:
        raise OutputFailed(
            f"can't write {path}: {error.strerror or error}; "
            "free space there or choose another place"
        ) from None


def is_apart(model: onnx.ModelProto) -> bool:
    """Whether a model is written with its weights in a file beside it: some stand in files, or are too many."""
    total_bytes = 0
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            return True
        total_bytes += _least_bytes(tensor)
    return total_bytes > max_bytes()


def _least_bytes(tensor: onnx.TensorProto) -> int:
    """Bytes of a tensor by its shape, 0 where its type does not tell; reading raw values would copy them."""
    if tensor.data_type in (ElementType.STRING, ElementType.UNDEFINED):
        return 0
    try:
        return tensor_bytes(elements(tensor), tensor.data_type) or 0
    except (KeyError, TypeError, ValueError):
        return 0


def weights_path(path: Path) -> Path:
    """The file that holds the weights of the model at `path`, where they stand apart."""
    return path.with_name(f"{os.fsdecode(os.fsencode(path.name)[:240])}.data")


def write_model(model: onnx.ModelProto, path: Path, final: Path | None = None) -> str:
    """Write a model straight to `path`, and weights that must stand apart to `weights_path(path)`.

    Args:
        model: that is not changed.
        path: of the file.
        final: what `path` will be called in the end, so that the graph names its weights' file as it will be.

    Returns:
        The SHA-256 of the file, hexadecimal, which covers that of the weights where they stand apart.
    """
    if not is_apart(model):
        return _write_graph(model, path)
    light, weights_digest = _write_weights(model, weights_path(path), weights_path(final or path))
    return _joint_digest(_write_graph(light, path), [weights_digest])


def _write_graph(model: onnx.ModelProto, path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("wb") as stream:
        for chunk in chunks(model):
            stream.write(chunk)
            digest.update(chunk)
    return digest.hexdigest()


def _joint_digest(graph: str, weights: Sequence[str]) -> str:
    return hashlib.sha256("\n".join([graph, *weights]).encode()).hexdigest()


def _write_weights(model: onnx.ModelProto, path: Path, final: Path) -> tuple[onnx.ModelProto, str]:
    """Write the large initialisers to `path`; the model that says so, and the SHA-256 of the file."""
    light = onnx.ModelProto()
    for field in model.DESCRIPTOR.fields:
        if field.name != "graph":
            _take_field(light, model, field)
    for field in model.graph.DESCRIPTOR.fields:
        if field.name != "initializer":
            _take_field(light.graph, model.graph, field)
    digest = hashlib.sha256()
    with path.open("wb") as stream:
        for tensor in model.graph.initializer:
            length = _least_bytes(tensor)
            if length < APART_BYTES:
                light.graph.initializer.append(tensor)
                continue
            gap = bytes(-stream.tell() % _PAGE_BYTES)
            stream.write(gap)
            digest.update(gap)
            known = light.graph.initializer.add(
                name=tensor.name, data_type=tensor.data_type, dims=tensor.dims
            )
            _point(known, final.name, stream.tell(), length)
            for piece in _bytes_of(tensor):
                stream.write(piece)
                digest.update(piece)
    return light, digest.hexdigest()


def _bytes_of(tensor: onnx.TensorProto) -> Iterator[bytes]:
    """The raw bytes of a tensor, from its file piece by piece where it stands apart."""
    place = outside_place(tensor)
    if place is None:
        if tensor.HasField("raw_data"):
            yield tensor.raw_data
        else:
            raw = onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor), tensor.name)
            yield raw.raw_data
        return
    name, offset, left = place
    with Path(name).open("rb") as stream:
        stream.seek(offset)
        while left:
            piece = stream.read(min(left, _PIECE_BYTES))
            if not piece:
                raise InvalidModel(
                    f"{name} is too short for weight {tensor.name!r}; copy the file again"
                )
            left -= len(piece)
            yield piece


def save_model(model: onnx.ModelProto, path: str | os.PathLike[str]) -> str:
    """Write a model into one file, all or nothing; equal models give equal bytes.

    A model of more than 2 GB has its weights in a second file beside it, see `weights_path`.

    Returns the file's SHA-256, hexadecimal, as `write_model`.

    Raises:
        UsageError: no such folder.
        OutputFailed: writing failed; what was at `path` is untouched.
    """
    with replacing(path) as draft:
        if not is_apart(model):
            return write_model(model, draft)
        path = Path(path)
        with replacing(weights_path(path)) as weights_draft:
            light, weights_digest = _write_weights(model, weights_draft, weights_path(path))
        return _joint_digest(_write_graph(light, draft), [weights_digest])


def copy_files(source: Path, path: Path) -> None:
    """Copy a model's file to `path` and, under their own names beside it, those that hold its weights."""
    head = onnx.load(str(source), load_external_data=False)
    shutil.copyfile(source, path)
    for file in external_files(head, source):
        shutil.copyfile(file, path.with_name(file.name))


def files_bytes(model: onnx.ModelProto, path: Path) -> int:
    """The size of a model's file, whose graph was read from `path`, with those that hold its weights."""
    return sum(file.stat().st_size for file in [path, *external_files(model, path)])


@contextlib.contextmanager
def runtime_source(model: onnx.ModelProto, folder: Path | None = None) -> Iterator[bytes | str]:
    """A model in memory as a runtime takes it: as bytes, or as the path of a file while the block lasts.

    Args:
        model: the graph.
        folder: where a temporary folder is made for a model whose weights stand apart; None is the system's.
    """
    if not is_apart(model):
        yield bytes(model.SerializeToString())
        return
    with working_folder(folder) as temporary:
        path = temporary / "model.onnx"
        with output_errors("temporary file", path):
            write_model(model, path)
        yield str(path)


def open_proto(
    model: onnx.ModelProto, options: Any, refused: Callable[[str], DeploykitError]
) -> Any:
    """A session of ONNX Runtime on a model in memory; see `ort_session.open_session`."""
    with runtime_source(model) as source:
        return open_session(source, options, refused)
