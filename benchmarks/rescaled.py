"""MobileNets whose channels are rescaled without changing what they compute: hard for one range per activation.

Behind every convolution that another one alone reads, each channel is made up to `LARGEST_FACTOR` times larger and
the weights that read it as many times smaller. A ReLU6 has to bound each channel elsewhere then: it is written as a
ReLU and a Min. The plain kind has ReLU in place of ReLU6 first, which makes it another network.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from deploykit.graph.edit import GraphEditor
from deploykit.graph.fold import fold_batchnorm
from deploykit.graph.precision.recipe import product_of

#: Factors are drawn between 1 and this, evenly in their logarithm.
LARGEST_FACTOR = 100.0


def with_relu(model: onnx.ModelProto) -> None:
    """Write a ReLU for every ReLU6, in place: another network, whose channels have no bound above."""
    editor = GraphEditor(model)
    for node in editor.live_nodes():
        if node.op_type == "Clip":
            relu = helper.make_node("Relu", [node.input[0]], list(node.output), name=node.name)
            editor.replace(node, relu)
    editor.finish()


def rescale(model: onnx.ModelProto, seed: int = 0) -> int:
    """Rescale the channels between convolutions, in place; returns how many activations were."""
    fold_batchnorm(model)
    generator = np.random.default_rng(seed)
    editor = GraphEditor(model)
    count = 0
    for node in editor.live_nodes():
        product = product_of(editor, node) if node.op_type == "Conv" else None
        followers = editor.readers(node.output[0])
        if product is None or product.bias is None or len(followers) != 1:
            continue
        (activation,) = followers
        readers = editor.readers(activation.output[0])
        if activation.op_type not in ("Relu", "Clip") or [n.op_type for n in readers] != ["Conv"]:
            continue
        (reader,) = readers
        read = product_of(editor, reader)
        assert read is not None
        factors = LARGEST_FACTOR ** generator.random(product.channels)
        shape = (-1, 1, 1, 1)
        _set(editor, node, 1, product.weight * factors.reshape(shape))
        _set(editor, node, 2, product.bias * factors)
        depthwise = read.weight.shape[1] == 1
        _set(
            editor, reader, 1, read.weight / factors.reshape(shape if depthwise else (1, -1, 1, 1))
        )
        if activation.op_type == "Clip":
            _bound_each(editor, activation, factors)
        count += 1
    editor.finish()
    return count


def _set(editor: GraphEditor, node: onnx.NodeProto, slot: int, value: np.ndarray) -> None:
    name = editor.add_initializer(f"{node.input[slot]}_rescaled", value.astype(np.float32))
    editor.set_input(node, slot, name)


def _bound_each(editor: GraphEditor, clip: onnx.NodeProto, factors: np.ndarray) -> None:
    above = editor.constant(clip.input[2])
    assert above is not None
    bounds = (float(above.reshape(-1)[0]) * factors).astype(np.float32).reshape(1, -1, 1, 1)
    bound = editor.add_initializer(f"{clip.name}_bounds", bounds)
    passed = editor.add_node("Relu", [clip.input[0]], f"{clip.output[0]}_relu")
    least = helper.make_node("Min", [passed, bound], list(clip.output), name=clip.name)
    editor.replace(clip, least)
