"""BatchNorm that no product takes in, as in DenseNet, written as a depthwise 1x1 convolution.

ONNX Runtime has no integer BatchNorm: each one would cost a way to float and back. As a convolution it
runs in integers, and the ReLU behind it is part of it.
"""

from __future__ import annotations

import numpy as np
import onnx

from deploykit.graph.calibration_probes import tensor_shapes
from deploykit.graph.editing import GraphEditor
from deploykit.graph.folding import batchnorm_affine
from deploykit.graph.nodes import is_standard
from deploykit.graph.precision.keep import KeepRules


def batchnorm_to_depthwise(model: onnx.ModelProto, keep: KeepRules) -> int:
    """Replace BatchNorm nodes on images (rank 4) by depthwise convolutions; the model is changed.

    The node keeps its name. Returns how many were replaced.
    """
    candidates = [node for node in model.graph.node if node.op_type == "BatchNormalization"]
    if not candidates:
        return 0
    shapes = tensor_shapes(model)
    editor = GraphEditor(model)
    replaced = 0
    for node in editor.live_nodes():
        if node.op_type != "BatchNormalization" or not is_standard(node) or keep.keeps(node):
            continue
        affine = batchnorm_affine(editor, node)
        if affine is None or len(shapes.get(node.input[0], ())) != 4:
            continue
        _replace(editor, node, affine.scale, affine.shift)
        replaced += 1
    editor.finish()
    return replaced


def _replace(
    editor: GraphEditor, node: onnx.NodeProto, scale: np.ndarray, shift: np.ndarray
) -> None:
    source, result, base = node.input[0], node.output[0], node.name or node.output[0]
    weight = editor.add_initializer(f"{base}_weight", scale.astype(np.float32).reshape(-1, 1, 1, 1))
    bias = editor.add_initializer(f"{base}_bias", shift.astype(np.float32))
    editor.replace(
        node,
        onnx.helper.make_node(
            "Conv", [source, weight, bias], [result], name=node.name,
            kernel_shape=[1, 1], group=int(scale.size),
        ),
    )  # fmt: skip
