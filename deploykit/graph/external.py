"""Weights that a model keeps in files beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from deploykit.errors import InvalidModel
from deploykit.graph.nodes import all_tensors
from deploykit.lazy import onnx


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
