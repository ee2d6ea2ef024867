"""Writing a model's own functions out, for whatever works on single operators."""

from __future__ import annotations

import os

from deploykit.errors import InvalidModel
from deploykit.graph.edit import take_graph
from deploykit.graph.nodes import all_nodes
from deploykit.graph.read_write import read_model
from deploykit.graph.shapes import skeleton
from deploykit.lazy import onnx


def read_inlined(path: str | os.PathLike[str]) -> onnx.ModelProto:
    """Read a model as its single operators: with its functions written out, as conversions name their nodes.

    Raises:
        InvalidModel: as `read_model` and `inline_functions` say.
    """
    model = read_model(path)
    inline_functions(model)
    return model


def inline_functions(model: onnx.ModelProto) -> int:
    """Put the nodes of the model's own functions in the place of their calls; the model is changed.

    Returns:
        How many functions the model had.

    Raises:
        InvalidModel: a function is written for another opset than the model and can't be brought to it.
    """
    count = len(model.functions)
    if not count:
        return 0
    from onnx import inliner  # no part of what `import onnx` brings

    own = {(function.domain, function.name) for function in model.functions}
    light = skeleton(model)
    try:
        inlined = inliner.inline_local_functions(light, convert_version=True)
    except Exception as error:  # whatever the converter of opsets raises
        reason = " ".join(str(error).split())[:160]
        raise InvalidModel(
            f"its functions can't be written out ({reason}); export the model again without functions"
        ) from error
    left = next((n for n in all_nodes(inlined) if (n.domain, n.op_type) in own), None)
    if left is not None:
        raise InvalidModel(
            f"its function {left.op_type!r} is written for another opset than the model and can't be "
            "written out; export the model again without functions"
        )
    take_graph(model, inlined)
    del model.functions[:]
    return count
