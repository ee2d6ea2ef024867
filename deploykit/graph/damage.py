"""Damage to a file that protobuf reads over: names that are no text, unknown types, impossible sizes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploykit.errors import InvalidModel
from deploykit.graph.element_types import tensor_bytes
from deploykit.graph.nodes import all_tensors
from deploykit.lazy import onnx

#: Bytes of one input for one image, the limit of the protobuf messages that tensors are exchanged in.
MAX_INPUT_BYTES = 2**31 - 1

#: Fields of free text, on which nothing depends.
_REMARKS = frozenset({"doc_string", "metadata_props", "producer_version"})


def drop_remarks(model: onnx.ModelProto) -> None:
    """Take out of a model that was read the remarks that are not UTF-8: runtimes don't read them."""
    if isinstance(model.doc_string, bytes):
        model.ClearField("doc_string")
    if isinstance(model.graph.doc_string, bytes):
        model.graph.ClearField("doc_string")
    for name in ("producer_name", "producer_version"):
        if isinstance(getattr(model, name), bytes):
            model.ClearField(name)
    kept = [p for p in model.metadata_props if isinstance(p.key, str) and isinstance(p.value, str)]
    if len(kept) < len(model.metadata_props):
        copies = [onnx.StringStringEntryProto(key=p.key, value=p.value) for p in kept]
        del model.metadata_props[:]
        model.metadata_props.extend(copies)


def require_sound(model: onnx.ModelProto, path: Path) -> None:
    """Refuse what can't be in a file that is whole.

    Raises:
        InvalidModel: a name is not UTF-8, an element type is none of ONNX's, or an input is larger than
            `MAX_INPUT_BYTES`.
    """
    for text in _texts(model):
        if isinstance(text, bytes):
            raise InvalidModel(
                f"{path}: the name {text[:40]!r} in it is not UTF-8 text; the file is damaged, copy it again"
            )
    known = set(onnx.TensorProto.DataType.values())
    values = [*model.graph.input, *model.graph.output, *model.graph.value_info]
    typed = [
        (v.name, v.type.tensor_type.elem_type) for v in values if v.type.HasField("tensor_type")
    ]
    for name, element_type in [*typed, *((t.name, t.data_type) for t in all_tensors(model))]:
        if element_type not in known:
            raise InvalidModel(
                f"{path}: {name!r} has the element type {element_type}, which ONNX has not; "
                "the file is damaged, copy it again"
            )
    _require_sizes(model, path)


def _require_sizes(model: onnx.ModelProto, path: Path) -> None:
    for value in model.graph.input:
        tensor = value.type.tensor_type
        dims = [max(1, dim.dim_value) for dim in tensor.shape.dim]
        try:
            size = tensor_bytes(math.prod(dims), tensor.elem_type)
        except (KeyError, TypeError, ValueError):  # strings have no size
            continue
        if size is not None and size > MAX_INPUT_BYTES:
            raise InvalidModel(
                f"{path}: input {value.name!r} of shape {dims} takes {size / 2**30:.3g} GiB, more than a tensor "
                "can have; export the model with the input's true size"
            )


def _texts(message: Any) -> Iterator[str | bytes]:
    """All texts in a message and those within it but free remarks; weights are not looked into."""
    for field, value in message.ListFields():
        if field.name in _REMARKS:
            continue
        if field.type == field.TYPE_STRING:
            yield from [value] if isinstance(value, str | bytes) else value
        elif field.type == field.TYPE_MESSAGE:
            for inner in [value] if hasattr(value, "ListFields") else value:
                if isinstance(inner, onnx.TensorProto):
                    yield inner.name
                else:
                    yield from _texts(inner)
