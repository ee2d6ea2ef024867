"""Bringing weights that stand in files beside a model into the model itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx import external_data_helper

from deploykit.errors import InvalidModel
from deploykit.graph.walking import all_tensors


def _external(model: onnx.ModelProto) -> Iterator[tuple[onnx.TensorProto, dict[str, str]]]:
    for tensor in all_tensors(model):
        if external_data_helper.uses_external_data(tensor):
            yield tensor, {entry.key: entry.value for entry in tensor.external_data}


def _resolve(path: Path, tensor: onnx.TensorProto, location: str) -> Path:
    folder = path.parent.resolve()
    file = (folder / location).resolve()
    # A link may lead out of the folder as well as "..": what counts is where the bytes are.
    if not location or not file.is_relative_to(folder):
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
