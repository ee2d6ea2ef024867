"""Values that the graph fixes without an input: constants, filled tensors, and their reshaped forms."""

from __future__ import annotations

import math
from collections.abc import Callable

from deploykit.graph.nodes import attribute
from deploykit.lazy import np, onnx

#: Values are computed only up to this many elements: 2 GB of float32.
MATERIALISE_ELEMENTS = 1 << 29

#: Gives the value of a tensor by name, or None where it is not fixed.
Lookup = Callable[[str], "np.ndarray | None"]


def fixed_value(node: onnx.NodeProto, lookup: Lookup) -> np.ndarray | None:
    """The first output of a node of trait `EVALUATED`, or None where it is not fixed or too large."""
    if node.op_type == "Constant":
        return _constant(node)
    source = lookup(node.input[0])
    if source is None:
        return None
    if node.op_type == "ConstantOfShape":
        return _filled(node, source)
    if node.op_type == "Identity":
        return source
    if node.op_type == "Transpose":
        return np.transpose(source, attribute(node, "perm"))
    if node.op_type == "Cast":
        return np.asarray(
            source.astype(onnx.helper.tensor_dtype_to_np_dtype(attribute(node, "to")))
        )
    if node.op_type == "Flatten":
        axis = int(attribute(node, "axis", 1)) % (source.ndim + 1)
        return source.reshape(math.prod(source.shape[:axis]), -1)
    if node.op_type == "Reshape":
        return _reshaped(node, source, lookup)
    axes = attribute(node, "axes")
    if axes is None and len(node.input) > 1 and node.input[1]:
        axes = lookup(node.input[1])
    if node.op_type == "Unsqueeze":
        return None if axes is None else np.expand_dims(source, tuple(int(a) for a in axes))
    return np.squeeze(source, None if axes is None else tuple(int(a) for a in axes))


def _constant(node: onnx.NodeProto) -> np.ndarray | None:
    for entry in node.attribute:
        value = onnx.helper.get_attribute_value(entry)
        if entry.name == "value":
            return np.asarray(onnx.numpy_helper.to_array(value))
        if entry.name in ("value_float", "value_floats"):
            return np.asarray(value, dtype=np.float32)
        if entry.name in ("value_int", "value_ints"):
            return np.asarray(value, dtype=np.int64)
    return None


def _filled(node: onnx.NodeProto, shape: np.ndarray) -> np.ndarray | None:
    dims = [int(n) for n in shape]
    if math.prod(dims) > MATERIALISE_ELEMENTS:
        return None
    value = attribute(node, "value")
    fill = np.zeros(1, np.float32) if value is None else onnx.numpy_helper.to_array(value)
    return np.full(dims, fill.reshape(-1)[0], dtype=fill.dtype)


def _reshaped(node: onnx.NodeProto, source: np.ndarray, lookup: Lookup) -> np.ndarray | None:
    target = lookup(node.input[1])
    if target is None:
        return None
    keeps_zero = not attribute(node, "allowzero", 0)
    dims = [source.shape[i] if n == 0 and keeps_zero else int(n) for i, n in enumerate(target)]
    return source.reshape(dims)
