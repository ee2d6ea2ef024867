"""Raising a model's opset where a recipe needs a newer one."""

from __future__ import annotations

from typing import Any

from deploykit.errors import InvalidModel
from deploykit.graph.nodes import opset
from deploykit.graph.shapes import skeleton
from deploykit.lazy import onnx


def raise_opset(model: onnx.ModelProto, least: int, precision: str) -> dict[str, Any]:
    """Convert the model, in place, to opset `least` if it is older; returns what to say of it.

    Only the graph without its weights goes through ONNX's converter, which copies its model several times.

    Raises:
        InvalidModel: ONNX's converter can't do it.
    """
    found = opset(model)
    if found >= least:
        return {}
    light = skeleton(model)
    try:
        converted = onnx.version_converter.convert_version(light, least)
    except Exception as error:
        reason = " ".join(str(error).split())[:160]
        raise InvalidModel(
            f"opset {found} is too old for {precision} and can't be raised to {least} ({reason}); "
            f"export the model with opset {least} or newer"
        ) from error
    _take_graph(model, converted)
    minimum = onnx.helper.find_min_ir_version_for(list(model.opset_import), ignore_unknown=True)
    model.ir_version = max(model.ir_version, minimum)
    return {"opset_raised": f"{found} to {least}"}


def _take_graph(model: onnx.ModelProto, converted: onnx.ModelProto) -> None:
    """Put the converted nodes, and the constants that came with them, beside the model's own weights."""
    graph = model.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    del graph.node[:]
    graph.node.extend(converted.graph.node)
    for tensor in converted.graph.initializer:
        if tensor.name in stored:
            stored[tensor.name].CopyFrom(tensor)
        else:
            graph.initializer.append(tensor)
    for index in range(len(graph.input) - 1, -1, -1):
        if graph.input[index].name in stored:
            del graph.input[index]
    del graph.value_info[:]
    del model.opset_import[:]
    model.opset_import.extend(converted.opset_import)
