"""Raising a model's opset where a recipe needs a newer one."""

from __future__ import annotations

from typing import Any

import onnx
from onnx import helper, version_converter

from deploykit.errors import InvalidModel
from deploykit.graph.editing import opset


def raise_opset(model: onnx.ModelProto, least: int, precision: str) -> dict[str, Any]:
    """Convert the model, in place, to opset `least` if it is older; returns what to say of it.

    Raises:
        InvalidModel: ONNX's converter can't do it.
    """
    found = opset(model)
    if found >= least:
        return {}
    try:
        converted = version_converter.convert_version(model, least)
    except Exception as error:
        reason = " ".join(str(error).split())[:160]
        raise InvalidModel(
            f"opset {found} is too old for {precision} and can't be raised to {least} ({reason}); "
            f"export the model with opset {least} or newer"
        ) from error
    model.CopyFrom(converted)
    imports = list(model.opset_import)
    minimum = helper.find_min_ir_version_for(imports, ignore_unknown=True)
    model.ir_version = max(model.ir_version, minimum)
    return {"opset_raised": f"{found} to {least}"}
