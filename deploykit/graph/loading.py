"""Reading ONNX files: every file is checked before anything else touches it."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import TensorProto, helper

from deploykit.errors import InvalidModel
from deploykit.graph.compute_types import precision_of
from deploykit.graph.external_data import embed, external_files
from deploykit.graph.soundness import check
from deploykit.graph.walking import graph_inputs
from deploykit.graph.writing import MAX_BYTES, save_model
from deploykit.spec import Dim, ModelSpec, OnnxModel, TensorSpec
from deploykit.store import file_sha256

#: Keys of the model's metadata under which deploykit writes where a graph came from.
SPEC_KEY = "deploykit.spec"
RECIPE_KEY = "deploykit.recipe"

__all__ = [
    "RECIPE_KEY",
    "SPEC_KEY",
    "describe",
    "open_model",
    "read_model",
    "save_model",
    "set_origin",
    "tensor_spec",
]


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
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError:
        model = onnx.ModelProto()
    # Protobuf accepts many byte strings as a message with nothing known in it.
    if not (model.ir_version > 0 and model.HasField("graph") and model.opset_import):
        raise InvalidModel(f"{path} is not an ONNX file, or is cut short; give an .onnx file")
    return model


def read_model(path: str | os.PathLike[str]) -> onnx.ModelProto:
    """Read and check an ONNX file; weights in files beside it are brought in, nothing is left out.

    Raises:
        InvalidModel: not an ONNX file, or not one that deploykit can work with (see
            `deploykit.graph.soundness`); one line says what is wrong.
        DriftFailed: a weight is not a number.
    """
    path = Path(path)
    model = _parse(path)
    embed(model, path)
    check(model, path)
    return model


def tensor_spec(value: onnx.ValueInfoProto) -> TensorSpec:
    """Describe an input or output of a graph."""

    def dim_of(dim: Any) -> Dim:
        if dim.HasField("dim_value"):
            return int(dim.dim_value)
        return str(dim.dim_param) or None

    tensor = value.type.tensor_type
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type or TensorProto.FLOAT)
    return TensorSpec(value.name, tuple(dim_of(d) for d in tensor.shape.dim), dtype.name)


def _spec_of(metadata: Mapping[str, str], path: Path) -> ModelSpec:
    """Read the spec that export wrote into the file; a file made elsewhere goes by its name."""
    with contextlib.suppress(KeyError, ValueError, TypeError, ZeroDivisionError):
        stored = json.loads(metadata[SPEC_KEY])
        stored["rho"] = Fraction(stored["rho"])
        spec = ModelSpec(**stored)
        if isinstance(spec.name, str) and isinstance(spec.alpha, int | float):
            return spec
    return ModelSpec(path.stem, weights="file")


def _recipe_of(metadata: Mapping[str, str]) -> dict[str, Any]:
    with contextlib.suppress(KeyError, ValueError):
        stored = json.loads(metadata[RECIPE_KEY])
        if isinstance(stored, dict):
            return stored
    return {}


def set_origin(model: onnx.ModelProto, spec: ModelSpec, recipe: Mapping[str, Any]) -> None:
    """Write into the model what `open_model` shall say of it; other metadata stays.

    `recipe` must be the same wherever the same graph is made: no times, paths or measured errors.
    """
    stored = dataclasses.asdict(spec)
    stored["rho"] = str(spec.rho)
    if os.sep in spec.weights or "/" in spec.weights:
        stored["weights"] = Path(spec.weights).name
    kept = {entry.key: entry.value for entry in model.metadata_props}
    kept[SPEC_KEY] = json.dumps(stored, sort_keys=True)
    kept[RECIPE_KEY] = json.dumps(dict(recipe), sort_keys=True)
    helper.set_model_props(model, dict(sorted(kept.items())))


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
    return OnnxModel(
        path=path,
        sha256=sha256,
        spec=_spec_of(metadata, path) if spec is None else spec,
        precision=precision_of(model),
        inputs=tuple(tensor_spec(value) for value in graph_inputs(model.graph)),
        outputs=tuple(tensor_spec(value) for value in model.graph.output),
        recipe=_recipe_of(metadata) if recipe is None else recipe,
    )


def open_model(path: str | os.PathLike[str], spec: ModelSpec | None = None) -> OnnxModel:
    """Read and check an ONNX file, and say what it is.

    The hash is that of the file's bytes; where weights stand in other files, it covers these too.
    Without `spec`, it is the one that deploykit wrote into the file, or else the file's name.

    Raises:
        InvalidModel: as `read_model`.
    """
    path = Path(path)
    model = _parse(path)
    files = external_files(model, path)
    sha256 = file_sha256(path)
    if files:
        parts = [sha256, *(file_sha256(file) for file in files)]
        sha256 = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    embed(model, path)
    check(model, path)
    return describe(model, path, sha256, spec)
